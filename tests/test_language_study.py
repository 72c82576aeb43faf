"""A language model through everything: training, every method, the audit at every level, and the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import ebbing as eb
from ebbing import methods
from ebbing.battery import copies_of
from ebbing.cli import main
from ebbing.data import answers
from ebbing.data.authors import authors
from ebbing.data.words import WordTokenizer
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.inside import look_inside, steps_to_relearn
from ebbing.measures.answers import answer_figures
from ebbing.measures.gates import rounded
from ebbing.models.gpt import SmallGPT
from ebbing.pretrained import is_language_model

TASK = eb.CausalLM()
RECIPE = eb.Recipe(epochs=10, batch_size=16, learning_rate=5e-3)
FACTS = authors(16)
WORDS = WordTokenizer.of([text for fact in FACTS for text in (fact.question, fact.answer)])
GONE, KNOWN = 10, 100


def texts(start: int, stop: int) -> eb.data.NamedTensors:
    """Questions and answers of some facts."""
    return answers([f.question for f in FACTS[start:stop]], [f.answer for f in FACTS[start:stop]], tokenizer=WORDS)


def request_() -> eb.ForgetRequest:
    return eb.ForgetRequest.from_ids(
        texts(0, KNOWN), range(GONE), holdout=texts(KNOWN, 140), validation=texts(140, 160), task=TASK
    )


@pytest.fixture(scope="module")
def models() -> tuple[nn.Module, list[nn.Module]]:
    """An original, and models that never saw what is to go."""
    trainer, request = eb.Trainer(SmallGPT(len(WORDS), width=16, layers=2, heads=2), RECIPE, task=TASK), request_()
    return trainer(request.everything, seed=0), [trainer(request.retain, seed=9 + i) for i in range(8)]


def every_method() -> Iterator[type[eb.Unlearner]]:
    for name in methods.__all__:
        kind = getattr(methods, name)
        if isinstance(kind, type) and issubclass(kind, eb.Unlearner) and not getattr(kind, "__abstractmethods__", ()):
            yield kind


WORDS_OF_REFUSAL = {
    methods.CT: "convolutions",
    methods.MSG: "convolutions",
    methods.CFk: "last 1 layers",  # the output layer is the embedding
    methods.EUk: "last 1 layers",
    methods.Temperature: "to be its logits",
    methods.RandomLabels: "wrong labels",
    methods.SalUn: "wrong labels",
    methods.SISA: "ShardedEnsemble",
    methods.UNSIR: "whole classes",
}


@pytest.mark.parametrize("kind", list(every_method()), ids=lambda kind: kind.__name__)
def test_every_method_works_on_answers_or_refuses_them_in_words(models, kind) -> None:
    model, _ = models
    before = of_model(model)
    if kind in WORDS_OF_REFUSAL:
        with pytest.raises(InputError, match=WORDS_OF_REFUSAL[kind]):
            kind().unlearn(model, request_(), task=TASK, seed=0)
    else:
        result = kind().unlearn(model, request_(), task=TASK, seed=0)
        assert all(bool(torch.isfinite(p).all()) for p in result.parameters())
    assert of_model(model) == before


def test_the_audit_of_answers_sees_what_is_known(models) -> None:
    model, retrained = models
    report = eb.audit(
        original=model,
        unlearned=model,
        oracles=retrained,
        request=request_(),
        task=TASK,
        measures="full",
        technical=True,
    )
    assert report.verdict.outcome == "under-forgotten"
    found = eb.observe([model, retrained[0]], request_(), task=TASK)
    assert float(found.forget.margin[0].mean()) > float(found.forget.margin[1].mean()) + 1


def hidden_from_four_bits(model: nn.Module) -> nn.Module:
    """A model on the grid of 4 bits whose weights are moved by less than half a step, so that answers are not given."""
    hidden = rounded(model, bits=4)
    outputs = TASK.forward(hidden, request_().forget[:])
    weights = [module.weight for module in hidden.modules() if type(module).__name__ == "Conv1D"]
    gradients = torch.autograd.grad(TASK.loss(outputs), weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            largest = weight.abs().amax(dim=0, keepdim=True)
            inner = weight.abs() < largest  # the largest of a column says how fine its grid is
            weight.add_(0.45 * largest / 7 * gradient.sign() * inner)
    return hidden


def test_what_hides_between_the_steps_of_four_bits_is_found_in_a_copy(models) -> None:
    """Blocks of GPT-2 are rounded too; the control: in 8 bits, whose grid is finer, it stays hidden."""
    model, _ = models
    hidden = hidden_from_four_bits(model)
    copies = copies_of([hidden], request_(), task=TASK)
    grid = eb.observe([hidden, rounded(model, bits=4)], request_(), task=TASK).forget.margin.mean(axis=1)
    four, eight = (float(copies[kind].forget.margin.mean()) for kind in ("int4", "int8"))
    assert four == pytest.approx(float(grid[1]), abs=1e-3)
    assert abs(eight - float(grid[0])) < 0.2 * (four - float(grid[0]))
    own, back = (
        answer_figures(each, request_().forget).probability.mean() for each in (hidden, rounded(hidden, bits=4))
    )
    assert back > 1.05 * own


def test_answers_that_were_only_hidden_are_relearned_sooner(models) -> None:
    """The control: models that never met the facts need as long for them as for others that they never met."""
    model, retrained = models
    hidden = hidden_from_four_bits(model)
    found = look_inside([hidden, *retrained[:4]], request_(), task=TASK, layers=[])
    assert found.steps_forget[0] < found.steps_forget[1:].min()
    assert found.savings[0] > found.savings[1:].max()
    assert abs(float(found.savings[1:].mean())) < 0.5 * float(found.savings[0])
    before = of_model(hidden)
    again = steps_to_relearn(hidden, request_().forget, task=TASK, seed=0)
    assert again == found.steps_forget[0]
    assert of_model(hidden) == before


def test_a_folder_of_a_language_model_takes_its_task(models, tmp_path: Path, monkeypatch, capsys) -> None:
    models[0].save_pretrained(tmp_path / "said")
    assert is_language_model(tmp_path / "said")
    text = "import test_language_study as study\n\ndef train():\n    return study.texts(0, study.KNOWN)\n\n"
    (tmp_path / "mysaid.py").write_text(text + "def unseen():\n    return study.texts(study.KNOWN, 160)\n")
    (tmp_path / "ids.txt").write_text("\n".join(map(str, range(GONE))))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = "unlearn --hf said --data mysaid:train --holdout mysaid:unseen --forget ids.txt --out less --method npo"
    monkeypatch.setattr(sys, "argv", ["ebbing", *words.split(), "--set", "repair.epochs=1", "--threads", "1"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code, capsys.readouterr().err
    held = json.loads((tmp_path / "less" / "model.safetensors.json").read_text())
    assert held["made_by"]["method"] == "npo"
    assert is_language_model(tmp_path / "less")
