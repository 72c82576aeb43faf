"""``ebbing audit``: weights made by anybody, judged beside the original and retrained ones."""

import json
from pathlib import Path

import project
import pytest
import torch
from project import RECORDS, WRONG, contents, listed, worded
from safetensors.torch import save_file
from torch.utils.data import Subset

from ebbing.checkpoints import write_weights


def saved(name: str, *, seed: int, first: int = WRONG.stop) -> str:
    """Weights trained on the records from ``first``, as a file."""
    save_file(project.train(Subset(project.train_set(), range(first, RECORDS)), seed=seed).state_dict(), name)
    return name


@pytest.fixture
def retrained(folder) -> list[str]:
    """Four models that never saw the wrong records, as files."""
    return [saved(f"retrained{seed}.safetensors", seed=50 + seed) for seed in range(4)]


@pytest.fixture
def audit(call, folder):
    """``ebbing audit`` with what the project has; None leaves an option out, a list repeats it."""

    def audit_(*flags: str, **changes):
        options = {
            "model": "project:build",
            "original": "model.safetensors",
            "unlearned": "new.safetensors",
            "data": "project:train_set",
            "holdout": "project:test_set",
            "forget": "wrong.txt",
            "out": "judged",
            "threads": 1,
        }
        return call("audit", *worded(options | changes), *flags)

    return audit_


def report(path: str = "judged/report.json") -> dict:
    return json.loads(Path(path).read_text())


def test_it_says_what_unlearn_says_of_the_same_files(audit, unlearn, retrained, folder) -> None:
    shared = {"retrained": retrained, "matched": "project:like_the_wrong", "seed": 3}
    assert unlearn(**shared).code == 0
    theirs = report("new.report.json")
    before = contents(folder)
    said = audit(**shared)
    assert said.code == 0, said.err
    after = contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"judged", "judged/report.json", "judged/report.html"}
    ours = report()
    for key in ("request", "original", "oracles", "bands"):
        assert ours[key] == theirs[key], key
    one, other = ours["methods"]["unlearned"], theirs["methods"]["ebb"]
    for key in ("verdict", "memory", "accuracy", "drift", "attacks", "tow", "removed"):
        assert one[key] == other[key], key
    assert one["memory"] is not None
    assert one["cost"] == {"seconds": None, "ratio_to_retraining": None, "examples_ratio": None}
    assert ours["provenance"]["weights"] == {
        "original": ["model.safetensors"],
        "unlearned": ["new.safetensors"],
        "retrained": retrained,
    }
    assert one["verdict"]["reason"].split(";")[0] in " ".join(said.out.split())
    assert "Written to judged/report.json and judged/report.html" in said.out


def test_an_attack_of_ones_own_stands_beside_the_others(audit, unlearn, folder) -> None:
    Path("more.txt").write_text("\n".join(map(str, range(24))))
    assert unlearn(forget="more.txt", attack="project:Loud").code == 0
    theirs = report("new.report.json")["methods"]["ebb"]["attacks"]
    said = audit(forget="more.txt", attack="project:Loud")
    assert said.code == 0, said.err
    ours = report()
    assert ours["provenance"]["attacks"]["loud"]["class"] == "project:Loud"
    assert ours["methods"]["unlearned"]["attacks"] == theirs
    assert 0 < theirs["loud"]["low"] <= theirs["loud"]["auc"] <= theirs["loud"]["high"] < 1


def test_another_seed_holds_other_data_out(audit) -> None:
    saved("new.safetensors", seed=7)
    found = []
    for seed in (1, 3):
        audit(seed=seed, validation_share=0.5)
        found.append(report()["original"]["accuracy"])
    one, other = found
    assert one["holdout"] != other["holdout"]
    assert (one["forget"], one["retain"]) == (other["forget"], other["retain"])


def test_of_several_models_the_worst_counts(audit, retrained) -> None:
    good, bad = saved("good.safetensors", seed=9), saved("bad.safetensors", seed=10, first=0)
    audit(retrained=retrained, unlearned=[good, bad])
    block = report()["methods"]["unlearned"]
    assert " of 2 models, the first: " in block["verdict"]["reason"]
    low, high = block["memory"]["low"], block["memory"]["high"]
    alone = []
    for name in (good, bad):
        audit(retrained=retrained, unlearned=name)
        alone.append(report()["methods"]["unlearned"]["memory"]["m"])
    assert (low, high) == (min(alone), max(alone))


def test_several_originals(audit) -> None:
    saved("new.safetensors", seed=9)
    other = saved("other.safetensors", seed=11, first=0)
    said = audit(original=["model.safetensors", other])
    assert said.code == 0, said.err
    assert said.out.count("No record beside") == 2


def test_a_bad_outcome_is_code_3(audit) -> None:
    saved("new.safetensors", seed=9)
    said = audit(fail_if="damaged,inconclusive")
    assert said.code == 3
    assert "--fail-if: the verdict is inconclusive." in said.out
    assert report()["methods"]["unlearned"]["verdict"]["outcome"] == "inconclusive"
    assert audit(fail_if="damaged").code == 0


def test_without_references_it_is_inconclusive(audit) -> None:
    saved("new.safetensors", seed=9)
    said = audit()
    assert said.code == 0
    told = "No retrained reference: the only possible verdict is inconclusive."
    assert -1 < said.out.find(told) < said.out.find("audit  ")
    assert report()["methods"]["unlearned"]["memory"] is None


