"""Tuning: alike for everybody, on the half of the tasks that is for it, and it goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ebbing.bench.cells import Places
from ebbing.bench.methods import METHODS
from ebbing.bench.spaces import Range, space_of, with_value
from ebbing.bench.tasks import TASKS, request_of
from ebbing.bench.tuning import REFUSED, Tuning, tune, tuned_method, validation_view
from ebbing.errors import InputError
from ebbing.methods import FineTune
from ebbing.observations import observe
from ebbing.testing.problems import guarded
from ebbing.training import Recipe

TASK = replace(TASKS["digits-mislabelled5-cnn/v1"], models=4, recipe=Recipe(epochs=12, learning_rate=5e-3))


def tuning(label: str = "fine-tune", trials: int = 3, **more) -> Tuning:
    method = METHODS[label]
    return Tuning(label, method, 0.2, space_of(label, method, {}), [TASK], trials, **more)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Places:
    folder = tmp_path_factory.mktemp("tuning")
    return Places(folder / "results", folder / "work")


def test_trials_are_kept_and_gone_on_from(places) -> None:
    first = list(tune(tuning(trials=2), places))
    held = json.loads(tuning().path(places.results).read_text())
    assert held["trials"] == first
    both = list(tune(tuning(trials=3), places))
    assert both[:2] == first
    rates = [trial["settings"]["repair.learning_rate"] for trial in both]
    assert len(set(rates)) == 3
    assert all(1e-4 <= rate <= 5e-2 for rate in rates)
    best = min(both, key=lambda trial: trial["value"])
    with pytest.raises(InputError, match="was made for other settings"):
        tuned_method("fine-tune", FineTune(budget=0.5), 0.2, places.results)
    found = tuned_method("fine-tune", METHODS["fine-tune"], 0.2, places.results)
    assert found == with_value(FineTune(), "repair.learning_rate", best["settings"]["repair.learning_rate"])
    assert tuned_method("fine-tune", METHODS["fine-tune"], 0.1, places.results) is None
    for trial in both:
        (one,) = trial["tasks"].values()
        lost = max(0.0, one["accuracy_lost"]) / 0.005
        assert trial["value"] == one["value"] == pytest.approx(abs(one["memory"]) / one["band"] + lost, abs=0.3)


def test_models_are_trained_first_and_told_of(tmp_path) -> None:
    """They take longer than the first trial, and in a trial one process alone would train them."""
    places, quick = Places(tmp_path / "results", tmp_path / "work"), replace(TASK, recipe=Recipe(epochs=1))
    told = []

    def tried(trials: int) -> list[dict]:
        asked = replace(tuning(trials=trials), tasks=[quick])
        return list(tune(asked, places, workers=2, on_model=lambda *what: told.append(what)))

    tried(1)
    assert [done for _, done, _ in told] == list(range(1, 9))
    assert {needed for *_, needed in told} == {8}
    assert {(job.role, job.number) for job, *_ in told} == {(r, n) for r in ("retrained", "original") for n in range(4)}
    (places.work / quick.folder / "validation" / "retrained-2.npz").unlink()
    weights = {path: path.stat().st_mtime_ns for path in places.store(quick).directory.iterdir()}
    tried(2)
    assert {path: path.stat().st_mtime_ns for path in places.store(quick).directory.iterdir()} == weights
    assert [(job.role, job.number, done, needed) for job, done, needed in told[8:]] == [("retrained", 2, 1, 1)]
    tried(2)
    assert len(told) == 9


def test_a_file_of_another_tuning_is_refused(places) -> None:
    tuning().path(places.results).parent.mkdir(parents=True, exist_ok=True)
    list(tune(tuning(trials=1), places))
    other = replace(tuning(), space={"repair.learning_rate": Range(1e-3, 1e-2)})
    with pytest.raises(InputError, match="holds trials of other settings"):
        list(tune(other, places))


def test_answers_of_another_version_are_refused(places) -> None:
    """What retrained models answered goes by their numbers alone."""
    list(tune(tuning(trials=1), places))
    mark = places.work / TASK.folder / "validation" / "made_by.json"
    before = mark.read_text()
    mark.write_text(json.dumps(json.loads(before) | {"torch": "1.0"}))
    try:
        with pytest.raises(InputError, match="another version of ebbing or torch"):
            list(tune(tuning(trials=2), places))
    finally:
        mark.write_text(before)


def test_settings_are_not_chosen_where_results_are_reported() -> None:
    with pytest.raises(InputError, match="settings may not be chosen on digits-memorised3-cnn/v1"):
        replace(tuning(), tasks=[TASKS["digits-memorised3-cnn/v1"]])


def test_settings_that_a_method_refuses_fail_their_trial_alone(places, monkeypatch) -> None:
    def refuse(*_):
        raise InputError("no")

    monkeypatch.setattr("ebbing.bench.tuning._on", refuse)
    (trial,) = tune(replace(tuning(trials=1), label="refuses"), places)
    assert trial["value"] == REFUSED
    assert trial["reason"] == "no"


def test_an_unfinished_tuning_is_not_taken(places) -> None:
    path = tuning().path(places.results)
    held = json.loads(path.read_text())
    path.with_name("unfinished-20.json").write_text(json.dumps(held | {"wanted": 12}))
    with pytest.raises(InputError, match="of 12 trials"):
        tuned_method("unfinished", METHODS["fine-tune"], 0.2, places.results)


def test_a_tuning_whose_settings_were_all_refused_is_not_taken(places) -> None:
    path = tuning().path(places.results)
    held = json.loads(path.read_text())
    refused = {"value": REFUSED, "tasks": {}, "reason": "no.", "settings": {"repair.learning_rate": 1.0}}
    path.with_name("refused-20.json").write_text(json.dumps(held | {"best": refused, "trials": [refused] * 12}))
    with pytest.raises(InputError, match=r"the method refused all settings, the last because: no\. Tune"):
        tuned_method("refused", METHODS["fine-tune"], 0.2, places.results)


def test_what_is_too_dear_is_said_before_anything_is_trained(tmp_path) -> None:
    space = {"share": Range(0.1, 0.2)}
    dear = replace(tuning(), label="dear", method=METHODS["selective-pruning"], space=space, budget=0.01)
    with pytest.raises(InputError, match=r"dear costs more than 1.0% of retraining"):
        list(tune(dear, Places(tmp_path / "results", tmp_path / "work")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["budget", "repair.epochs"])
def test_a_setting_that_the_budget_overrules_is_not_looked_for(path: str, tmp_path) -> None:
    """Every trial would be the same."""
    idle = replace(tuning(), space={path: Range(0.1, 0.9)})
    with pytest.raises(InputError, match=f"'{path}' does not: the budget decides it"):
        list(tune(idle, Places(tmp_path / "results", tmp_path / "work")))
    assert not list(tmp_path.iterdir())


def test_what_is_not_made_for_a_task_does_not_pass_for_dear(tmp_path) -> None:
    with pytest.raises(InputError, match="UNSIR forgets whole classes"):
        list(tune(tuning("unsir"), Places(tmp_path / "results", tmp_path / "work")))
    assert list(tmp_path.iterdir()) == []


def test_the_holdout_is_not_read() -> None:
    request, accessed = guarded(request_of(TASK), "holdout", "matched")
    view = validation_view(request)
    assert view.holdout is request.validation
    assert view.matched is request.validation_matched
    observe([TASK.trainer.initial(seed=0)], view, task=TASK.trainer.task)
    assert not accessed
    with pytest.raises(InputError, match="tuning needs `validation` records"):
        validation_view(replace(request, validation_matched=None))


@pytest.mark.parametrize("label", [name for name in METHODS if name not in ("do-nothing", "temperature")])
def test_whoever_takes_part_has_something_to_tune(label: str) -> None:
    space = space_of(label, METHODS[label], {})
    assert 1 <= len(space) <= 3
    for path, range_ in space.items():
        for end in (range_.low, range_.high):
            with_value(METHODS[label], path, int(end) if range_.whole else end)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: space_of("do-nothing", METHODS["do-nothing"], {}), "has no settings that are tuned"),
        (lambda: space_of("x", FineTune(), {"repair.speed": Range(1, 2)}), "Recipe has no setting 'speed'"),
        (lambda: Range(2.0, 1.0), "low <= high"),
        (lambda: Range(0.0, 1.0, log=True), "must begin above 0"),
        (lambda: tuning(trials=0), "at least one task and one trial"),
    ],
)
def test_what_cannot_be_tuned_is_refused(make, said) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_a_tuning_of_a_label_that_is_spelled_alike_is_not_taken(tmp_path) -> None:
    path = tmp_path / "tuned" / "pkg.mod.Name-20.json"
    path.parent.mkdir()
    assert replace(tuning(), label="pkg.mod:Name").path(tmp_path) == path
    path.write_text(json.dumps({"label": "pkg.mod:Name"}))
    with pytest.raises(InputError, match=r"must be of the label 'pkg\.mod\.Name', but is of 'pkg\.mod:Name'"):
        tuned_method("pkg.mod.Name", METHODS["fine-tune"], 0.2, tmp_path)
