"""``ebbing unlearn --hf``: a classifier of the transformers library, in from a folder and out into one."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from rich.console import Console
from safetensors.torch import load_file, save_file

from architectures import built
from ebbing.checkpoints import read_record
from ebbing.cli.loading import dataset_of, load_weights, padding_of
from ebbing.errors import InputError
from ebbing.fingerprint import as_plain, of_settings
from ebbing.methods import Ebb, Retrain
from ebbing.pretrained import Pretrained, check_folder, is_language_model, weights_in
from ebbing.request import ForgetRequest
from ebbing.store import ModelStore
from ebbing.study import Study
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
    assert "name what that started from" not in " ".join(said.out.split())
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
        "classes": None,
        "like": str(here / "tuned"),
    }
    original = load_file(here / "tuned" / "model.safetensors")
    changed = {n for n, value in load_file(out / "model.safetensors").items() if not torch.equal(value, original[n])}
    assert any("attention" in name for name in changed)
    report = json.loads(Path("forgotten.report.json").read_text())
    assert len(report["provenance"]["seeds"]["oracles"]) == 3


def test_the_folder_that_came_out_goes_in_again(call, here: Path) -> None:
    said = call(*arguments(here, "--set", "repair.epochs=1"))
    assert said.code == 0, said.err
    assert "name what that started from by --pretrained" in " ".join(said.out.split())
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


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (("config.json", "pytorch_model.bin"), ("Pickles are not opened",)),
        (("adapter_config.json", "adapter_model.safetensors"), ("holds an adapter alone", "merge_and_unload")),
    ],
    ids=["pickle", "adapter"],
)
def test_a_folder_that_is_no_model_of_safetensors_is_refused(call, here: Path, tmp_path: Path, files, says) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}", encoding="utf-8")
    words = arguments(here)
    words[2] = str(folder)
    said = call(*words)
    assert said.code == 2, said.err
    assert all(each in said.err for each in says)


@pytest.mark.parametrize("harm", ["folder", "configuration", "weights", "part", "head"])
def test_a_folder_that_cannot_be_used_is_told_once_beside_what_else_is_wrong(
    call, here: Path, tmp_path: Path, harm
) -> None:
    folder = tmp_path / "harmed"
    if harm == "part":
        in_parts(here / "tuned", folder)
        sorted(folder.glob("model-*.safetensors"))[0].unlink()
    elif harm == "head":
        without_head(here / "tuned", folder)
    elif harm != "folder":
        shutil.copytree(here / "tuned", folder)
        (folder / ("config.json" if harm == "configuration" else "model.safetensors")).write_text("{", encoding="utf-8")
    more = ["--hf", str(folder), "--pretrained", str(here / "encoder"), "--forget", "nowhere.txt"]
    said = call(*arguments(here, *more, "--oracles", "2", "--dry-run"))
    assert said.code == 2, said.err
    assert said.err.count("Error: ") == 2, said.err
    assert said.err.count("Error: --hf: ") == 1
    assert "--forget must be a file" in said.err


def test_a_folder_that_is_missing_is_told_once_where_models_are_judged(call, here: Path) -> None:
    weights = str(here / "tuned" / "model.safetensors")
    words = ["audit", "--model", "hf:nowhere", "--original", weights, "--unlearned", weights]
    words += ["--data", "mytexts:train_set", "--holdout", "mytexts:test_set", "--forget", str(here / "ids.txt")]
    said = call(*words)
    assert said.code == 2, said.err
    assert said.err.count("Error: ") == 1, said.err


def test_errors_speak_of_the_option_that_was_given(call, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is named by --hf alone: nobody said --model or --weights."""
    save_file({"other": torch.zeros(2)}, "other.safetensors")
    Path("shifted.py").write_text(
        "import mytexts\n\ndef records():\n    made = mytexts.train_set()\n    made.tensors['labels'] += 2\n    return made\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "shifted", raising=False)
    for more, says in (
        (["--retrained", str(here / "tuned")], "and --hf"),
        (["--retrained", "other.safetensors"], "Is the model the network that these weights"),
        (["--data", "shifted:records"], "--hf and --data: labels must lie in [0, 2)"),
        (["--hf", "nowhere"], "--hf: a model of the transformers library is a folder"),
    ):
        said = call(*arguments(here, "--dry-run", *more))
        assert said.code == 2, said.err
        assert says in " ".join(said.err.split())
        assert not any(option in said.err for option in ("--model", "--weights")), said.err


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


def test_a_head_for_other_classes_is_drawn_anew(project: Path) -> None:
    model = Pretrained(str(project / "tuned"), 7)()
    held = load_file(project / "tuned" / "model.safetensors")
    assert model.classifier.weight.shape[0] == 7 != held["classifier.weight"].shape[0]
    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in held.items() if not name.startswith("classifier"))


