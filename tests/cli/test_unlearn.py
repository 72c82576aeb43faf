"""``ebbing unlearn`` on a user's own project: what it writes, what it says, and what it refuses."""

import importlib
import json
import math
import os
from pathlib import Path

import project
import pytest
import torch
from project import RECORDS, WRONG, contents, listed
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Subset

from ebbing.checkpoints import read_record
from ebbing.task import BinaryClassification

REFERENCES = {"train_fn": "project:train", "oracles": 4, "matched": "project:like_the_wrong"}


@pytest.fixture
def retrained(folder: Path) -> list[str]:
    """Four models that never saw the wrong records, as files."""
    rest = Subset(project.train_set(), range(WRONG.stop, RECORDS))
    names = [f"retrained{i}.safetensors" for i in range(4)]
    for seed, name in enumerate(names):
        save_file(project.train(rest, seed=50 + seed).state_dict(), name)
    project.given.clear()
    return names


def report(name: str = "new") -> dict:
    return json.loads(Path(f"{name}.report.json").read_text())


def inputs_given() -> list[torch.Tensor]:
    """The inputs that each call of the training function saw."""
    return [project.stacked(dataset)[0] for dataset in project.given]


# ---------------------------------------------------------------- a whole run


def test_a_whole_run(unlearn, folder, trained) -> None:
    before = contents(folder)
    said = unlearn(**REFERENCES)
    assert said.code == 0, said.err
    assert said.err == ""
    after = contents(folder)
    assert {name: after[name] for name in before} == before  # the original and the list of ids, bit by bit
    made = {name for name in after if not name.startswith("new.work")} - set(before)
    assert made == {"new.safetensors", "new.safetensors.json", "new.report.json", "new.report.html"}

    weights = load_file("new.safetensors")
    project.build().load_state_dict(weights)
    assert any(not torch.equal(weights[name], trained[name]) for name in trained)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
    record = read_record(Path("new.safetensors"))
    assert (record.records, record.forgotten) == (RECORDS, tuple(WRONG))
    assert (record.made_by["method"], record.made_by["seed"]) == ("ebb", 0)
    assert record.made_by["from"] == "model.safetensors"

    found = report()
    assert found["request"]["forget"] == len(WRONG)
    assert found["oracles"]["count"] == len(project.given) == 4
    assert found["methods"]["ebb"]["memory"] is not None
    assert found["methods"]["ebb"]["cost"]["ratio_to_retraining"] > 0
    assert found["provenance"]["weights"] == "model.safetensors"
    assert "<html" in Path("new.report.html").read_text()

    assert "12 ids matched 12 of 120 records." in said.out
    assert "4 retrained references can show a memory that is large, not that there is none" in said.out
    assert "Written to new.report.json and new.report.html" in said.out
    assert "Weights: new.safetensors" in said.out
    # each retrained model saw what stays, and nothing that must go
    stays, _ = project.stacked(Subset(project.train_set(), range(WRONG.stop, RECORDS)))
    assert all(torch.equal(seen, stays) for seen in inputs_given())


def test_a_rerun_trains_nothing_again_and_says_the_same(unlearn, folder) -> None:
    unlearn(**REFERENCES)
    trained_before, before = len(project.given), contents(folder)
    said = unlearn(**REFERENCES)
    assert said.code == 0
    assert len(project.given) == trained_before == 4
    after = contents(folder)  # weights, record, and store; the report is made again, on another day perhaps
    assert {n: c for n, c in after.items() if "report" not in n} == {
        n: c for n, c in before.items() if "report" not in n
    }
    reports = [json.loads(found["new.report.json"]) for found in (before, after)]
    for report in reports:
        report["provenance"].pop("date"), report["measures"].pop("seconds")
    assert reports[0] == reports[1]
    assert "as 4 did that are kept" in said.out


def test_two_more_references_train_only_two(unlearn, folder) -> None:
    unlearn(**REFERENCES | {"oracles": 1})
    project.given.clear()
    said = unlearn(**REFERENCES | {"oracles": 3})
    assert "as 1 did that are kept; 2 to come" in said.out
    assert len(project.given) == 2
    assert report()["oracles"]["count"] == 3


def test_another_training_function_is_not_taken_for_the_first(unlearn, write) -> None:
    for steps in (3, 4):
        write(f"def mine_train(dataset, *, seed):\n    given.append({steps})\n    return train(dataset, seed=seed)")
        unlearn(**REFERENCES | {"train_fn": "mine:mine_train", "oracles": 1})
    assert project.given.count(3) == project.given.count(4) == 1


def test_controls_are_judged_and_write_no_weights(unlearn, folder) -> None:
    said = unlearn(method=["do-nothing", "random-units"])
    assert said.code == 0
    assert "controls are judged, but write no weights; new.safetensors will not be there." in said.out
    assert not list(folder.glob("new.safetensors*"))
    assert set(report()["methods"]) == {"do-nothing", "random-units"}


def test_a_control_may_stand_beside_the_method(unlearn, folder) -> None:
    said = unlearn(method=["do-nothing", "ebb@mine"])
    assert said.code == 0
    assert read_record(Path("new.safetensors")).made_by["method"] == "mine"
    assert set(report()["methods"]) == {"do-nothing", "mine"}


def test_a_setting_reaches_the_method(unlearn, folder) -> None:
    unlearn(set=["ebb.duration=2", "repair.epochs=5"])
    settings = read_record(Path("new.safetensors")).made_by["settings"]
    assert (settings["duration"], settings["repair"]["epochs"]) == (2.0, 5.0)


@pytest.mark.parametrize("named", ["budget", "ebb.budget"])
def test_a_budget_of_an_unknown_length_of_training_is_refused(named, refused) -> None:
    assert f"--set {named}: a budget is a share of what one retraining processes, which must be known" in refused(
        set=[f"{named}=0.01"]
    )


