"""``ebbing fingerprint``: which data weights were trained on, in a record beside them."""

import os
import subprocess
import sys
from pathlib import Path

import project
import pytest
import torch
from project import contents
from safetensors.torch import save_file

from ebbing import fingerprint
from ebbing.checkpoints import digest_of, read_record, write_weights

MODEL = Path("model.safetensors")


@pytest.fixture
def record(call, folder):
    """``ebbing fingerprint`` of the project's weights and data."""

    def record_(*words: object, data: str = "project:train_set"):
        return call("fingerprint", "--weights", MODEL, "--data", data, *words)

    return record_


def test_the_record_names_the_data_and_the_weights(record, folder) -> None:
    before = contents(folder)
    said = record()
    assert said.code == 0, said.err
    found = read_record(MODEL)
    assert found.weights == digest_of(MODEL)
    assert found.data == fingerprint.of_dataset(project.train_set())
    assert (found.records, found.forgotten, found.training_seconds) == (project.RECORDS, (), None)
    assert said.out == f"model.safetensors.json: 120 records, fingerprint {found.data}\n"
    after = contents(folder)
    assert set(after) - set(before) == {"model.safetensors.json"}
    assert {name: after[name] for name in before} == before


def test_what_is_known_is_not_said_anew(record, folder) -> None:
    record("--training-seconds", 12.5)
    before = contents(folder)
    assert record().code == 0
    assert contents(folder) == before
    assert read_record(MODEL).training_seconds == 12.5
    record("--training-seconds", 13)
    assert read_record(MODEL).training_seconds == 13


def test_what_else_the_record_says_stays(record) -> None:
    write_weights(MODEL, project.build(), forgotten=[3, 5], records=120, made_by={"by": "hand"})
    assert record("--training-seconds", 7).code == 0
    found = read_record(MODEL)
    assert (found.forgotten, found.made_by, found.training_seconds) == ((3, 5), {"by": "hand"}, 7.0)
    assert found.data == fingerprint.of_dataset(project.train_set())


def test_a_record_of_other_data_is_not_replaced(record, folder) -> None:
    record()
    before = contents(folder)
    said = record(data="project:test_set")
    assert said.code == 2
    assert "Error: the record beside model.safetensors says that it was trained on other data" in said.err
    assert "120 records) than these" in said.err
    assert contents(folder) == before


def test_a_record_of_other_weights_is_not_replaced(record, trained, folder) -> None:
    record()
    save_file({name: tensor + 1 for name, tensor in trained.items()}, MODEL)
    before = contents(folder)
    said = record()
    assert said.code == 2
    assert "must speak of the weights in model.safetensors" in said.err
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("project:augmented", "must be the same each time it is read"),
        ("project:nothing", "has no 'nothing'"),
        ("project", "--data must be named pkg.mod:name"),
        ("project:RECORDS", "must be a map-style data set"),
    ],
)
def test_data_that_cannot_be_named_are_refused(data, message, record, folder) -> None:
    before = contents(folder)
    said = record(data=data)
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert contents(folder) == before


def test_a_data_set_that_names_itself_is_taken_at_its_word(record, write) -> None:
    write("class Named(Shaken):\n    fingerprint = 'scans of May'\n\ndef named():\n    return Named(train_set())")
    assert record(data="mine:named").code == 0
    assert read_record(MODEL).data == "scans of May"


def test_files_that_are_not_there_and_data_that_are_none_are_told_at_once(call, folder) -> None:
    said = call("fingerprint", "--weights", "none.safetensors", "--data", "nowhere:data")
    assert said.code == 2
    assert [line.split(" ")[1] for line in said.err.splitlines()] == ["--weights", "--data"]
    assert contents(folder).keys() == {"model.safetensors", "wrong.txt"}


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "long"])
def test_seconds_that_are_none(seconds, record, folder) -> None:
    said = record("--training-seconds", seconds)
    assert said.code == 2
    assert said.err.startswith("Error: ")
    assert "Traceback" not in said.err
    assert not Path("model.safetensors.json").exists()


def test_a_module_in_the_working_directory_does_not_stand_in_for_the_librarys(folder) -> None:
    for name in ("json", "typing", "torch", "numpy", "rich", "colorsys"):
        Path(f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    Path("mine.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n"
        "def data():\n    return TensorDataset(torch.zeros(3, 2), torch.arange(3))\n"
    )
    ebbing = Path(sys.executable).with_name("ebbing")
    words = [ebbing, "fingerprint", "--weights", MODEL, "--data", "mine:data"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    data = torch.utils.data.TensorDataset(torch.zeros(3, 2), torch.arange(3))
    assert read_record(MODEL).data == fingerprint.of_dataset(data)
