"""Settings that were saved before a setting was added are still those of the piece."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from ebbing.bench.labels import identity_of
from ebbing.curves import ForgettingCurve
from ebbing.fingerprint import as_plain, is_plain_of, of_model, of_settings, source_of
from ebbing.methods import Ebb, SelectivePruning
from ebbing.rankings import ActivationRatio
from ebbing.rates import FixedRate, RankedRate


@dataclass(frozen=True)
class Piece:
    """Something with settings."""

    needed: int
    given: float = 2.0


@pytest.mark.parametrize(
    "value", [Ebb(), Ebb(linear=RankedRate(ActivationRatio())), SelectivePruning(), Piece(1), (1, None)]
)
def test_what_was_saved_today_is_of_today(value) -> None:
    assert is_plain_of(as_plain(value), value)
    assert of_settings(value) == of_settings(as_plain(value))  # as stored results have been named ever since


def test_a_setting_that_was_added_counts_as_its_default() -> None:
    saved = as_plain(Ebb())
    del saved["heads"]
    assert is_plain_of(saved, Ebb())
    assert not is_plain_of(saved, Ebb(heads=FixedRate(1.0)))
    nested = as_plain(Ebb(linear=RankedRate(ActivationRatio())))
    del nested["linear"]["ranking"]["retain_records"]
    assert is_plain_of(nested, Ebb(linear=RankedRate(ActivationRatio())))
    assert not is_plain_of(nested, Ebb(linear=RankedRate(ActivationRatio(retain_records=5))))


def test_a_setting_without_default_must_have_been_saved() -> None:
    assert not is_plain_of({"type": "Piece", "given": 2.0}, Piece(1))


def test_other_values_other_types_and_settings_that_are_gone_are_others() -> None:
    saved = as_plain(Ebb())
    assert not is_plain_of(saved, replace(Ebb(), duration=5.0))
    assert not is_plain_of({**saved, "gone": 1}, Ebb())
    assert not is_plain_of({**saved, "type": "Other"}, Ebb())
    changed = deepcopy(saved)
    changed["conv"]["decay_time"] = 7.0
    assert not is_plain_of(changed, Ebb())
    assert not is_plain_of(None, Ebb())


class Shown(nn.Module):
    """A model that is printed with a class that it holds."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def extra_repr(self) -> str:
        return repr(self.kind)


def own(module: str) -> type:
    """A class as if a module of some name had defined it."""
    return type("Own", (), {"__module__": module})


def named_in(module: str) -> list[object]:
    """What names the module of a class, wherever settings become text."""
    kind = own(module)
    return [as_plain(kind), as_plain(kind()), *source_of(kind), identity_of(kind())["class"]]


def test_the_script_that_was_started_has_one_name_in_all_processes() -> None:
    assert named_in("__main__") == named_in("__mp_main__") == ["__main__:Own"] * 4
    assert named_in("elsewhere") == ["elsewhere:Own"] * 4
    assert of_model(Shown(own("__main__"))) == of_model(Shown(own("__mp_main__"))) != of_model(Shown(own("elsewhere")))


@dataclass(frozen=True)
class OwnCurve(ForgettingCurve):
    """A curve from outside ebbing."""

    def left(self, age: torch.Tensor) -> torch.Tensor:
        return (-age).exp()


def test_what_tells_methods_apart_has_the_text_of_a_curve_from_elsewhere() -> None:
    """Its name and settings say nothing of a curve that was rewritten."""
    ours, theirs = identity_of(Ebb()), identity_of(Ebb(curve=OwnCurve()))
    assert ours["source"] == []
    assert any("class OwnCurve" in text for text in theirs["source"])