def test_a_budget_counts_where_the_training_is_said(unlearn) -> None:
    unlearn(method="fine-tune", set=["budget=0.5", "training.epochs=2"])
    settings = read_record(Path("new.safetensors")).made_by["settings"]
    assert (settings["budget"], settings["training"]["epochs"]) == (0.5, 2.0)


def test_two_methods_that_write_are_refused(refused) -> None:
    assert "must name one method whose weights are written, but names ebb, fine-tune" in refused(
        method=["ebb", "fine-tune", "do-nothing"]
    )


# ---------------------------------------------------------------- verdicts and references


def test_a_bad_outcome_is_code_3_and_everything_is_written_all_the_same(unlearn, folder) -> None:
    assert unlearn(fail_if="damaged").code == 0
    for name in ("new.safetensors", "new.safetensors.json", "new.report.json", "new.report.html"):
        Path(name).unlink()
    said = unlearn(fail_if="damaged, inconclusive")
    assert said.code == 3
    assert said.err == ""
    assert "--fail-if: ebb is inconclusive." in said.out
    assert read_record(Path("new.safetensors")).forgotten == tuple(WRONG)
    assert report()["methods"]["ebb"]["verdict"]["outcome"] == "inconclusive"
    assert Path("new.report.html").exists()


def test_a_control_does_not_fail_the_run(unlearn) -> None:
    assert unlearn(method="do-nothing", fail_if="inconclusive").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("under-forgoten", "Did you mean 'under-forgotten'?"),
        ("damaged,anything", "'anything' is no outcome"),
        ("", "must name outcomes"),
        (" , ", "must name outcomes"),
    ],
)
def test_an_unknown_outcome_is_refused(words, message, refused) -> None:
    assert message in refused(fail_if=words)


def test_without_references_the_answer_is_known_before_anything_is_done(unlearn, write) -> None:
    write(
        "class Loud(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.net = build()\n"
        "    def state_dict(self, *a, **k):\n"
        "        return self.net.state_dict(*a, **k)\n"
        "    def load_state_dict(self, state, strict=True):\n"
        "        return self.net.load_state_dict(state, strict)\n"
        "    def forward(self, x):\n"
        "        if self.training and len(x) > 8:\n"  # preflight tries eight
        "            print('now it trains')\n"
        "        return self.net(x)\n"
    )
    said = unlearn(model="mine:Loud")
    assert said.code == 0, said.err
    told = "No retrained reference: the only possible verdict is inconclusive"
    assert -1 < said.out.find(told) < said.out.find("now it trains")
    assert "What one retraining costs is not known before a model was retrained (--train-fn)" in said.out
    block = report()["methods"]["ebb"]
    assert block["verdict"]["outcome"] == "inconclusive"
    assert (block["cost"]["ratio_to_retraining"], block["cost"]["examples_ratio"]) == (None, None)
    assert block["cost"]["seconds"] > 0
    assert (block["memory"], block["tow"], block["removed"]) == (None, None, None)
    assert report()["oracles"]["count"] == 0


def test_too_few_references_are_told_beforehand(unlearn) -> None:
    said = unlearn("--dry-run", train_fn="project:train", oracles=3)
    assert "The only possible verdict is inconclusive: 3 retrained models, where at least 4 are needed" in said.out


def test_models_retrained_elsewhere_are_references(unlearn, retrained) -> None:
    said = unlearn(retrained=retrained, matched="project:like_the_wrong")
    assert said.code == 0, said.err
    assert project.given == []
    assert report()["oracles"]["count"] == 4
    assert report()["oracles"]["seconds"] is None
    block = report()["methods"]["ebb"]
    assert block["memory"] is not None
    assert block["cost"]["ratio_to_retraining"] is None


def test_references_from_both_sides_add_up(unlearn, retrained) -> None:
    unlearn(**REFERENCES | {"oracles": 2}, retrained=retrained[:2])
    assert (report()["oracles"]["count"], len(project.given)) == (4, 2)


def test_sixteen_references_unless_said_otherwise(unlearn) -> None:
    said = unlearn("--dry-run", train_fn="project:train")
    assert "can show a memory that is large" not in said.out  # as fewer than sixteen would
    assert "The only possible verdict" not in said.out


def test_references_that_are_no_evidence_are_refused(refused, retrained) -> None:
    same = "retrained0.safetensors and --retrained retrained0.safetensors hold the same weights"
    assert same in refused(retrained=[*retrained, retrained[0]])
    Path("copy.safetensors").write_bytes(Path("model.safetensors").read_bytes())
    assert "--weights model.safetensors hold the same weights" in refused(retrained=[*retrained, "copy.safetensors"])


def test_references_need_a_training_function(refused) -> None:
    assert "--oracles 3 needs --train-fn pkg.mod:train" in refused(oracles=3)


# ---------------------------------------------------------------- what goes wrong on the way


@pytest.mark.parametrize("rate", ["1e6", "1e30"])
def test_a_run_that_was_rolled_back_writes_no_weights(rate, unlearn, folder) -> None:
    said = unlearn(set=f"repair.learning_rate={rate}")
    assert said.code == 2
    assert said.err.startswith("Error: the run was rolled back, so that no weights were written (ebb: ")
    assert "Lower --set repair.learning_rate" in said.err
    assert not list(folder.glob("new.safetensors*"))
    assert any(note.startswith("Rolled back") for note in report()["methods"]["ebb"]["notes"])
    assert Path("new.report.html").exists()


def test_weights_of_an_earlier_run_are_not_taken_for_those_that_were_not_written(unlearn) -> None:
    unlearn()
    before = Path("new.safetensors").read_bytes()
    said = unlearn(set="repair.learning_rate=1e30")
    assert "new.safetensors is of an earlier run." in said.err
    assert Path("new.safetensors").read_bytes() == before


