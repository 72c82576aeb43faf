"""``ebbing unlearn --hf``: a classifier of the transformers library, in from a folder and out into one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from rich.console import Console
from safetensors.torch import load_file

from architectures import built
from ebbing.cli.loading import load_weights
from ebbing.errors import InputError
from ebbing.pretrained import Pretrained, is_language_model
from ebbing.training import Recipe, Trainer

RECIPE = Recipe(epochs=40, batch_size=16, optimizer="adamw", learning_rate=3e-3)
MODULE = """
import torch
from ebbing.batches import NamedTensors

def records(n, seed):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, 30, (n, 9), generator=g)
    lengths = torch.randint(4, 10, (n,), generator=g)
    mask = (torch.arange(9) < lengths[:, None]).long()
    labels = (tokens[:, 1] >= 16).long()
    return NamedTensors(input_ids=tokens * mask, attention_mask=mask, labels=labels)

def train_set():
    made = records(160, 0)
    made.tensors["labels"][:16] = 1 - made.tensors["labels"][:16]
    return made

def test_set():
    return records(120, 1)

def columns():
    made = train_set()

    class Columns:
        column_names = ["idx", "text", *made.tensors]

        def __getitem__(self, name):
            if name == "text":
                return ["a"] * 160
            if name == "idx":
                return list(range(160))
            rows = made.tensors[name].tolist()
            if name == "labels":
                return rows
            lengths = made.tensors["attention_mask"].sum(1).tolist()
            return [row[:n] for row, n in zip(rows, lengths)]

        def __len__(self):
            return 160

    return Columns()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pre-trained encoder, a classifier that was fine-tuned from it, and what names the data."""
    home = tmp_path_factory.mktemp("folders")
    config = transformers.BertConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, vocab_size=30,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(home / "encoder")
    (home / "mytexts.py").write_text(MODULE, encoding="utf-8")
    (home / "ids.txt").write_text("\n".join(map(str, range(16))), encoding="utf-8")
    names: dict[str, object] = {}
    exec(MODULE, names)
    model = Trainer(Pretrained(str(home / "encoder"), 2), RECIPE)(names["train_set"](), seed=3)
    model.save_pretrained(home / "tuned")
    (home / "tuned" / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (home / "tuned" / "pytorch_model.bin").write_bytes(b"not read")
    return home


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, worked in from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(project))
    sys.modules.pop("mytexts", None)
    return project


def arguments(home: Path, *more: str) -> list[str]:
    """A call that forgets the wrong labels."""
    words = ["unlearn", "--hf", str(home / "tuned"), "--data", "mytexts:train_set", "--holdout", "mytexts:test_set"]
    return [*words, "--forget", str(home / "ids.txt"), "--out", "forgotten", "--threads", "1", *more]


FINE_TUNED = ["--recipe", "epochs=40", "--recipe", "learning_rate=3e-3"]


def test_a_folder_goes_in_and_a_folder_comes_out(call, here: Path) -> None:
    before = {p.name: p.read_bytes() for p in (here / "tuned").iterdir()}
    start = ["--pretrained", str(here / "encoder"), *FINE_TUNED, "--oracles", "3"]
    said = call(*arguments(here, *start, "--method", "ebb", "--method", "do-nothing", "--method", "retrain"))
    assert said.code == 0, said.err
    assert "16 ids matched 16 of 160 records" in said.out
    assert {p.name: p.read_bytes() for p in (here / "tuned").iterdir()} == before
    out = Path("forgotten")
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json", "model.safetensors", "model.safetensors.json", "tokenizer_config.json",
    ]  # fmt: skip
    found = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert type(found).__name__ == "BertForSequenceClassification"
    held = json.loads((out / "model.safetensors.json").read_text())
    assert held["forgotten"] == list(range(16))
    assert held["made_by"]["from"] == "tuned"
    assert held["made_by"]["settings"]["anchor"] == {
        "type": "Pretrained",
        "folder": str(here / "encoder"),
        "classes": 2,
    }
    original = load_file(here / "tuned" / "model.safetensors")
    changed = {n for n, value in load_file(out / "model.safetensors").items() if not torch.equal(value, original[n])}
    assert any("attention" in name for name in changed)
    report = json.loads(Path("forgotten.report.json").read_text())
    assert len(report["provenance"]["seeds"]["oracles"]) == 3


def test_the_folder_that_came_out_goes_in_again(call, here: Path) -> None:
    said = call(*arguments(here, "--set", "repair.epochs=1"))
    assert said.code == 0, said.err
    (here / "more.txt").write_text("20\n21\n", encoding="utf-8")
    again = ["--hf", "forgotten", "--data", "mytexts:train_set", "--holdout", "mytexts:test_set", "--threads", "1"]
    again += ["--forget", str(here / "more.txt"), "--set", "repair.epochs=1"]
    said = call(*["unlearn", *again, "--out", "second", "--exclude", str(here / "ids.txt")])
    assert said.code == 0, said.err
    held = json.loads(Path("second/model.safetensors.json").read_text())
    assert held["forgotten"] == [*range(16), 20, 21]


def test_two_folders_are_judged_beside_each_other(call, here: Path) -> None:
    said = call(*arguments(here, "--set", "repair.epochs=1"))
    assert said.code == 0, said.err
    words = ["audit", "--model", f"hf:{here / 'tuned'}", "--original", str(here / "tuned"), "--unlearned", "forgotten"]
    words += ["--data", "mytexts:train_set", "--holdout", "mytexts:test_set", "--forget", str(here / "ids.txt")]
    said = call(*[*words, "--out", "judged"])
    assert said.code == 0, said.err
    assert "inconclusive" in said.out
    assert Path("judged/report.json").is_file()


def test_columns_of_the_datasets_library_are_tensors(call, here: Path) -> None:
    words = arguments(here, "--dry-run")
    words[words.index("mytexts:train_set")] = "mytexts:columns"
    said = call(*words)
    assert said.code == 0, said.err
    assert "16 ids matched 16 of 160 records" in said.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--model", "mytexts:train_set"], "--hf stands for both --model and --weights"),
        (["--recipe", "epochs=1"], "--recipe is how the model was fine-tuned from --pretrained"),
        (["--pretrained", "nowhere"], "nowhere has none"),
        (["--oracles", "2"], "--pretrained and --recipe will do"),
        (["--pretrained", "ENCODER", "--train-fn", "mytexts:train_set"], "both say how references are retrained"),
    ],
)
def test_what_does_not_go_together_is_refused(call, here: Path, more, says) -> None:
    more = [str(here / "encoder") if word == "ENCODER" else word for word in more]
    said = call(*arguments(here, *more, "--dry-run"))
    assert said.code == 2, said.err
    assert says in said.err
    assert not Path("forgotten").exists()


def test_a_folder_without_safetensors_is_refused(call, here: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}", encoding="utf-8")
    (pickled / "pytorch_model.bin").write_bytes(b"")
    words = arguments(here)
    words[2] = str(pickled)
    said = call(*words)
    assert said.code == 2, said.err
    assert "Pickles are not opened" in said.err


def test_a_folder_that_holds_something_else_is_not_written_over(call, here: Path) -> None:
    Path("forgotten").mkdir()
    Path("forgotten/letters.txt").write_text("dear", encoding="utf-8")
    said = call(*arguments(here))
    assert said.code == 2, said.err
    assert "must be a new folder" in said.err
    assert Path("forgotten/letters.txt").read_text() == "dear"


def test_a_new_head_is_drawn_by_the_seed_and_the_encoder_is_that_of_the_folder(project: Path) -> None:
    trainer = Trainer(Pretrained(str(project / "encoder"), 3), RECIPE)
    one, same, other = (trainer.initial(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    assert differ == {"classifier.weight"}
    held = load_file(project / "encoder" / "model.safetensors")
    assert all(torch.equal(value, one[f"bert.{name}"]) for name, value in held.items())


def test_what_kind_of_model_a_folder_holds_is_read_from_its_configuration(project: Path, tmp_path: Path) -> None:
    assert not is_language_model(project / "tuned")
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "words")
    assert is_language_model(tmp_path / "words")
    assert type(Pretrained(str(tmp_path / "words"))()).__name__ == "GPT2LMHeadModel"


def test_a_folder_around_what_is_read_is_not_written_over(call, here: Path, tmp_path: Path) -> None:
    """The layout of a training: checkpoints inside the folder of the last one."""
    run = tmp_path / "run"
    shutil.copytree(here / "tuned", run)
    shutil.copytree(here / "tuned", run / "checkpoint-5")
    words = arguments(here)
    words[words.index(str(here / "tuned"))] = str(run / "checkpoint-5")
    words[words.index("forgotten")] = str(run)
    said = call(*words)
    assert said.code == 2
    assert "nor hold or lie in one" in said.err
    assert (run / "checkpoint-5" / "model.safetensors").is_file()


def test_a_model_that_was_not_written_here_is_not_written_over(call, here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "tuned", tmp_path / "forgotten")
    said = call(*arguments(here))
    assert said.code == 2
    assert "must be a new folder" in said.err
    assert (tmp_path / "forgotten" / "pytorch_model.bin").is_file()


@pytest.mark.parametrize("name", ["vit", "gpt-neox", "bert", "gpt2", "llama"])
def test_a_folder_gives_the_model_that_was_written_into_it(name: str, tmp_path: Path) -> None:
    """Some architectures have other names in files than in the model."""
    model = built(name)
    model.save_pretrained(tmp_path / "held")
    path, build = tmp_path / "held" / "model.safetensors", Pretrained(str(tmp_path / "held"))
    found = load_weights(path, "--weights", build=build, allow_pt=False, device="cpu", console=Console())
    for (name_, own), other in zip(found.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(own, other), name_


def test_outputs_whose_names_end_alike_keep_their_reports_apart(call, here: Path) -> None:
    words = arguments(here, "--set", "repair.epochs=1")
    for out in ("new-1.0", "new-1.1"):
        words[words.index("--out") + 1] = out
        said = call(*words)
        assert said.code == 0, said.err
    assert Path("new-1.0.report.json").is_file()
    assert Path("new-1.1.report.json").is_file()


@pytest.mark.parametrize("architecture", ["pipeline", "logging", "BertTokenizer", "NoSuchModel"])
def test_only_models_are_made_of_a_folder(here: Path, tmp_path: Path, architecture: str) -> None:
    shutil.copytree(here / "tuned", tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text()) | {"architectures": [architecture]}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="must name an architecture"):
        Pretrained(str(tmp_path / "odd"))()
