"""``ebbing bench``: through the command line on a small task, and what is said before anything is trained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ebbing.bench import tasks
from ebbing.bench.cells import Job
from ebbing.bench.methods import METHODS
from ebbing.bench.tasks import TASKS
from ebbing.bench.tuning import REFUSED
from ebbing.cli import bench
from ebbing.cli.listing import told_apart
from ebbing.training import Recipe

SMALL = replace(TASKS["digits-mislabelled5-cnn/v1"], models=4, recipe=Recipe(epochs=2, learning_rate=5e-3))


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    return ["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "--task", "cifar"], "--task must begin the name of a task, but 'cifar' does not"),
        (["run", "--budget", "0"], r"--budget must be a share of one retraining in (0, 1], but is 0"),
        (["run", "--set", "repair.epochs=3"], "--set needs --method"),
        (
            ["run", "--method", "salun", "--set", "share=.2"],
            "--set would change salun under the label of the leaderboard",
        ),
        (["run", "--method", "nosuch"], "--method 'nosuch' is unknown"),
        (["run", "--method", "eu-4"], "--method 'eu-4' is unknown. Did you mean 'eu-3'?"),
        (["run", "--tuned"], "--tuned needs methods that were tuned"),
        (["tune", "--method", "ebb", "--task", "fashion10k-random"], "settings may not be chosen on fashion10k"),
        (["tune", "--method", "ebb", "--space", "duration"], "--space must be FIELD=LOW:HIGH[:log]"),
        (["tune", "--method", "ebb", "--space", "speed=1:2"], "Ebb has no setting 'speed'"),
        (["run", "--method", "ebb@salun"], "'salun' is a label of the leaderboard"),
        (["run", "--method", "ebb@a/b"], "a label must begin with a letter or digit"),
        (["tune", "--method", "ebb", "--budget", "2"], "the budget must be a share of one retraining"),
        (["import", "digits", "nowhere", "--label", "mine", "--budget", "0.1"], "no task is called 'digits'"),
        (["show"], "no finished task is in"),
    ],
)
def test_what_cannot_be_done_is_said(words, why, call, places, tmp_path) -> None:
    folders = places if words[0] != "show" else places[:2]
    said = call("bench", *words, *folders)
    assert said.code == 2
    assert why in " ".join(said.err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "blocked"),
    [
        (["run", "--task", "digits-mis", "--method", "fine-tune"], "--results"),
        (["run", "--task", "digits-mis", "--method", "fine-tune"], "--out"),
        (["tune", "--method", "fine-tune"], "--results"),
        (["import", SMALL.name, "nowhere", "--label", "mine", "--budget", "0.1"], "--results"),
        (["export", SMALL.name, "task"], "--out"),
        (["export", SMALL.name], "FOLDER"),
    ],
)
def test_what_cannot_be_written_is_said_by_its_option_before_anything_is_trained(
    words, blocked, call, tmp_path
) -> None:
    (tmp_path / "file").write_text("")
    places = {"--results": tmp_path / "results", "--out": tmp_path / "out"} | {blocked: tmp_path / "file" / "inside"}
    folder = [str(places.pop("FOLDER"))] if blocked == "FOLDER" else []
    if words[0] == "export":
        del places["--results"]
    said = call("bench", *words, *folder, *(str(word) for pair in places.items() for word in pair))
    assert said.code == 2
    assert re.search(rf"{blocked} \S+ cannot be written to: Not a directory", said.err.replace("\n", " "))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_list_names_every_task_and_label_in_full(call) -> None:
    said = call("bench", "list")
    assert said.code == 0
    cells = [cell.strip() for line in said.out.splitlines() for cell in line.split("│")]
    assert set(TASKS) <= set(cells)
    assert set(METHODS) <= set(cells)
    assert "not frozen" not in cells


def test_the_list_tells_apart_who_is_of_one_class() -> None:
    apart = told_apart(METHODS)
    assert (apart["eu-1"], apart["eu-3"], apart["salun"]) == ("layers=1", "layers=3", "")
    assert "rate=FixedRate, rate.decay_time=2.0" in apart["forgetting-network-ffr"]
    said = [(type(method), apart[label]) for label, method in METHODS.items()]
    assert len(set(said)) == len(said)


def test_the_list_says_what_tells_them_apart(call) -> None:
    assert "all others are frozen. Here layers=2." in " ".join(call("bench", "list").out.replace("│", " ").split())


def test_a_task_of_a_large_network_is_named_whole_or_not_meant() -> None:
    large = TASKS["fashion10k-mislabelled5-resnet18/v1"]
    for words in ((), ("fashion10k",), ("fashion10k-mislabelled5-resnet",)):
        assert large not in (found := bench.chosen_tasks(words))
        assert TASKS["fashion10k-mislabelled5-resnet/v1"] in found
    assert bench.chosen_tasks(("fashion10k-mislabelled5-resnet18",)) == [large]
    assert bench.chosen_tasks((large.name,)) == [large]


def test_a_dry_run_counts_what_there_is_to_do(call, places, tmp_path) -> None:
    said = call("bench", "run", "--task", "digits-", "--method", "ebb", "--method", "do-nothing", "--dry-run", *places)
    assert said.code == 0
    assert "0 of 24 cells are finished; 24 to make, and 768 models to train" in " ".join(said.out.split())
    assert list(tmp_path.iterdir()) == []


def test_a_task_from_end_to_end(call, places, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight models of two epochs: nothing can be said of them, but everything is made, shown, taken away and brought back."""
    for module in (tasks, bench):
        monkeypatch.setattr(module, "TASKS", {SMALL.name: SMALL})
    one = ["--budget", "0.5", "--workers", "1", *places]
    said = call("bench", "run", "--method", "fine-tune", "--method", "ebb@mine", "--set", "mine.duration=2", *one)
    assert said.code == 0, said.err
    assert "8 of 8 models" in said.out
    assert "2 of 2 cells, about" in said.out
    made = tmp_path / "results" / SMALL.folder
    assert {p.name for p in made.iterdir()} == {"reference.json", "margins.npz", "fine-tune-50.json", "mine-50.json"}
    assert json.loads((made / "mine-50.json").read_text())["settings"]["duration"] == 2
    assert (
        "2 of 2 cells are finished"
        in call(
            "bench",
            "run",
            "--method",
            "fine-tune",
            "--method",
            "ebb@mine",
            *one[:-4],
            "--set",
            "mine.duration=2",
            *places,
        ).out
    )

    assert call("bench", "export", SMALL.name, tmp_path / "task", "--out", places[3]).code == 0
    back = call(
        "bench", "import", SMALL.name, tmp_path / "task" / "originals", "--label", "theirs", "--budget", "0.5", *places
    )
    assert back.code == 0, back.err
    assert "nothing is to be done" not in back.out
    again = call(
        "bench", "import", SMALL.name, tmp_path / "task" / "originals", "--label", "theirs", "--budget", "0.5", *places
    )
    assert (again.code, "nothing is to be done" in again.out) == (0, True), again
    shown = call("bench", "show", *places[:2])
    assert all(
        re.search(rf"^\| \**{name}\**( \(.*\))? \|", shown.out, re.M) for name in ("fine-tune", "mine", "theirs")
    )
    page = tmp_path / "board.html"
    assert call("bench", "show", *places[:2], "--html", page).code == 0
    text = page.read_text()
    assert text.count('<figure class="plot"') == 2
    assert all(f"<b>{name}</b>" in text or f">{name}</th>" in text for name in ("fine-tune", "mine", "theirs"))
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", text)