def test_a_training_function_that_fails_leaves_weights_that_were_not_judged(unlearn, write) -> None:
    write(
        "def fails(dataset, *, seed):\n"
        "    if len(given) == 2:\n        raise ValueError('no\\nspace')\n"
        "    return train(dataset, seed=seed)"
    )
    unlearn(oracles=3, train_fn="project:train")
    project.given.clear()
    said = unlearn(oracles=3, train_fn="mine:fails", set="repair.epochs=2")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("Error: ")
    assert "raised ValueError: no space" in said.err
    assert "Weights: new.safetensors, not judged" in said.out
    assert Path("new.safetensors").exists()
    assert not Path("new.report.json").exists()  # the earlier one spoke of other weights
    project.given.clear()
    write("def fails(dataset, *, seed):\n    return train(dataset, seed=seed)")
    assert unlearn(oracles=3, train_fn="mine:fails", set="repair.epochs=2").code == 0
    assert report()["methods"]["ebb"]["settings"]["repair"]["epochs"] == 2.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no\\nspace')", "raised ValueError: no space"),
        ("import sys; sys.exit('stop')", "SystemExit: stop"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("return None", "returned a NoneType"),
        ("return train(dataset, seed=seed).state_dict()", "returned a OrderedDict"),
        ("return nn.Linear(FEATURES, CLASSES)", "of its tensors are not those of the model that was given"),
        (
            "model = build()\n    model[0].weight.data[0, 0] = float('nan')\n    return model",
            "the weights ['0.weight'] are not finite",
        ),
    ],
)
def test_a_training_function_that_gives_no_model(body, message, unlearn, write) -> None:
    write(f"def bad(dataset, *, seed):\n    {body}")
    said = unlearn(train_fn="mine:bad", oracles=4)
    assert said.code == 2
    assert message in said.err
    assert "defect of ebbing" not in said.err
    assert "Traceback" not in said.err
    assert not Path("new.report.json").exists()


@pytest.mark.parametrize(
    "signature", ["dataset", "dataset, *, sed", "dataset, *, seed, epochs", "*, dataset, seed", "", "dataset, seed, /"]
)
def test_a_training_function_of_another_form_is_refused_before_a_record_is_read(signature, refused, write) -> None:
    write(
        f"def other({signature}):\n    pass\n\n\n"
        "class Watched(Dataset):\n"
        "    def __len__(self):\n        return RECORDS\n"
        "    def __getitem__(self, i):\n        given.append(i)\n        return train_set()[i]\n"
    )
    assert "must be callable as function(dataset, seed=0), but: " in refused(train_fn="mine:other", data="mine:Watched")
    assert project.given == []


def test_a_training_function_may_take_more(unlearn, write) -> None:
    write("def other(dataset, seed, *, epochs=3, **more):\n    return train(dataset, seed=seed)")
    assert unlearn("--dry-run", train_fn="mine:other").code == 0


def test_a_training_function_that_sets_a_seed_of_its_own_is_refused(unlearn, write) -> None:
    write("def deaf(dataset, *, seed):\n    return train(dataset, seed=0)")
    said = unlearn(train_fn="mine:deaf", oracles=4)
    assert said.code == 2
    assert "must differ by their seeds, but that of seed 1001 has the same weights as that of seed 1000" in said.err
    assert len(project.given) == 2  # the other two are not trained in vain


LATE = """
class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build()

    def state_dict(self, *args, **more):
        return self.net.state_dict(*args, **more)

    def load_state_dict(self, state, strict=True):
        return self.net.load_state_dict(state, strict)

    def forward(self, x):
        if self.training and len(x) == 44:  # the second batch of the repair: 64 + 44
            {fault}
        return self.net(x)
"""


def test_the_users_code_is_named_where_it_raises_in_the_middle_of_a_run(unlearn, write, folder) -> None:
    write(LATE.format(fault="raise RuntimeError('cannot do\\n44')"))
    said = unlearn(model="mine:Late")
    assert said.code == 2
    line = Path("mine.py").read_text().splitlines().index("            raise RuntimeError('cannot do\\n44')") + 1
    assert said.err.splitlines()[-1].startswith(f"Error: mine.py, line {line}, raised RuntimeError: cannot do 44.")
    assert "defect of ebbing" not in said.err
    assert "Traceback" not in said.err
    assert not list(folder.glob("new.*.json"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return signals.margin / signals.no",
            "mine.py, line 7, raised AttributeError: 'Signals' object has no attribute",
        ),
        ("return signals.margin.astype(str)", "`scores` of Own must give real numbers, but gives <U32 values."),
    ],
)
def test_an_attack_is_tried_before_anything_is_done(body, message, refused, write) -> None:
    write(f"class Own(Attack):\n    name = 'own'\n    def scores(self, signals):\n        {body}")
    listed("more.txt", *range(24))
    assert message in refused(forget="more.txt", attack="mine:Own")
    assert message in refused("--dry-run", forget="more.txt", attack="mine:Own")


def test_debug_shows_where(call, folder, write) -> None:
    write(LATE.format(fault="raise RuntimeError('cannot do 44')"))
    words = ["--model", "mine:Late", "--weights", "model.safetensors", "--data", "project:train_set"]
    words += ["--holdout", "project:test_set", "--forget", "wrong.txt", "--out", "new.safetensors", "--threads", 1]
    said = call("--debug", "unlearn", *words)
    assert said.code == 2
    assert "Traceback (most recent call last)" in said.err
    assert "mine.py" in said.err


def test_sys_exit_in_the_users_code_is_no_success(unlearn, write) -> None:
    write("import sys\n" + LATE.format(fault="sys.exit(0)"))
    said = unlearn(model="mine:Late")
    assert said.code == 2
    assert "SystemExit" in said.err


def test_several_faults_are_told_at_once(refused, write) -> None:
    write("def other(dataset):\n    pass")
    err = refused(
        weights="nothing.safetensors",
        out="new.pt",
        model="mine:nothing",
        data="nowhere:data",
        forget="none.txt",
        method="eb",
        train_fn="mine:other",
        fail_if="bad",
        device="abacus",
        task="mine",
        holdout="project:RECORDS",
    )
    lines = err.splitlines()
    told = ["--weights", "--out", "--model", "--data", "--forget", "--method", "--train-fn", "--fail-if", "--device"]
    told += ["--task", "--holdout"]
    assert len(lines) == len(told)
    for option in told:
        assert sum(line.startswith(f"Error: {option} ") for line in lines) == 1, option