def test_a_new_head_does_not_stand_on_a_base_of_another_size(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(project / "tuned", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] + 1}))
    with pytest.raises(InputError, match="have other shapes"):
        Pretrained(str(other), 7)()


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
    model.save_pretrained(tmp_path / "network")
    path, build = tmp_path / "held" / "model.safetensors", Pretrained(str(tmp_path / "network"))
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


def in_parts(folder: Path, out: Path) -> Path:
    """The model of a folder in several files."""
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("*.safetensors", "*.safetensors.json"))
    Pretrained(str(folder))().save_pretrained(out, max_shard_size="12KB")
    return out


def test_a_model_in_parts_goes_in_and_comes_out_in_parts(call, here: Path, tmp_path: Path) -> None:
    parts = in_parts(here / "tuned", tmp_path / "parts")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    words = arguments(here, "--method", "fine-tune", "--set", "repair.epochs=1")
    words[words.index(str(here / "tuned"))] = str(parts)
    said = call(*words)
    assert said.code == 0, said.err
    out = Path("forgotten")
    assert not (out / "model.safetensors").exists()
    assert sorted(p.name for p in out.glob("*.safetensors")) == sorted(p.name for p in parts.glob("*.safetensors"))
    assert max(p.stat().st_size for p in out.glob("*.safetensors")) < 16_000
    held = read_record(weights_in(out))
    assert held is not None
    assert held.forgotten == tuple(range(16))
    whole, again = (dict(Pretrained(str(f))().named_parameters()) for f in (here / "tuned", parts))
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    changed = dict(Pretrained(str(out))().named_parameters())
    assert any(not torch.equal(value, changed[name]) for name, value in whole.items())
    audited = [
        "audit",
        "--model",
        f"hf:{parts}",
        "--original",
        str(parts),
        "--unlearned",
        "forgotten",
        "--out",
        "judged",
    ]
    said = call(*audited, *words[words.index("--data") : words.index("--out")])
    assert said.code == 0, said.err
    part = sorted(out.glob("*.safetensors"))[1]
    part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(InputError, match="must speak of the weights"):
        read_record(weights_in(out))


def test_a_model_in_parts_of_which_one_is_missing_is_refused(here: Path, tmp_path: Path) -> None:
    parts = in_parts(here / "tuned", tmp_path / "parts")
    sorted(parts.glob("*.safetensors"))[0].unlink()
    with pytest.raises(InputError, match=r"names . files, but \['model-00001"):
        check_folder(parts)
    index = parts / "model.safetensors.index.json"
    for text, says in (("{}", "cannot be read"), ('{"weight_map": {"a": "../a.safetensors"}}', "lie beside it")):
        index.write_text(text)
        with pytest.raises(InputError, match=says):
            check_folder(parts)


WHOLE_FILE = "is cut short, damaged or something else"


