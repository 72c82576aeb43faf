"""Compiled models: what is done to them is done to what was compiled."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from ebbing.auditing import audit
from ebbing.compiled import is_compiled, uncompiled
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.journal import Journal
from ebbing.methods import Ebb
from ebbing.methods.repair import REPAIR
from ebbing.task import Classification
from ebbing.testing.problems import problems
from ebbing.training import seeded
from ebbing.units import find_units
from ebbing.verdict import FEWEST_ORACLES

METHOD = Ebb(repair=replace(REPAIR, epochs=1))


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


@pytest.mark.parametrize("whole", [True, False])
def test_a_compiled_model_forgets_as_what_was_compiled(whole) -> None:
    problem = next(iter(problems()))
    wanted = METHOD.unlearn(problem.model, problem.request)
    if whole:
        model = compiled(problem.model)
        problem.model(problem.request.forget[0][0][None])
    else:
        model = nn.Sequential(*(compiled(part) if part._parameters else part for part in problem.model))
    journal = Journal()
    result = METHOD.unlearn(model, problem.request, journal=journal)
    assert not is_compiled(result)
    assert is_compiled(model)
    assert any("compile it again" in note for note in journal.notes)
    if whole:
        assert of_model(result) == of_model(wanted)
    for own, other in zip(result.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(own, other)


def test_units_of_a_compiled_model_are_refused_and_those_of_what_was_compiled_found() -> None:
    problem = next(iter(problems()))
    model = compiled(problem.model)
    batch = [torch.stack(part) for part in zip(*(problem.request.retain[i] for i in range(4)), strict=True)]
    batch[1] = batch[1].long()
    with pytest.raises(InputError, match=r"uncompiled\(model\)"):
        find_units(model, task=Classification(), batch=batch)
    assert uncompiled(model) is problem.model
    assert find_units(uncompiled(model), task=Classification(), batch=batch)
    assert uncompiled(problem.model) is problem.model


def test_compiled_references_are_looked_into_as_well() -> None:
    problem = next(iter(problems()))
    references = []
    for seed in range(FEWEST_ORACLES):
        twin = deepcopy(problem.model)
        with torch.no_grad(), seeded(seed):
            for parameter in twin.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        references.append(twin)
    plain, wrapped = (
        audit(original=problem.model, unlearned=problem.model, oracles=oracles, request=problem.request, measures=None)
        for oracles in (references, [compiled(model) for model in references])
    )
    assert plain.data["bands"]["inside"] is not None
    assert plain.data["bands"] == wrapped.data["bands"]
    assert plain.verdict == wrapped.verdict


def test_compiled_parts_in_compiled_parts_are_all_unwrapped() -> None:
    inner = nn.Sequential(compiled(nn.Linear(2, 2)), nn.ReLU())
    model = nn.Sequential(compiled(inner), nn.Linear(2, 2))
    plain = uncompiled(model)
    assert not is_compiled(plain)
    assert is_compiled(model)
    assert [name for name, _ in plain.named_parameters()] == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]