# ---------------------------------------------------------------- where the weights go, and a dry run


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("new.pt", "must end in .safetensors"),
        ("new", "must end in .safetensors"),
        ("model.safetensors", "must not be a file that is read"),
        ("./sub/../model.safetensors", "must not be a file that is read"),
        ("link.safetensors", "must not be a file that is read"),
        ("ids.safetensors", "must not be a file that is read"),
        ("retrained0.safetensors", "must not be a file that is read"),
        ("sub.safetensors", "is a folder"),
        ("wrong.txt/new.safetensors", "cannot be written to: Not a directory"),
        ("wrong.txt/sub/new.safetensors", "cannot be written to: Not a directory"),
        ("/proc/new.safetensors", "cannot be written to: "),
        ("kept/new.safetensors", "must not lie in a folder of --retrained"),
        ("taken.safetensors", "the folder taken.work, but that is a file"),
    ],
)
def test_a_place_that_cannot_take_the_weights_is_refused(out, message, refused, retrained, folder) -> None:
    (folder / "sub").mkdir()
    (folder / "sub.safetensors").mkdir()
    (folder / "link.safetensors").symlink_to("model.safetensors")
    (folder / "taken.work").touch()
    (folder / "kept").mkdir()
    Path(retrained[3]).rename(folder / "kept" / retrained[3])
    forget = listed("ids.safetensors", *WRONG)
    assert message in refused(out=out, forget=forget, retrained=[*retrained[:3], "kept"])


def test_folders_on_the_way_are_made(unlearn) -> None:
    assert unlearn(out="a/b/new.v2.safetensors").code == 0
    assert sorted(os.listdir("a/b")) == [
        *("new.v2.report.html", "new.v2.report.json", "new.v2.safetensors", "new.v2.safetensors.json", "new.v2.work")
    ]


def test_a_dry_run_writes_nothing_and_trains_nothing(unlearn, folder) -> None:
    before = contents(folder)
    said = unlearn("--dry-run", **REFERENCES, out="a/b/new.safetensors")
    assert said.code == 0
    assert said.out.endswith("Nothing was done: --dry-run.\n")
    assert contents(folder) == before
    assert project.given == []


def test_a_dry_run_says_what_a_retraining_costs(unlearn, call) -> None:
    call("fingerprint", "--weights", "model.safetensors", "--data", "project:train_set", "--training-seconds", 1234)
    said = unlearn("--dry-run", **REFERENCES)
    assert "One retraining takes about 1,234 s, as the record beside the weights says; 4 to come" in said.out


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("keys", "ids", "matched"),
    [
        ("[i // 3 for i in range(RECORDS)]", [2, 7], 6),
        ("[f'patient {i // 4}' for i in range(RECORDS)]", ["patient 0", "patient 29"], 8),
        ("torch.arange(RECORDS) * 10", [0, 1190], 2),
        ("__import__('numpy').array(['a', 'b'] * 2 + list('cdefgh') * 19 + ['i', 'j'])", ["a", "i", "j"], 4),
        ("[0, 0, 0, 1, 1, *range(2, 117)]", [0, 1], 5),
        ("['a b', '#1', 'ü', *range(117)]", ["#1", "ü", "a b"], 3),
        ("[(i, 0) for i in range(RECORDS)]", ["(3, 0)"], 1),
    ],
)
def test_ids_may_be_keys(keys, ids, matched, unlearn, write) -> None:
    write(f"mine_keys = {keys}")
    said = unlearn("--dry-run", keys="mine:mine_keys", forget=listed("keys.txt", *ids))
    assert said.code == 0, said.err
    assert f"{len(ids)} id{'s' * (len(ids) > 1)} matched {matched} of 120 records." in said.out


def test_the_records_of_a_key_are_those_that_go(unlearn) -> None:
    unlearn(
        keys="project:keys", forget=listed("keys.txt", "patient 1", "patient 5"), train_fn="project:train", oracles=1
    )
    record = read_record(Path("new.safetensors"))
    assert record.forgotten == (4, 5, 6, 7, 20, 21, 22, 23)
    stays = [i for i in range(RECORDS) if i not in record.forgotten]
    assert torch.equal(inputs_given()[0], project.train_set().tensors[0][stays])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "must name at least one record"),
        (["# none"], "must name at least one record"),
        ([120], "must lie in [0, 120), but contains [120]"),
        ([-1], "must lie in [0, 120), but contains [-1]"),
        ([3, 4, 3], "1 of 3 are repeated"),
        (["three"], "ids.txt, line 1: an id must be a whole number, but is 'three'"),
        ([1.5], "must be a whole number, but is '1.5'"),
        ([10**30], "far outside"),
        (range(120), "some records must stay"),
    ],
)
def test_positions_that_name_no_records_are_refused(ids, message, refused) -> None:
    assert message in refused(forget=listed("ids.txt", *ids))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "must name at least one record"),
        (["patient 1", "patient 99"], "1 are not, ['patient 99'] first"),
        (["1"], "must be among the keys"),
        (["patient 1", "patient 1"], "1 of 2 are repeated"),
        ([f"patient {i}" for i in range(30)], "some records must stay"),
    ],
)
def test_keys_that_name_no_records_are_refused(ids, message, refused) -> None:
    assert message in refused(keys="project:keys", forget=listed("ids.txt", *ids))


def test_a_file_of_ids_that_is_not_there_or_no_text(refused, folder) -> None:
    assert "--forget must be a file, but 'none.txt' is not there." in refused(forget="none.txt")
    assert "--exclude must be a file, but '.' is a folder." in refused(exclude=".")
    Path("latin").write_bytes("pätient 1".encode("latin-1"))
    assert "latin, line 1: " in refused(keys="project:keys", forget="latin")