def test_the_original_may_be_judged_as_what_does_nothing(audit, retrained) -> None:
    assert audit(unlearned="model.safetensors", retrained=retrained).code == 0
    block = report()["methods"]["unlearned"]
    assert block["notes"] == ["No-op: every output is the original's."]
    assert block["memory"] == report()["original"]["memory"]


def test_weights_made_to_forget_something_else_are_warned_about(audit, unlearn, folder) -> None:
    unlearn()
    listed("more.txt", *range(10, 14))
    warning = "Warning: by the record beside new.safetensors it was not made to forget"
    assert f"{warning} 2 of the 4 records of this request." in audit(forget="more.txt").out
    assert warning not in audit().out
    assert warning not in audit(forget=listed("fewer.txt", 3, 4)).out
    # a record of other data, or none, says nothing
    write_weights(Path("new.safetensors"), project.build(), data="something else", records=5, forgotten=[1])
    assert warning not in audit().out
    Path("new.safetensors.json").unlink()
    assert warning not in audit().out


def test_an_original_that_was_trained_on_other_data_is_refused(audit, call, folder) -> None:
    saved("new.safetensors", seed=9)
    call("fingerprint", "--weights", "model.safetensors", "--data", "project:test_set")
    said = audit(holdout="project:like_the_wrong")
    assert said.code == 2
    assert "--data must be the data that model.safetensors was trained on" in said.err
    assert not Path("judged").exists()


def test_files_that_are_not_there_are_all_told_at_once(audit, folder) -> None:
    before = contents(folder)
    said = audit(
        original=["a.safetensors", "b.safetensors"],
        unlearned=["c.safetensors", "model.safetensors"],
        retrained=["d.safetensors", "e.safetensors"],
        forget="f.txt",
        exclude="g.txt",
        out="wrong.txt/judged",
    )
    assert said.code == 2
    lines = said.err.splitlines()
    assert all(line.startswith("Error: --") for line in lines)
    for name in ("a.safetensors", "b.safetensors", "c.safetensors", "d.safetensors", "e.safetensors", "f.txt", "g.txt"):
        assert sum(f"{name!r} is not there" in line for line in lines) == 1, name
    assert sum("cannot be written to: Not a directory" in line for line in lines) == 1
    assert len(lines) == 8
    assert contents(folder) == before


@pytest.mark.parametrize("option", ["original", "unlearned", "retrained"])
def test_a_reference_that_is_held_against_itself_is_refused(option, audit, retrained, folder) -> None:
    saved("new.safetensors", seed=9)
    Path("copy.safetensors").write_bytes(Path(retrained[0]).read_bytes())
    before = contents(folder)
    files = {"original": ["model.safetensors"], "unlearned": ["new.safetensors"], "retrained": retrained}
    said = audit(**files | {option: [*files[option], "copy.safetensors"]})
    assert said.code == 2
    assert f"but --retrained retrained0.safetensors and --{option} copy.safetensors hold the same weights" in said.err
    assert contents(folder) == before


def test_a_folder_stands_for_the_weights_in_it(audit, retrained, folder) -> None:
    saved("new.safetensors", seed=9)
    audit(retrained=retrained)
    expected = report()
    (folder / "kept").mkdir()
    for name in retrained:
        Path(name).rename(folder / "kept" / name)
    said = audit(retrained="kept")
    assert said.code == 0, said.err
    for key in ("oracles", "bands", "methods"):
        assert report()[key] == expected[key]
    (folder / "empty").mkdir()
    assert "--retrained may be a folder of .safetensors files, but 'empty' holds none" in audit(retrained="empty").err


def test_of_the_folder_of_a_run_only_the_retrained_models_are_references(audit, unlearn, folder) -> None:
    references = {"train_fn": "project:train", "oracles": 2}
    unlearn(**references)
    unlearn(**references | {"oracles": 1}, forget=listed("other.txt", 50, 51))  # of another request
    said = audit(retrained="new.work/models")
    assert said.code == 0, said.err
    assert "--retrained: 3 of 5 files are left out; the first, new.work/models/" in said.out
    assert report()["oracles"]["count"] == 2
    expected = report("new.report.json")["provenance"]
    assert expected["seeds"]["oracles"] == [1000]
    none = audit(retrained="new.work/models", forget=listed("third.txt", *range(30, 90)))
    assert none.code == 2
    assert "retrained on the 60 records that stay, but of 5 files none is: new.work/models/" in none.err


def test_what_a_method_made_is_no_reference(audit, unlearn, retrained, folder) -> None:
    unlearn()
    unlearn(out="more.safetensors", set="duration=3")
    before = contents(folder)
    said = audit(retrained=[*retrained, "more.safetensors"])
    assert said.code == 2
    assert "retrained on the 108 records that stay, but more.safetensors was made by the method 'ebb'." in said.err
    assert contents(folder) == before


def test_weights_that_do_not_fit_are_refused_with_their_option(audit, folder) -> None:
    save_file({"weight": torch.zeros(3)}, "new.safetensors")
    said = audit()
    assert said.code == 2
    assert said.err.startswith("Error: --unlearned: the tensors in new.safetensors must be the 11 of the model")


def test_pickles_are_read_only_where_that_is_allowed(audit, trained) -> None:
    torch.save({"state_dict": trained, "epoch": 3}, "new.pt")
    assert "pass --allow-pt" in audit(unlearned="new.pt").err
    said = audit("--allow-pt", unlearned="new.pt")
    assert said.code == 0, said.err
    assert "new.pt: the weights were taken from 'state_dict' of the checkpoint" in said.out
