"""Settings that were saved before a setting was added are still those of the piece."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest

from ebbing.fingerprint import as_plain, is_plain_of, of_settings
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