def test_excluded_records_are_not_trained_on_either(unlearn) -> None:
    said = unlearn(exclude=listed("gone.txt", 30, 31, 99), train_fn="project:train", oracles=1, method="fine-tune")
    assert "12 ids matched 12 of 120 records, 3 kept out as forgotten before." in said.out
    stays = [i for i in range(WRONG.stop, RECORDS) if i not in (30, 31, 99)]
    assert torch.equal(inputs_given()[0], project.train_set().tensors[0][stays])
    assert read_record(Path("new.safetensors")).forgotten == (*WRONG, 30, 31, 99)
    assert report()["request"]["retain"] == len(stays)


def test_a_record_that_is_forgotten_again_counts_once(unlearn) -> None:
    said = unlearn(exclude=listed("gone.txt", 11, 30))
    assert "12 ids matched 12 of 120 records, 1 kept out as forgotten before." in said.out
    assert read_record(Path("new.safetensors")).forgotten == (*WRONG, 30)


def test_excluding_by_keys_and_excluding_all_the_rest(unlearn, refused) -> None:
    forget, exclude = listed("a.txt", "patient 0"), listed("b.txt", "patient 1", "patient 2")
    said = unlearn("--dry-run", keys="project:keys", forget=forget, exclude=exclude)
    assert "1 id matched 4 of 120 records, 8 kept out as forgotten before." in said.out
    assert "--exclude must lie in [0, 120)" in refused(exclude=listed("b.txt", 120))
    assert "name all 120" in refused(exclude=listed("b.txt", *range(12, 120)))


def test_what_was_forgotten_once_is_not_trained_on_again(unlearn, refused) -> None:
    assert unlearn().code == 0
    listed("next.txt", 20, 21, 22, 23, 24)
    chain = {"weights": "new.safetensors", "forget": "next.txt", "out": "next.safetensors"}
    err = refused(**chain)
    assert "12 such records would be, positions [0, 1, 2, 3, 4] first. Name them in a file for --exclude." in err
    assert "1 such records" in refused(**chain, exclude=listed("most.txt", *range(11)))
    said = unlearn(**chain, exclude="wrong.txt", train_fn="project:train", oracles=1)
    assert said.code == 0, said.err
    record = read_record(Path("next.safetensors"))
    assert record.forgotten == (*WRONG, 20, 21, 22, 23, 24)
    assert record.data == read_record(Path("new.safetensors")).data
    stays = [i for i in range(RECORDS) if i not in record.forgotten]
    assert torch.equal(inputs_given()[0], project.train_set().tensors[0][stays])


# ---------------------------------------------------------------- data


def test_augmented_data_are_refused_with_both_ways_out(refused) -> None:
    err = refused(data="project:augmented")
    assert "must be the same each time it is read" in err
    assert "--training-view" in err
    assert "`fingerprint` attribute" in err


def test_a_training_view_is_what_training_sees(unlearn) -> None:
    seen = REFERENCES | {"oracles": 2}
    said = unlearn(**seen, training_view="project:augmented")
    assert said.code == 0, said.err
    assert len(project.given) == 2
    plain, _ = project.stacked(Subset(project.train_set(), range(WRONG.stop, RECORDS)))
    first, again = inputs_given()[0], inputs_given()[0]
    assert not torch.equal(first, again)  # anew at each reading
    assert (first - plain).abs().max() < 0.5  # of the records that stay, in their order
    project.given.clear()
    assert unlearn(**seen, training_view="project:augmented").code == 0
    assert project.given == []  # all were found again
    unlearn(**seen)
    assert len(project.given) == 2  # training without the view is another training


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("Subset(train_set(), range(100))", "holds 100 for 120"),
        ("Subset(train_set(), range(RECORDS)[::-1])", "in the same order, but"),
        (
            "TensorDataset(train_set().tensors[0][:, :5], train_set().tensors[1])",
            "the model cannot be trained on its data",
        ),
        ("TensorDataset(train_set().tensors[0] * float('nan'), train_set().tensors[1])", "the loss must be finite"),
    ],
)
def test_a_view_of_other_records_is_refused(view, message, refused, write) -> None:
    write(f"def view():\n    return {view}")
    assert message in refused(training_view="mine:view")


def test_data_that_the_weights_were_not_trained_on_are_refused(refused, call, write) -> None:
    call("fingerprint", "--weights", "model.safetensors", "--data", "project:train_set")
    write(
        "def other():\n    inputs, labels = train_set().tensors\n    return TensorDataset(inputs.flip(0), labels.flip(0))"
    )
    err = refused(data="mine:other")
    assert "--data must be the data that model.safetensors was trained on, but its fingerprint is " in err
    assert "(120 records then" not in err
    assert "(120 records then, 80 now)" in refused(data="project:test_set", holdout="project:like_the_wrong")


def test_weights_replaced_without_their_record_are_refused(refused, call, trained) -> None:
    call("fingerprint", "--weights", "model.safetensors", "--data", "project:train_set")
    save_file({name: tensor + 1 for name, tensor in trained.items()}, "model.safetensors")
    assert "must speak of the weights in model.safetensors" in refused()


def test_data_without_a_record_are_taken_at_their_word(unlearn) -> None:
    assert "No record beside model.safetensors of the data it was trained on" in unlearn("--dry-run").out


def holdout_with(shared: int, of: int) -> str:
    return (
        f"def unseen():\n    inputs, labels = records({of}, seed=2)\n"
        f"    inputs[:{shared}] = train_set().tensors[0][:{shared}]\n    return TensorDataset(inputs, labels)"
    )


def test_unseen_data_that_were_trained_on_are_refused(refused, write) -> None:
    err = refused(holdout="project:train_set")
    assert "96 of the 96 records of --holdout have exactly the inputs of a record of --data" in err
    assert "--overlap drop" in err
    assert "--matched and --data must not share records" in refused(matched="project:train_set")
    assert "must hold at least one example" in refused(holdout="project:train_set", overlap="drop")
    write(holdout_with(24, 80))
    assert "must not share records" in refused(holdout="mine:unseen")


