"""Cells of the leaderboard: made once, found again, and the figures tell who remembers."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ebbing.bench import tasks
from ebbing.bench.cells import TOO_DEAR, Cell, Places, cells_of, make_cells, refuse_other_settings
from ebbing.bench.exchange import export, take_in
from ebbing.bench.labels import REFERENCE, file_of
from ebbing.bench.methods import BUDGETS, METHODS, within
from ebbing.bench.score import SPLITS, figures_of_each
from ebbing.bench.spaces import Range
from ebbing.bench.tables import HEADER, Board, table, tables
from ebbing.bench.tasks import TASKS, frozen, request_of
from ebbing.bench.tuning import Tuning, tune
from ebbing.checkpoints import write_weights
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.measures import klom_gaussian, standardised_margin_gap
from ebbing.methods import SSD, DoNothing, FineTune, ForgettingNetwork, NegGrad, Repairing, Unlearner
from ebbing.observations import Observations
from ebbing.seen import Seen
from ebbing.training import Recipe, fit

PUBLISHED = Path(__file__).parents[2] / "results" / "bench"
NAME = "digits-mislabelled5-cnn/v1"
# the frozen records with fewer and shorter trainings: enough that wrong labels are known by heart
SMALL = replace(TASKS[NAME], models=4, recipe=Recipe(epochs=20, learning_rate=5e-3))
DIGITS = [task for task in TASKS.values() if task.dataset == "digits"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Places, list[str]]:
    """Two methods at one budget, and what was made in which order."""
    folder = tmp_path_factory.mktemp("bench")
    places = Places(folder / "results", folder / "work")
    methods = {label: METHODS[label] for label in ("do-nothing", "retrain-equal-compute")}
    return places, [m.path for m in make_cells(cells_of([SMALL], methods, [0.3]), places, workers=1)]


def figures(places: Places, cell: Cell) -> dict:
    return json.loads(places.cell(cell).read_text())


def cell(label: str, budget: float | None = 0.3) -> Cell:
    return Cell(SMALL, label, METHODS[label], budget)


def test_every_model_is_made_once_and_then_every_cell(made) -> None:
    places, order = made
    folder = SMALL.folder
    models = {f"{folder}/{role}-{n}" for role in ("original", "retrained") for n in range(4)}
    assert set(order[:8]) == models
    assert set(order[8:]) == {f"{folder}/do-nothing.json", f"{folder}/retrain-equal-compute-30.json"}
    assert not list(make_cells([cell("do-nothing", None), cell("retrain-equal-compute")], places, workers=1))


def test_adding_a_method_makes_only_that(made) -> None:
    places, _ = made
    added = list(make_cells([cell("do-nothing", None), cell("fine-tune")], places, workers=1))
    assert added == [cell("fine-tune")]


def test_a_budget_that_is_given_twice_makes_one_cell() -> None:
    methods = {label: METHODS[label] for label in ("do-nothing", "fine-tune")}
    assert cells_of([SMALL], methods, [0.3, 0.1, 0.3]) == [
        cell("do-nothing", None),
        cell("fine-tune", 0.3),
        cell("fine-tune", 0.1),
    ]


def test_a_run_that_diverges_is_charged_for_all_that_it_processed(made) -> None:
    """The guards read such a result only once."""
    places, _ = made
    climbs = NegGrad(Recipe(epochs=2, learning_rate=1e30, optimizer="sgd"))
    (cell_of_it,) = make_cells([Cell(SMALL, "climbs", climbs, 0.3)], places, workers=1)
    found, request = figures(places, cell_of_it), request_of(SMALL)
    places.cell(cell_of_it).unlink()
    assert found["rolled_back"] == 4
    retraining = SMALL.recipe.examples(len(request.retain))
    assert found["cost"]["examples_ratio"] == 2 * len(request.forget) / retraining


class LeavesSomeAlone(DoNothing):
    """Finds nothing to forget in the first three originals."""

    def unlearn(self, model, request, *, task=None, seed=0, journal=None):
        journal.left_alone = seed < 3
        return super().unlearn(model, request, task=task, seed=seed, journal=journal)


def test_a_cell_tells_how_many_models_were_left_as_they_were(made) -> None:
    places, _ = made
    (left,) = make_cells([Cell(SMALL, "leaves-some-alone", LeavesSomeAlone(), None)], places, workers=1)
    reference = json.loads(places.reference(SMALL).read_text())
    shown = table(Board(SMALL, reference, [figures(places, c) for c in (left, cell("do-nothing", None))]), None)
    places.cell(left).unlink()
    assert "| leaves-some-alone (3 left as they were) |" in shown
    assert "| do-nothing |" in shown


def test_the_original_remembers_and_a_fresh_network_does_not(made) -> None:
    places, _ = made
    board = Board(SMALL, json.loads(places.reference(SMALL).read_text()), [])
    nothing, fresh = (figures(places, c) for c in (cell("do-nothing", None), cell("retrain-equal-compute")))
    assert board.inside(nothing) is False
    assert nothing["figures"]["memory"]["low"] > 2
    assert set(nothing["figures"]["verdicts"]) == {"under-forgotten"}
    assert abs(fresh["figures"]["memory"]["mean"]) < 0.3 * nothing["figures"]["memory"]["mean"]
    assert fresh["figures"]["klom_gaussian"]["forget"]["mean"] < nothing["figures"]["klom_gaussian"]["forget"]["mean"]
    assert fresh["cost"]["examples_ratio"] == pytest.approx(0.3, abs=0.01)  # the guards' reading is no part of it
    assert nothing["cost"]["examples_ratio"] == 0.0
    assert board.reference["retrained"]["memory"]["mean"] == pytest.approx(0.0, abs=0.3)


def test_the_gap_is_of_the_first_half_of_the_models_against_the_second_of_the_retrained_ones(made) -> None:
    """What did nothing answers as the originals do."""
    places, _ = made
    before, retrained = (
        Observations.concatenate([Seen.load(places.seen(SMALL, role, number)).answers for number in range(4)])
        for role in ("original", "retrained")
    )
    found = figures(places, cell("do-nothing", None))["figures"]
    for split in SPLITS:
        judged, reference = getattr(before, split).margin[:2], getattr(retrained, split).margin[2:]
        assert found["margin_gap"][split] == pytest.approx(standardised_margin_gap(judged, reference).mean())
        klom = klom_gaussian(judged, reference)
        assert found["klom_gaussian"][split] == pytest.approx({"mean": klom.mean(), "p95": np.quantile(klom, 0.95)})
    mixed = [SimpleNamespace(m=m, w=0.0, drift=dict.fromkeys(SPLITS, 0.0)) for m in (1.0, -3.0)]
    both = figures_of_each(mixed, before)
    assert (both["memory"]["mean"], both["memory_abs"]["mean"]) == (-1.0, 2.0)


def test_the_table_holds_every_method_and_what_costs_more(made) -> None:
    places, _ = made
    dear = {"figures": None, "label": "dear", "budget": 0.3, "reason": TOO_DEAR, "cost": None}
    cells = [figures(places, c) for c in (cell("do-nothing", None), cell("retrain-equal-compute"))]
    board = Board(SMALL, json.loads(places.reference(SMALL).read_text()), [*cells, dear])
    lines = table(board, 0.3).splitlines()
    assert [line.split(" | ")[0].strip("|* ") for line in lines[2:]] == [
        "retrained, among themselves",
        "retrain-equal-compute",
        "do-nothing",
        "dear",
    ]
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    assert "costs more" in lines[-1]
    assert "30 % of retraining" in tables([board])


def test_a_method_that_is_not_made_for_a_task_does_not_pass_for_dear(made) -> None:
    places, _ = made
    (unfit,) = make_cells([cell("unsir")], places, workers=1)
    found = figures(places, unfit)
    places.cell(unfit).unlink()
    assert found["reason"].startswith("UNSIR forgets whole classes")
    shown = table(Board(SMALL, json.loads(places.reference(SMALL).read_text()), [found]), 0.3)
    assert "not for this task" in shown
    assert "costs more" not in shown


def test_another_method_under_the_same_label_is_refused(made) -> None:
    places, _ = made
    refuse_other_settings([cell("retrain-equal-compute"), cell("salun")], places)
    other = Cell(SMALL, "retrain-equal-compute", FineTune(), 0.3)
    with pytest.raises(InputError, match="was made with other settings under the label"):
        refuse_other_settings([other], places)


def test_a_colon_of_a_label_is_a_dot_in_the_name_of_its_file(made, tmp_path) -> None:
    """Not every system has colons in names; tables show the label as it was given."""
    places = replace(made[0], results=tmp_path / "results")
    shutil.copytree(made[0].results, places.results)
    brief = FineTune(repair=Recipe(epochs=1))
    (own,) = cells_of([SMALL], {"pkg.mod:Name": brief}, [0.3])
    assert own.path == f"{SMALL.folder}/pkg.mod.Name-30.json"
    assert list(make_cells([own], places, workers=1)) == [own]
    refuse_other_settings([own], places)
    shown = table(Board(SMALL, json.loads(places.reference(SMALL).read_text()), [figures(places, own)]), 0.3)
    assert "pkg.mod:Name" in shown

    with pytest.raises(InputError, match=r"those of 'pkg\.mod:Name' and 'pkg\.mod\.Name' have one name"):
        cells_of([SMALL], {"pkg.mod:Name": brief, "pkg.mod.Name": brief}, [0.3])
    alike = replace(own, label="pkg.mod.Name")
    with pytest.raises(InputError, match=r"must be of the label 'pkg\.mod\.Name', but is of 'pkg\.mod:Name'"):
        refuse_other_settings([alike], places)
    with pytest.raises(InputError, match=r"must be of the label 'pkg:mod:Name', but is of 'pkg\.mod:Name'"):
        take_in(SMALL, places, tmp_path, label="pkg:mod:Name", budget=0.3)


def test_published_cells_are_found_where_they_lie() -> None:
    held = [
        json.loads(path.read_text()) | {"path": path} for path in PUBLISHED.glob("*/*.json") if path.stem != REFERENCE
    ]
    assert len(held) > 1000
    for one in held:
        assert one["path"].name == file_of(one["label"], one["budget"])


def test_a_method_under_the_label_of_weights_made_elsewhere_is_refused(made) -> None:
    places, _ = made
    theirs = Cell(SMALL, "theirs", FineTune(), 0.3)
    places.cell(theirs).write_text(json.dumps({"method": {"type": "made elsewhere", "label": "theirs"}}))
    with pytest.raises(InputError, match=r"was made with other settings under the label 'theirs'"):
        refuse_other_settings([theirs], places)
    places.cell(theirs).unlink()


@pytest.mark.parametrize("task", DIGITS, ids=lambda task: task.name)
def test_the_frozen_records_are_those_of_the_rule(task) -> None:
    request = request_of(task)
    assert request.forget_ids.tolist() == frozen(task)["forget"]
    assert request.concept or len(request.matched) >= 20  # fewer, and no verdict could be given
    assert request.validation_matched is not None


def test_other_data_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = frozen(SMALL) | {"fingerprint": "0" * 32}
    monkeypatch.setattr(tasks, "frozen", lambda task: known)
    with pytest.raises(InputError, match="was frozen with other data"):
        request_of.__wrapped__(SMALL)
    with pytest.raises(InputError, match="must be frozen in the package"):
        frozen(replace(SMALL, name="digits-nothing/v9"))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("label", METHODS)
def test_every_method_keeps_to_a_budget_or_has_no_row(label: str, budget: float) -> None:
    """By what it expects; that it keeps to what it expects is a test of its own."""
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    method = within(METHODS[label], budget, task.recipe, request)
    allowed = budget * task.recipe.examples(len(request.retain))
    if method is None:
        assert label in ("selective-pruning", "forgetting-network-vfr", "msg", "scrub-r", "unsir")
    else:
        assert method.expected_examples(request) <= allowed + 2


@pytest.mark.parametrize("task", DIGITS, ids=lambda task: task.name)
def test_a_method_for_whole_classes_has_a_row_where_one_goes(task) -> None:
    made = within(METHODS["unsir"], 0.1, task.recipe, request_of(task))
    assert (made is not None) == task.rule.startswith("class:")


def test_ascent_is_cut_short_at_a_budget() -> None:
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    allowed = round(0.01 * task.recipe.examples(len(request.retain)))
    assert within(NegGrad(Recipe(epochs=1000)), 0.01, task.recipe, request).expected_examples(request) == allowed


def test_dampening_reads_no_more_records_than_it_is_set_to() -> None:
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    fewer = within(SSD(records=200), 0.1, task.recipe, request)
    assert fewer == SSD(records=200)
    assert within(SSD(records=10**6), 0.01, task.recipe, request) == within(SSD(), 0.01, task.recipe, request)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"learning_trains": "all"}, 0.1),
        ({"unlearning_trains": "retain"}, 0.5),
        ({"unlearning_trains": "forget", "nested": True}, 0.3),
    ],
)
def test_a_forgetting_network_keeps_to_a_budget_whatever_its_bouts_train_on(settings, share: float) -> None:
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    method = within(replace(METHODS["forgetting-network-vfr"], **settings), share, task.recipe, request)
    allowed = round(share * task.recipe.examples(len(request.retain)))
    ranked = method.turns * len(request.forget)
    assert method.expected_examples(request) + ranked == pytest.approx(allowed, abs=2)


def test_a_forgetting_network_whose_unlearning_bouts_cost_more_has_no_row() -> None:
    """Those of the public code train 50 epochs on all records."""
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    assert within(ForgettingNetwork.presets["published-code"], 0.1, task.recipe, request) is None


def test_a_forgetting_network_spends_what_it_may() -> None:
    task, request = TASKS[NAME], request_of(TASKS[NAME])
    method = within(METHODS["forgetting-network-vfr"], 0.1, task.recipe, request)
    journal = Journal()
    method.unlearn(task.trainer.initial(seed=0), request, journal=journal)
    watched = 10 * (2 * len(request.forget) + 1000 + len(request.validation_matched)) + 3 * 1000
    assert journal.examples - watched == pytest.approx(0.1 * task.recipe.examples(len(request.retain)), rel=0.02)


def test_what_is_exported_can_be_unlearned_elsewhere_and_scored(made, tmp_path) -> None:
    """Originals that come back as they went are do-nothing, by what was seen here and by published margins alike."""
    places, _ = made
    export(SMALL, places, tmp_path / "task")
    held = np.load(tmp_path / "task" / "data.npz", allow_pickle=False)
    request = request_of(SMALL)
    assert held["forget"].tolist() == request.forget_ids.tolist()
    assert held["labels"][held["forget"]].tolist() == [int(y) for _, y in request.forget]
    assert len(held["inputs"]) == len(held["forget"]) + len(held["retain"])
    assert not any("holdout" in name or name == "matched_inputs" for name in held.files)  # the judge's alone
    with pytest.raises(InputError, match="holds something"):
        export(SMALL, places, tmp_path / "task")

    wanted = figures(places, cell("do-nothing", None))["figures"]
    back = take_in(SMALL, places, tmp_path / "task" / "originals", label="theirs", budget=0.3, examples=1000.0)
    found = figures(places, back.cell)
    assert found["figures"] == wanted
    assert found["cost"]["examples_ratio"] == pytest.approx(1000 / SMALL.recipe.examples(len(request.retain)))

    published = replace(places, work=tmp_path / "empty")
    back = take_in(SMALL, published, tmp_path / "task" / "originals", label="margins", budget=1.0)
    by_margins = figures(places, back.cell)
    assert by_margins["figures"]["memory"]["mean"] == pytest.approx(wanted["memory"]["mean"], rel=0.01)
    assert by_margins["figures"]["accuracy"] == wanted["accuracy"]
    assert not by_margins["figures"]["looked_inside"]
    assert "(by answers alone)" in tables([Board(SMALL, json.loads(places.reference(SMALL).read_text()), [by_margins])])
    for name in ("theirs-30", "margins-100"):
        (places.results / SMALL.folder / f"{name}.json").unlink()


@pytest.mark.parametrize(
    ("files", "settings", "said"),
    [
        ((0, 1), {}, r"lacks \[2, 3\]"),
        (range(4), {"label": "salun"}, "is a method of the leaderboard"),
        (range(4), {"label": "reference"}, "a label must begin"),
        (range(4), {"label": "../theirs"}, "a label must begin"),
        (range(4), {"label": "a|b"}, "a label must begin"),
        (range(4), {"examples": float("nan")}, "`examples` must be a number >= 0, what one model took, but is nan"),
        (range(4), {"seconds": -1.0}, "`seconds` must be a number >= 0"),
        (range(4), {"budget": 10.0}, "must be a share of one retraining"),
        (range(4), {"budget": 0.01, "examples": 9000.0}, r"9,000 examples are more than 1.0%"),
    ],
)
def test_what_cannot_be_scored_is_refused(made, tmp_path, files, settings, said) -> None:
    for number in files:
        (tmp_path / f"{number}.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=said):
        take_in(SMALL, made[0], tmp_path, **({"label": "theirs", "budget": 0.3} | settings))


def test_what_was_made_here_is_not_overwritten(made, tmp_path) -> None:
    places, _ = made
    for number in range(4):
        (tmp_path / f"{number}.safetensors").write_bytes(b"")
    mine = places.cell(Cell(SMALL, "mine", FineTune(), 0.3))
    mine.write_text(json.dumps({"method": {"class": "ebbing.methods.fine_tune:FineTune"}}))
    with pytest.raises(InputError, match="holds figures of a method that was run here"):
        take_in(SMALL, places, tmp_path, label="mine", budget=0.3)
    mine.unlink()


def test_weights_that_were_brought_back_are_not_scored_twice_nor_written_over(made, tmp_path) -> None:
    places = replace(made[0], results=tmp_path / "results")
    shutil.copytree(made[0].results, places.results)
    for number in range(4):
        write_weights(tmp_path / f"{number}.safetensors", SMALL.trainer.initial(seed=number))
    said = {"label": "theirs", "budget": 0.3, "examples": 1000.0}
    first = take_in(SMALL, places, tmp_path, **said)
    path = places.cell(first.cell)
    written = path.read_text()
    path.write_text(written.replace('"rolled_back": 0', '"rolled_back": 1'))  # to see that nothing is written
    marked = path.read_text()
    again = take_in(SMALL, places, tmp_path, **said, on_model=lambda number: pytest.fail("scored again"))
    assert (first.new, again.new) == (True, False)
    with pytest.raises(InputError, match="something else than is given now"):
        take_in(SMALL, places, tmp_path, **(said | {"examples": 2000.0}))
    write_weights(tmp_path / "3.safetensors", SMALL.trainer.initial(seed=4))
    with pytest.raises(InputError, match="was made of others"):
        take_in(SMALL, places, tmp_path, **said)
    assert path.read_text() == marked
    assert take_in(SMALL, places, tmp_path, **(said | {"label": "others"})).new

    old = json.loads(written)
    del old["method"]["weights"]
    path.write_text(json.dumps(old))
    with pytest.raises(InputError, match="does not say of which"):
        take_in(SMALL, places, tmp_path, **said)
    assert "theirs" in table(Board(SMALL, json.loads(places.reference(SMALL).read_text()), [old]), 0.3)


def test_other_recipes_do_not_pass_for_the_asked_one(made) -> None:
    """What was seen goes by numbers alone, so that the folders say what it was made by."""
    places, _ = made
    longer = replace(SMALL, recipe=Recipe(epochs=21, learning_rate=5e-3))
    asked = [Cell(longer, "fine-tune", FineTune(), 0.1)]
    with pytest.raises(InputError, match="holds models of another recipe"):
        list(make_cells(asked, places, workers=1))
    with pytest.raises(InputError, match="holds figures of another recipe"):
        list(make_cells(asked, replace(places, work=places.work / "new"), workers=1))


def test_weights_are_not_judged_by_models_of_another_version(made, tmp_path) -> None:
    places, _ = made
    mark = places.work / SMALL.folder / "made_by.json"
    before = mark.read_text()
    for number in range(4):
        write_weights(tmp_path / f"{number}.safetensors", SMALL.trainer.initial(seed=number))
    mark.write_text(json.dumps(json.loads(before) | {"torch": "1.0"}))
    try:
        with pytest.raises(InputError, match="another version of ebbing or torch"):
            take_in(SMALL, places, tmp_path, label="theirs", budget=0.3)
    finally:
        mark.write_text(before)


def test_figures_of_a_gpu_do_not_stand_beside_those_of_a_processor(made) -> None:
    places, _ = made
    elsewhere = replace(places, work=places.work / "new", device="cuda")
    with pytest.raises(InputError, match="another kind of device than cuda"):
        list(make_cells([Cell(SMALL, "fine-tune", FineTune(), 0.1)], elsewhere, workers=1))


def test_models_are_those_of_one_thread_whatever_the_caller_has(made, monkeypatch) -> None:
    """A lost reference is made again without training anything."""
    places, _ = made
    kept = places.results / "kept.txt"
    places.reference(SMALL).rename(kept)
    monkeypatch.setattr("ebbing.bench.cells.train_or_load", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not list(make_cells([cell("do-nothing", None)], places, workers=1))
    old, new = (json.loads(p.read_text()) for p in (kept, places.reference(SMALL)))
    assert new["retrained"] == old["retrained"]
    assert new["seconds"] == old["seconds"]


def test_what_says_nothing_of_its_cost_is_not_held_to_a_budget() -> None:
    class Silent(Unlearner):
        def forget(self, model, run):
            return model

    with pytest.raises(InputError, match="must say by `expected_examples`"):
        within(Silent(), 0.1, SMALL.recipe, request_of(SMALL))


@dataclass(frozen=True)
class Overdrawn(Repairing):
    """Its repair is as long as its recipe says, whatever the budget."""

    def forget(self, model, run):
        data = run.request.for_training("retain")
        fit(model, data, self.repair, task=run.task, generator=run.generator, journal=run.journal)
        return model


def test_a_method_that_does_not_keep_to_its_budget_gets_no_row(made) -> None:
    """The row would stand beside those of methods that did."""
    places, _ = made
    overdrawn = Cell(SMALL, "overdrawn", Overdrawn(), 0.05)
    with pytest.raises(InputError, match=r"may process 1,232 examples, but Overdrawn processed 24,640"):
        list(make_cells([overdrawn], places, workers=1))
    assert not places.cell(overdrawn).exists()


@dataclass(frozen=True)
class Raises(Repairing):
    """It breaks whatever it is given."""

    def forget(self, model, run):
        raise RuntimeError("broken")


@dataclass(frozen=True)
class GivesNothing(Repairing):
    """It forgets to return the model."""

    def forget(self, model, run):
        self.mend(model, run)


@pytest.mark.parametrize(
    ("method", "error", "said"),
    [
        (Raises(), RuntimeError, "broken"),
        (GivesNothing(), InputError, "must return a model"),
        (Overdrawn(), InputError, "may process 1,232 examples"),
    ],
)
def test_what_is_wrong_with_a_method_is_found_before_anything_is_trained(method, error, said, tmp_path) -> None:
    places = Places(tmp_path / "results", tmp_path / "work")
    with pytest.raises(error, match=said):
        list(make_cells([Cell(SMALL, "mine", method, 0.05)], places, workers=1))
    with pytest.raises(error, match=said):
        list(tune(Tuning("mine", method, 0.05, {"repair.learning_rate": Range(1e-3, 1e-2)}, [SMALL]), places))
    assert not list(tmp_path.glob("work/*/models"))


def test_without_anything_to_compare_with_nothing_is_scored(tmp_path) -> None:
    for number in range(4):
        write_weights(tmp_path / f"{number}.safetensors", SMALL.trainer.initial(seed=number))
    with pytest.raises(InputError, match="has nothing to compare with"):
        take_in(SMALL, Places(tmp_path / "results", tmp_path / "work"), tmp_path, label="theirs", budget=0.1)