def test_tuning_names_the_command_that_makes_its_cells(call, places, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the method as it was named, its settings, its budget, and the folders that are not the usual ones."""
    asked = []

    def trials(tuning, places, *, workers, on_model):
        asked.append((tuning.method.repair.batch_size, workers))
        on_model(Job(tuning.tasks[0], "retrained", 3), 1, 20)
        yield {"settings": {"repair.learning_rate": 0.01}, "value": 1.5, "seconds": 60.0}

    monkeypatch.setattr(bench, "tune", trials)
    words = ["--method", "fine-tune@mine", "--set", "repair.batch_size=32", "--budget", "0.03"]
    more = ["--trials", "2", "--workers", "2", "--space", "repair.learning_rate=1e-3:1e-1:log"]
    said = call("bench", "tune", *words, *more, *places)
    assert said.code == 0, said.err
    assert asked == [(32, 2)]
    out = " ".join(said.out.split())
    assert "1 of 20 models, about 0 min left for them; digits-mislabelled5-cnn-v1/retrained-3" in out
    assert "1 of 2 trials, about 1 min left; repair.learning_rate 0.01: 1.50 (best 1.50)" in out
    assert f"bench run --tuned {' '.join(words)} --results {places[1]} --out {places[3]}" in out


@pytest.mark.parametrize("setting", ["repair.learning_rate=0.5", "mine.repair.learning_rate=0.5"])
def test_what_is_tuned_cannot_be_set(setting, call, places) -> None:
    said = call("bench", "tune", "--method", "fine-tune@mine", "--set", setting, *places)
    assert said.code == 2
    assert "--set must be of what is not tuned, but 'repair.learning_rate' is." in said.err


def test_tuning_says_why_settings_were_refused(call, places, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = {"settings": {"repair.learning_rate": 0.01}, "value": REFUSED, "seconds": 1.0, "reason": "It is too hot."}
    monkeypatch.setattr(bench, "tune", lambda tuning, places, **more: iter([trial]))
    said = call("bench", "tune", "--method", "fine-tune", "--trials", "1", *places)
    assert "repair.learning_rate 0.01: refused. It is too hot." in " ".join(said.out.split())
    assert said.code == 2
    assert "refused all settings that were tried" in said.err