def test_a_few_shared_records_are_left_out_with_a_warning(unlearn, write, caplog) -> None:
    write(holdout_with(2, 800))
    said = unlearn(holdout="mine:unseen")
    assert said.code == 0, said.err
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    left_out = sum(int(message.split()[0]) for message in told)
    assert left_out == 2
    assert all("are left out" in message for message in told)
    assert report()["request"]["holdout"] in (638, 639, 640)


@pytest.mark.parametrize(("rule", "left"), [("drop", 56), ("allow", 80)])
def test_shared_records_are_dropped_or_kept_as_asked(rule, left, unlearn, write) -> None:
    write(holdout_with(24, 80))
    said = unlearn(holdout="mine:unseen", overlap=rule, validation_share=0)
    assert said.code == 0, said.err
    assert report()["request"]["holdout"] == left


def test_unseen_data_are_split_by_the_seed(unlearn) -> None:
    unlearn(seed=1, validation_share=0.5)
    one = report()
    assert one["request"]["holdout"] == 40
    unlearn(seed=3, validation_share=0.5)
    other = report()
    assert one["original"]["accuracy"]["holdout"] != other["original"]["accuracy"]["holdout"]
    assert one["original"]["accuracy"]["retain"] == other["original"]["accuracy"]["retain"]


DATA = {
    "a value that is not finite": (
        "def data():\n    s = train_set()\n    s.tensors[0][30, 2] = float('nan')\n    return s",
        "1 of its records hold NaN or infinity, [30] first",
    ),
    "a label out of range": (
        "def data():\n    s = train_set()\n    s.tensors[1][30] = 7\n    return s",
        "labels must lie in [0, 3), one logit of the model for each class, but those of --data contain [7]",
    ),
    "a negative label": (
        "def data():\n    s = train_set()\n    s.tensors[1][30] = -100\n    return s",
        "contain [-100]",
    ),
    "float labels": (
        "def data():\n    x, y = train_set().tensors\n    return TensorDataset(x, y.float())",
        "labels must be whole numbers, the classes, but are torch.float32",
    ),
    "one-hot labels": (
        "def data():\n    x, y = train_set().tensors\n    return TensorDataset(x, functional.one_hot(y))",
        "Turn one-hot labels into classes with argmax(1)",
    ),
    "a record that cannot be read": (
        "class data(Dataset):\n    def __len__(self):\n        return RECORDS\n    def __getitem__(self, i):\n"
        "        if i == 17:\n            raise OSError('image file is\\ntruncated')\n        return train_set()[i]",
        "record 17 of --data cannot be read: OSError: image file is",
    ),
    "a record that exits": (
        "import sys\nclass data(Dataset):\n    def __len__(self):\n        return RECORDS\n    def __getitem__(self, i):\n"
        "        if i == 17:\n            sys.exit(0)\n        return train_set()[i]",
        "SystemExit",
    ),
    "no records": (
        "def data():\n    return Subset(train_set(), [])",
        "--data 'mine:data' must hold at least one record, but is empty",
    ),
    "no length": (
        "class data(IterableDataset):\n    def __iter__(self):\n        return iter(train_set())",
        "--data 'mine:data': a data set must have a length and be indexed by position, but data has no length",
    ),
    "records of three parts": (
        "def data():\n    x, y = train_set().tensors\n    return TensorDataset(x, x, y)",
        "a batch must be (inputs, labels), but has 3 parts",
    ),
    "inputs of another type": (
        "def data():\n    x, y = train_set().tensors\n    return x.double().numpy(), y.numpy()",
        "the model cannot be run on a batch with inputs of shape (8, 6) and type float64: RuntimeError: ",
    ),
    "a function that raises": ("def data():\n    return 1 / 0", "raised ZeroDivisionError: division by zero"),
    "a function that exits": ("def data():\n    import sys\n    sys.exit(0)", "raised SystemExit: 0"),
    "a function with arguments": ("def data(root):\n    return train_set()", "callable without arguments, but raised"),
    "a module that fails": ("1 / 0", "'mine' cannot be imported (ZeroDivisionError: division by zero)"),
    "a module that exits": ("import sys\nsys.exit()", "'mine' cannot be imported (SystemExit: )"),
    "a module that is no Python": ("def data(:", "'mine' cannot be imported (SyntaxError: "),
    "something else": ("data = {'train': 3}", "but is a dict"),
}  # fmt: skip


@pytest.mark.parametrize("what", DATA)
def test_data_that_cannot_be_used_are_refused(what, refused, write) -> None:
    text, message = DATA[what]
    write(text)
    assert message in refused(data="mine:data")


def test_a_label_of_unseen_data_that_the_model_does_not_know(refused, write) -> None:
    write("def unseen():\n    s = test_set()\n    s.tensors[1][:] = 5\n    return s")
    assert "those of --holdout contain [5]" in refused(holdout="mine:unseen")


