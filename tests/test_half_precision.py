"""Models of half precision: observed, taken apart, judged and unlearned; figures are in single precision at least."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import ebbing as eb
from architectures import ARCHITECTURES, TextTask, built
from ebbing.measures.canaries import gaussian_canary_score
from ebbing.observations import observe
from ebbing.task import Outputs, margin
from ebbing.units import find_units

HALF = (torch.bfloat16, torch.float16)
TASK = eb.Classification()
CLASSES, RECORDS, GONE = 3, 120, 12


def images(start: int, stop: int, dtype: torch.dtype) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(240, 1, 6, 6, generator=generator)
    y = (x.flatten(1)[:, :18].sum(1) > 0).long() + (x.flatten(1)[:, 18:].sum(1) > 0).long()
    y[:GONE] = (y[:GONE] + 1) % CLASSES  # to be memorised
    return TensorDataset(x[start:stop].to(dtype), y[start:stop])


def request_(dtype: torch.dtype) -> eb.ForgetRequest:
    return eb.ForgetRequest.from_ids(
        images(0, RECORDS, dtype), range(GONE), holdout=images(120, 200, dtype), validation=images(200, 240, dtype)
    )


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(),
        nn.Linear(16, CLASSES),
    )  # fmt: skip


@pytest.fixture(scope="module")
def models() -> list[nn.Module]:
    """An original and four retrained models, in single precision."""
    trainer = eb.Trainer(network, eb.Recipe(epochs=25, batch_size=32, learning_rate=1e-2, optimizer="adam"))
    whole = request_(torch.float32)
    return [trainer(whole.everything, seed=0), *(trainer(whole.retain, seed=9 + i) for i in range(4))]


def in_half(models: list[nn.Module], dtype: torch.dtype) -> list[nn.Module]:
    return [deepcopy(model).to(dtype) for model in models]


@pytest.mark.parametrize("dtype", HALF)
def test_outputs_are_held_in_single_precision(dtype) -> None:
    logits = torch.randn(5, CLASSES, generator=torch.Generator().manual_seed(1)).to(dtype)
    outputs = Outputs(logits, torch.arange(5) % CLASSES)
    assert outputs.logits.dtype == torch.float32
    assert torch.equal(outputs.logits.to(dtype), logits)  # no digit is lost
    exact = Outputs(logits.double(), outputs.targets)
    assert exact.logits.dtype == torch.float64
    torch.testing.assert_close(margin(outputs).double(), margin(exact), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", HALF)
def test_what_is_observed_is_what_the_model_says_in_single_precision(models, dtype) -> None:
    whole = observe(models, request_(torch.float32), task=TASK)
    half = observe(in_half(models, dtype), request_(dtype), task=TASK, logits=True)
    for name, values in half.forget.arrays().items():
        assert values.dtype == (bool if name == "correct" else np.float32), name
    np.testing.assert_allclose(half.forget.margin, whole.forget.margin, rtol=0.1, atol=0.3)


def test_a_model_of_half_precision_is_unlearned_and_judged(models) -> None:
    original, *retrained = in_half(models, torch.bfloat16)
    request = request_(torch.bfloat16)
    result = eb.Ebb().unlearn(original, request, task=TASK, seed=0)
    assert {p.dtype for p in result.parameters()} == {torch.bfloat16}
    both = {"ebb": result, "nothing": original}
    report = eb.audit(
        original=original,
        unlearned=both,
        oracles=retrained,
        request=request,
        task=TASK,
        measures="quick",
        technical=True,
    )
    found = report.data["methods"]
    assert found["nothing"]["memory"]["m"] > found["ebb"]["memory"]["m"] + 0.5


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama, shared keys", "qwen3"])
def test_the_units_of_half_precision_are_those_of_single_precision(name, dtype, caplog) -> None:
    caplog.set_level(logging.ERROR)
    batch = ARCHITECTURES[name].batch()
    whole, half = (find_units(m, task=TextTask(), batch=batch) for m in (built(name), built(name).to(dtype)))
    assert half == whole


@pytest.mark.parametrize("dtype", HALF)
def test_what_is_not_faithful_is_refused_in_half_precision_too(dtype, caplog) -> None:
    """The control: the tolerance that lets rounding pass must not let another formula pass."""

    class Reuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 5), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x) + x @ self.first.weight)

    class Undone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 5), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            said = self.first(x)
            return self.head((said - said.mean(0)) / (said.std(0) + 1e-6))

    batch: Any = (torch.randn(24, 5, generator=torch.Generator().manual_seed(0)).to(dtype), torch.arange(24) % CLASSES)
    for kind, why in ((Reuses, "cannot be written into its weights"), (Undone, "undoes any factor on it")):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = kind().to(dtype)
        caplog.clear()
        assert [group.name for group in find_units(model, task=TASK, batch=batch)] == ["head"]
        assert why in caplog.text


def test_the_logits_of_half_precision_are_scaled(models) -> None:
    original = in_half(models[:1], torch.bfloat16)[0]
    result = eb.methods.Temperature().unlearn(original, request_(torch.bfloat16), task=TASK, seed=0)
    torch.testing.assert_close(result[-1].weight, 0.3 * original[-1].weight, rtol=0.01, atol=0.0)


def test_canaries_of_half_precision_are_scored(models) -> None:
    """bfloat16 keeps two digits of a slope, so that the scores are nearly those of single precision."""
    noise = torch.randn(GONE, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        (original,) = in_half(models[:1], dtype)
        x, y = images(0, GONE, dtype).tensors
        found.append(gaussian_canary_score(original, x, noise.to(dtype), y, task=TASK, noise_sd=1.0))
    np.testing.assert_allclose(found[1], found[0], atol=0.3)