@pytest.mark.parametrize(
    ("option", "name", "content", "says"),
    [
        ("--hf", "model.safetensors", lambda old: old[:-500], WHOLE_FILE),
        ("--retrained", "model.safetensors", lambda old: old[:50], WHOLE_FILE),
        ("--pretrained", "model.safetensors", lambda old: b"", WHOLE_FILE),
        ("--hf", "config.json", lambda old: old[:9], "must be the JSON of a configuration, but cannot be read"),
        ("--retrained", "config.json", lambda old: b"[]", "must be the JSON of a configuration, but holds a list"),
        ("--pretrained", "config.json", lambda old: b"[]", "must be the JSON of a configuration, but holds a list"),
        ("--hf", "config.json", lambda old: b'{"architectures": 5}', "must name an architecture"),
        ("--hf", "config.json", lambda old: old.replace(b'size": 24', b'size": "a"'), "transformers can load, but"),
    ],
)
def test_a_damaged_file_of_a_folder_is_named(call, here: Path, tmp_path: Path, option, name, content, says) -> None:
    folder = tmp_path / "damaged"
    bert("BertForSequenceClassification").save_pretrained(folder)
    path = folder / name
    path.write_bytes(content(path.read_bytes()))
    said = call(*arguments(here, "--dry-run", option, str(folder)))
    assert said.code == 2, said.err
    told = " ".join(said.err.split())
    assert says in told
    assert str(folder if "load" in says else path) in told


def test_a_damaged_part_of_a_model_is_named(here: Path, tmp_path: Path) -> None:
    parts = in_parts(here / "tuned", tmp_path / "parts")
    damaged = sorted(parts.glob("model-*.safetensors"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{re.escape(str(damaged))} is cut short"):
        Pretrained(str(parts))()


def bert(kind: str, **more: object) -> torch.nn.Module:
    """A model of the size of the project's."""
    config = transformers.BertConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=16,
        **{"vocab_size": 30, **more},
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return getattr(transformers, kind)(config)


@pytest.mark.parametrize(
    ("kind", "more"), [("BertForSequenceClassification", {"num_labels": 5}), ("BertForMaskedLM", {}), ("BertModel", {})]
)
def test_a_checkpoint_with_another_head_takes_that_of_the_fine_tuned(here: Path, tmp_path: Path, kind, more) -> None:
    """As in fine-tuning: class and configuration of the one, weights below the head of the other, a head by the seed."""
    tuned = tmp_path / "tuned"
    shutil.copytree(here / "tuned", tuned)
    config = json.loads((tuned / "config.json").read_text()) | {"pad_token_id": 7, "id2label": {"0": "no", "1": "yes"}}
    (tuned / "config.json").write_text(json.dumps(config))
    bert(kind, **more).save_pretrained(tmp_path / "start")
    trainer = Trainer(Pretrained(str(tmp_path / "start"), like=str(tuned)), RECIPE)
    one, same, other = (trainer.initial(seed=seed) for seed in (1, 1, 2))
    assert type(one).__name__ == "BertForSequenceClassification"
    assert (one.config.pad_token_id, one.config.id2label) == (7, {0: "no", 1: "yes"})
    begun = load_file(tmp_path / "start" / "model.safetensors")
    held = {name: begun.get(name, begun.get(name.removeprefix("bert."))) for name in one.state_dict()}
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
        if name.startswith("bert.") and not (kind == "BertForMaskedLM" and "pooler" in name):
            assert torch.equal(value, held[name]), name
    assert one.classifier.weight.shape == (2, 24)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)


def test_a_language_model_goes_on_from_a_checkpoint_without_head_in_its_own_precision(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8, bos_token_id=1, eos_token_id=1
    )
    transformers.GPT2Model(config).save_pretrained(tmp_path / "start")
    transformers.GPT2LMHeadModel(config).bfloat16().save_pretrained(tmp_path / "tuned")
    model = Pretrained(str(tmp_path / "start"), like=str(tmp_path / "tuned"))()
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert model.lm_head.weight is model.transformer.wte.weight
    held = load_file(tmp_path / "start" / "model.safetensors")
    for name, value in model.transformer.named_parameters():
        assert torch.equal(value, held[name].bfloat16()), name


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: bert("BertModel", vocab_size=33), "resize_token_embeddings"),
        (lambda: transformers.GPT2Model(transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2)), "is of type 'gpt2'"),
    ],
)
def test_a_checkpoint_of_another_base_is_refused(here: Path, tmp_path: Path, model, says) -> None:
    model().save_pretrained(tmp_path / "start")
    with pytest.raises(InputError, match=says):
        Pretrained(str(tmp_path / "start"), like=str(here / "tuned"))()


def test_weights_of_something_else_are_refused(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "encoder", tmp_path / "start")
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "start" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="are not there"):
        Pretrained(str(tmp_path / "start"), like=str(here / "tuned"))()