@pytest.mark.parametrize(
    "text",
    [
        "def data():\n    x, y = train_set().tensors\n    return x.numpy(), y.numpy()",
        "def data():\n    return list(train_set().tensors)",
        "def data():\n    x, y = train_set().tensors\n    return x.numpy()[:, ::-1][:, ::-1], y.numpy().astype('>i4')",
        "data = train_set()",
        "class data(Dataset):\n    def __init__(self):\n        self.all = train_set()\n    def __len__(self):\n"
        "        return RECORDS\n    def __getitem__(self, i):\n        return self.all[i]",
        "def data():\n    return [(x, int(y)) for x, y in train_set()]",
    ],
)
def test_the_same_data_held_in_any_way_give_the_same_model(text, unlearn, write) -> None:
    unlearn()
    expected = load_file("new.safetensors")
    write(text)
    said = unlearn(data="mine:data", out="other.safetensors")
    assert said.code == 0, said.err
    found = load_file("other.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# ---------------------------------------------------------------- models

WRAPPED = """
class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build()

    def state_dict(self, *args, **more):
        return self.net.state_dict(*args, **more)

    def load_state_dict(self, state, strict=True):
        return self.net.load_state_dict(state, strict)

    def forward(self, {arguments}):
        {body}

class Dicts(Dataset):
    def __init__(self, plain):
        self.plain = plain

    def __len__(self):
        return len(self.plain)

    def __getitem__(self, i):
        inputs, label = self.plain[i]
        return {{"features": inputs, "labels": label}}

def dicts():
    return Dicts(train_set())

def unseen_dicts():
    return Dicts(test_set())
"""


def wrapped(body: str, arguments: str = "x") -> str:
    return WRAPPED.format(body=body, arguments=arguments)


@pytest.mark.parametrize(
    "body",
    [
        "return self.net(x), 'more'",
        "return [self.net(x)]",
        "import types; return types.SimpleNamespace(logits=self.net(x), loss=None)",
    ],
)
def test_a_model_may_return_more_than_logits(body, unlearn, write) -> None:
    write(wrapped(body))
    assert unlearn(model="mine:Wrapped").code == 0
    found = load_file("new.safetensors")
    assert unlearn(out="plain.safetensors").code == 0
    expected = load_file("plain.safetensors")
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [("features, scale=1", "return self.net(features * scale)"), ("batch", "return self.net(batch['features'])")],
)
def test_records_may_be_dicts(arguments, body, unlearn, write) -> None:
    write(wrapped(body, arguments))
    said = unlearn(model="mine:Wrapped", data="mine:dicts", holdout="mine:unseen_dicts")
    assert said.code == 0, said.err
    found = load_file("new.safetensors")
    assert unlearn(out="plain.safetensors").code == 0
    expected = load_file("plain.safetensors")
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "raise RuntimeError('boom\\nbang')",
            "the model cannot be run on a batch with inputs of shape (8, 6) and type float32: RuntimeError: boom bang",
        ),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("return self.net(x) * float('nan')", "must give finite outputs"),
        ("return self.net(x)[:4]", "but returned (4, 3)"),
        ("return self.net(x)[:, None]", "but returned (8, 1, 3)"),
        ("return {'out': self.net(x)}", "but returned a dict"),
        ("return None", "but returned a NoneType"),
        ("return self.net(x)[:, :2]", "labels must lie in [0, 2), one logit of the model for each class, but"),
        ("return self.net(x)[:, 0]", "--task ebbing:BinaryClassification); regression cannot be judged"),
        ("return self.net(x).detach()", "is all frozen?"),
        ("return self.net(x[:, :5])", "the model cannot be run on a batch with inputs of shape (8, 6)"),
    ],
)
def test_a_model_that_does_not_go_with_the_data_is_refused(body, message, refused, write) -> None:
    write(wrapped(body))
    assert message in refused(model="mine:Wrapped")


def test_a_regression_is_refused(refused, write) -> None:
    write(
        wrapped("return self.net(x)[:, :1]") + "\n\ndef numbers():\n    x, y = train_set().tensors\n"
        "    return TensorDataset(x, y + 0.5)"
    )
    assert "regression cannot be judged" in refused(model="mine:Wrapped", data="mine:numbers")
    err = refused(model="mine:Wrapped", data="mine:numbers", task="ebbing:BinaryClassification")
    assert "must be 0 or 1, but contain [0.5, 1.5, 2.5]. Regression cannot be judged" in err


BINARY = """
from ebbing import BinaryClassification
from ebbing.task import Task

def one_logit():  # no bias before normalisation: its gradient is rounding alone, which Adam makes large
    return nn.Sequential(nn.Linear(FEATURES, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))

def two_classes(part):
    inputs, labels = part.tensors
    return TensorDataset(inputs, (labels > 0).float()[:, None])

def data():
    return two_classes(train_set())

def unseen():
    return two_classes(test_set())

def fit_binary(dataset, *, seed):
    torch.manual_seed(seed)
    model = one_logit()
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    inputs, labels = stacked(dataset)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(inputs), labels).backward()
        optimizer.step()
    return model

class TorchsOwn(BinaryClassification):
    def loss(self, outputs):
        return functional.binary_cross_entropy_with_logits(outputs.logits[:, 1], outputs.targets.float())
"""


def test_a_model_with_one_logit(unlearn, write, folder, monkeypatch) -> None:
    write(BINARY)
    monkeypatch.syspath_prepend(str(folder))
    mine = importlib.import_module("mine")

    save_file(mine.fit_binary(mine.data(), seed=0).state_dict(), "binary.safetensors")
    options = {
        "model": "mine:one_logit",
        "weights": "binary.safetensors",
        "data": "mine:data",
        "holdout": "mine:unseen",
        "method": "fine-tune",
    }
    judged = {"train_fn": "mine:fit_binary", "oracles": 4}
    said = unlearn(**options, **judged, task="ebbing:BinaryClassification")
    assert said.code == 0, said.err
    assert "Warning" not in said.out
    assert report()["methods"]["fine-tune"]["memory"] is not None
    assert report()["original"]["accuracy"]["retain"] > 0.9
    assert unlearn(**options, task="mine:TorchsOwn", out="torch.safetensors").code == 0
    inputs, _ = mine.unseen().tensors
    logits = []
    for name in ("binary", "new", "torch"):
        model = mine.one_logit().eval()
        model.load_state_dict(load_file(f"{name}.safetensors"))
        logits.append(model(inputs))
    before, ours, theirs = logits
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, before, atol=0.1)


def test_the_loss_of_one_logit_is_torchs_own() -> None:
    logits = torch.linspace(-40, 40, 81, requires_grad=True)
    labels = torch.arange(81) % 2
    task = BinaryClassification()
    outputs = task.forward(nn.Identity(), (logits[:, None], labels[:, None].double()))
    expected = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
    assert torch.allclose(task.loss(outputs), expected, rtol=1e-6)
    (ours,) = torch.autograd.grad(task.loss(outputs), logits)
    (theirs,) = torch.autograd.grad(expected, logits)
    assert torch.allclose(ours, theirs, atol=1e-7)