def without_head(folder: Path, out: Path) -> Path:
    """The model of a folder, but for the weights of its head."""
    shutil.copytree(folder, out)
    held = load_file(out / "model.safetensors")
    kept = {name: value for name, value in held.items() if not name.startswith("classifier")}
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    return out


MISSING_HEAD = "2 of 41 are missing (classifier.bias; classifier.weight)"


@pytest.mark.parametrize("option", ["--hf", "--retrained"])
def test_a_trained_model_without_the_weights_of_its_head_is_refused(call, here: Path, tmp_path: Path, option) -> None:
    """A head that is drawn at random was trained on nothing: it is neither a model to judge nor a reference."""
    folder = without_head(here / "tuned", tmp_path / "headless")
    said = call(*arguments(here, "--dry-run", option, str(folder)))
    assert said.code == 2, said.err
    told = " ".join(said.err.split())
    assert f"{option}: the weights in {folder}" in told
    assert MISSING_HEAD in told


@pytest.mark.parametrize("option", ["--original", "--unlearned", "--retrained"])
def test_what_is_judged_must_have_all_its_weights(call, here: Path, tmp_path: Path, option) -> None:
    folder = without_head(here / "tuned", tmp_path / "headless")
    other = bert("BertForSequenceClassification")
    other.save_pretrained(tmp_path / "other")
    named = {"--original": here / "tuned", "--unlearned": tmp_path / "other"} | {option: folder}
    words = ["audit", "--model", f"hf:{here / 'tuned'}", "--data", "mytexts:train_set", "--holdout", "mytexts:test_set"]
    words += ["--forget", str(here / "ids.txt"), *(str(word) for pair in named.items() for word in pair)]
    said = call(*words)
    assert said.code == 2, said.err
    assert f"{option}: the weights in {folder}" in " ".join(said.err.split())


def test_the_checkpoint_of_a_fine_tuning_may_lack_a_head(call, here: Path, tmp_path: Path) -> None:
    folder = without_head(here / "tuned", tmp_path / "headless")
    said = call(*arguments(here, "--dry-run", "--pretrained", str(folder)))
    assert said.code == 0, said.err


def test_weights_of_other_names_are_no_trained_model(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "tuned", tmp_path / "odd")
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "odd" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"41 of 41 are missing .*1 are there that it has no place for \(other.weight\)"
    ):
        Pretrained(str(tmp_path / "odd"))()


@pytest.mark.parametrize(
    ("kind", "more", "says"),
    [
        ("BertModel", {}, "missing (bert.embeddings"),
        ("BertForMaskedLM", {}, "unexpected (cls.predictions"),
        ("BertForSequenceClassification", {"num_labels": 5}, "2 of another shape (classifier.bias; classifier.weight)"),
    ],
)
def test_a_reference_is_of_the_network_that_is_judged(call, here: Path, tmp_path: Path, kind, more, says) -> None:
    bert(kind, **more).save_pretrained(tmp_path / "other")
    said = call(*arguments(here, "--dry-run", "--retrained", str(tmp_path / "other")))
    assert said.code == 2, said.err
    told = " ".join(said.err.split())
    assert f"--retrained: the tensors in {tmp_path / 'other'} must be the 41 of the network in {here / 'tuned'}" in told
    assert says in told


def test_a_folder_goes_by_its_content_wherever_it_lies(project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(project / "encoder", moved)
    here, there = (Pretrained(str(f), like=str(project / "tuned")) for f in (project / "encoder", moved))
    assert of_settings([Ebb(anchor=here)]) == of_settings([Ebb(anchor=there)])
    assert as_plain(here) != as_plain(there)  # what is told says where it was
    held = load_file(moved / "model.safetensors")
    name = sorted(held)[0]
    save_file({**held, name: held[name] + 1}, moved / "model.safetensors", metadata={"format": "pt"})
    assert of_settings([Ebb(anchor=here)]) != of_settings([Ebb(anchor=there)])
    assert of_settings(Pretrained(str(project / "encoder"), 2)) != of_settings(Pretrained(str(project / "encoder"), 3))


def test_a_stored_result_is_of_the_checkpoint_that_was_there(project: Path, tmp_path: Path, monkeypatch) -> None:
    """Weights that are exchanged in their place make another result; a folder that is moved does not."""
    names: dict[str, object] = {}
    exec(MODULE, names)
    request = ForgetRequest.from_ids(names["train_set"](), range(16), holdout=names["test_set"]())
    original, keys = torch.nn.Linear(2, 2), []

    def looked_up(store: ModelStore, key: str, fresh: object) -> None:
        keys.append(key)
        raise KeyError

    monkeypatch.setattr(ModelStore, "get", looked_up)
    for _ in ("as it was", "moved", "exchanged"):
        folder = project / "encoder" if not keys else tmp_path / "moved"
        if len(keys) == 1:
            shutil.copytree(project / "encoder", folder)
        if len(keys) == 2:
            bert("BertModel").save_pretrained(folder)
        methods = {"retrain": Retrain(start=Pretrained(str(folder), like=str(project / "tuned")))}
        study = Study(trainer=None, request=request, methods=methods, oracles=0, directory=tmp_path, given=original)
        with pytest.raises(KeyError):
            study.unlearn("retrain", methods["retrain"], study.given)
    assert keys[0] == keys[1] != keys[2]


def test_the_record_of_a_folder_is_written_beside_its_weights(call, here: Path, tmp_path: Path) -> None:
    for folder in (in_parts(here / "tuned", tmp_path / "parts"), shutil.copytree(here / "tuned", tmp_path / "whole")):
        (folder / "model.safetensors.json").unlink(missing_ok=True)
        said = call("fingerprint", "--weights", str(folder), "--data", "mytexts:train_set")
        assert said.code == 0, said.err
        held = read_record(weights_in(folder))
        assert held is not None
        assert held.records == 160


def test_lines_of_tokens_are_data(call, here: Path, tmp_path: Path) -> None:
    """What a tokenised data set of the datasets library writes by to_json."""
    names: dict[str, object] = {}
    exec(MODULE, names)
    columns, unseen = names["columns"](), names["test_set"]()
    lines = [{name: columns[name][i] for name in columns.column_names if name != "text"} for i in range(160)]
    Path("train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{name: value.tolist() for name, value in unseen[i].items()} for i in range(120)]
    Path("unseen.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = arguments(here, "--dry-run")
    words[words.index("mytexts:train_set")], words[words.index("mytexts:test_set")] = "train.jsonl", "unseen.jsonl"
    said = call(*words)
    assert said.code == 0, said.err
    assert "16 ids matched 16 of 160 records" in said.out
    for name, text, says in (
        ("train.parquet", "", "must be of JSON lines"),
        ("nowhere.jsonl", None, "cannot be read"),
        ("odd.jsonl", '{"a": 1}\n[2]\n', "line 2 has list"),
        ("other.jsonl", '{"a": 1}\n{"b": 1}\n', r"keys \['a'\], but line 2 has"),
        ("empty.jsonl", "\n", "at least one record"),
        ("texts.jsonl", '{"text": "a", "label": 1}\n', "Tokenise"),
    ):
        if text is not None:
            Path(name).write_text(text)
        words[words.index("--data") + 1] = name
        said = call(*words)
        assert said.code == 2, name
        assert re.search(says, " ".join(said.err.split())), said.err


def test_columns_are_filled_up_with_the_padding_token_of_the_folder(here: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"pad_token_id": 7}')
    Path("two.jsonl").write_text('{"input_ids": [1], "labels": 0}\n{"input_ids": [1, 2], "labels": 1}\n')
    data = dataset_of("two.jsonl", "--data", pad=padding_of(f"hf:{tmp_path}"))
    assert data.tensors["input_ids"].tolist() == [[1, 7], [1, 2]]


@pytest.mark.parametrize("architecture", ["pipeline", "logging", "BertTokenizer", "NoSuchModel"])
def test_only_models_are_made_of_a_folder(here: Path, tmp_path: Path, architecture: str) -> None:
    shutil.copytree(here / "tuned", tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text()) | {"architectures": [architecture]}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="must name an architecture"):
        Pretrained(str(tmp_path / "odd"))()