def test_a_task_of_the_users_own_is_what_the_repair_minimises(unlearn, write) -> None:
    write(
        "from ebbing import Classification\n\n"
        "class Smooth(Classification):\n"
        "    def loss(self, outputs):\n"
        "        given.append(len(outputs.targets))\n"
        "        return functional.cross_entropy(outputs.logits, outputs.targets, label_smoothing=0.3)\n"
    )
    assert unlearn(task="mine:Smooth").code == 0
    assert project.given == [8, *[64, 44] * 10]  # preflight tries a few, then ten epochs of 108 records
    smooth = load_file("new.safetensors")
    assert unlearn(out="sharp.safetensors").code == 0
    sharp = load_file("sharp.safetensors")
    assert any(not torch.allclose(smooth[name], sharp[name], atol=1e-3) for name in smooth)


TASKS = {
    "forward gives nothing": ("def forward(self, model, batch):\n        return None", "but returned a NoneType"),
    "forward gives a tensor": ("def forward(self, model, batch):\n        return model(batch[0])", "returned a Tensor"),
    "forward raises": ("def forward(self, model, batch):\n        raise KeyError('x')", "KeyError: 'x'"),
    "outputs are no tensors": (
        "def forward(self, model, batch):\n        return Outputs([1.0], None)",
        "but are a list and a NoneType",
    ),
    "one class": (
        "def forward(self, model, batch):\n        return Outputs(model(batch[0])[:, :1], batch[1] * 0)",
        "classes >= 2",
    ),
    "other targets": (
        "def forward(self, model, batch):\n        return Outputs(model(batch[0]), 2 - batch[1])",
        "a task's forward and its targets must give the same labels, but for",
    ),
    "fewer targets": (
        "def forward(self, model, batch):\n        return Outputs(model(batch[0]), batch[1][:3])",
        "for a batch of n = 8 records, but are (8, 3) and (3,)",
    ),
    "no loss": ("def loss(self, outputs):\n        return None", "must be a tensor without dimensions, but is NoneType"),
    "a loss for each": (
        "def loss(self, outputs):\n        return cross_entropy(outputs)",
        "must be a tensor without dimensions, but is (8,)",
    ),
    "a loss that is not finite": (
        "def loss(self, outputs):\n        return outputs.logits.sum() * float('inf')",
        "the loss must be finite, but is ",
    ),
    "a loss that raises": (
        "def loss(self, outputs):\n        raise ValueError('no')",
        "the model cannot be trained on its data: ValueError: no",
    ),
    "no class of a task": ("pass\n\nSpoiled = 3", "must be a Task, but is 3"),
    "a task with arguments": ("def __init__(self, x):\n        pass", "can be made without arguments"),
}  # fmt: skip


@pytest.mark.parametrize("what", TASKS)
def test_a_task_that_returns_rubbish_is_refused(what, refused, write) -> None:
    body, message = TASKS[what]
    write(
        "from ebbing import Classification\nfrom ebbing.task import Outputs, cross_entropy\n\n"
        f"class Spoiled(Classification):\n    {body}\n"
    )
    assert message in refused(task="mine:Spoiled")


@pytest.mark.parametrize(
    "gives", ["None", "[0] * RECORDS", "Classification().targets(data)[:-1]", "torch.zeros(RECORDS, 1)"]
)
def test_a_task_whose_targets_are_none_is_refused(gives, refused, write) -> None:
    write(
        "from ebbing import Classification\n\n"
        f"class Spoiled(Classification):\n    def targets(self, data):\n        return {gives}\n"
    )
    assert (
        "a task's targets must be a tensor of whole numbers of shape (n,), but for the n = 120 records of"
        in refused(task="mine:Spoiled")
    )


# ---------------------------------------------------------------- weights


def test_weights_of_another_network_are_refused(refused, write) -> None:
    write("def wider():\n    model = build()\n    model[0] = nn.Linear(FEATURES, 25)\n    return model")
    err = refused(model="mine:wider")
    assert "'0.weight': (24, 6) for (25, 6)" in err
    assert "Is the model the network that these weights were trained with?" in err


def test_a_pickle_is_read_only_where_it_is_allowed(refused, unlearn, trained) -> None:
    torch.save(trained, "model.pt")
    assert "or pass --allow-pt" in refused(weights="model.pt")
    said = unlearn("--allow-pt", weights="model.pt")
    assert said.code == 0, said.err
    found = load_file("new.safetensors")
    assert unlearn(out="other.safetensors").code == 0
    expected = load_file("other.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_pickle_that_runs_code_is_not_run(refused, write) -> None:
    import pickle

    class Harmful:
        def __reduce__(self) -> tuple:
            return os.mkdir, ("harm",)

    Path("model.pt").write_bytes(pickle.dumps({"weight": Harmful()}))
    refused(weights="model.pt")
    refused("--allow-pt", weights="model.pt")
    assert not Path("harm").exists()


def test_weights_that_are_not_finite_are_refused(refused, trained) -> None:
    save_file(
        {n: torch.full_like(t, math.inf) if n == "0.bias" else t.clone() for n, t in trained.items()}, "bad.safetensors"
    )
    assert "must be finite" in refused(weights="bad.safetensors")


def test_weights_that_know_nothing_are_warned_about(unlearn, trained) -> None:
    zeros = {n: torch.zeros_like(t) if n.startswith("6.") else t.clone() for n, t in trained.items()}
    save_file(zeros, "zeros.safetensors")
    said = unlearn("--dry-run", weights="zeros.safetensors")
    assert said.code == 0
    assert "Warning: that is hardly more than the commonest class alone" in said.out
    assert "Warning" not in unlearn("--dry-run").out


def test_several_originals_need_not_be_there(refused) -> None:
    err = refused(weights="none.safetensors", retrained=["a.safetensors", "b.safetensors"])
    assert [line.split(" must")[0] for line in err.splitlines()] == [
        *("Error: --weights", "Error: --retrained", "Error: --retrained")
    ]
