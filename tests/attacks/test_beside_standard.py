"""Attacks of one's own in a report: beside the standard ones, which they leave as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from ebbing.attacks import STANDARD, Attack, LossThreshold, try_attacks, with_standard
from ebbing.attacks.attack import MIN_RECORDS
from ebbing.auditing import audit, judge_observations
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.errors import InputError
from ebbing.methods import DoNothing
from ebbing.models import digits_mlp
from ebbing.observations import SPLITS, Observations
from ebbing.report.citations import citations
from ebbing.report.html import render
from ebbing.report.tidy import to_dataframe
from ebbing.study import Study
from ebbing.training import Recipe, Trainer
from schema_check import complaints


@dataclass(frozen=True)
class Sure(Attack):
    """score = times * sum of p log p, from the logits: what `EntropyThreshold` goes by."""

    name: ClassVar[str] = "sure"
    times: float = 2.0

    def scores(self, signals):
        logits = signals.logits.astype(float)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return self.times * (np.exp(log_p) * log_p).sum(-1)


@dataclass(frozen=True)
class InPlace(LossThreshold):
    """It writes its scores into what it is shown."""

    name: ClassVar[str] = "in-place"

    def scores(self, signals):
        signals.margin[:] -= 3.0
        return signals.margin


@dataclass(frozen=True)
class Nameless(LossThreshold):
    name: ClassVar[str] = ""


@pytest.fixture
def study(tmp_path) -> Study:
    request = select("mislabelled:0.1", load("digits", train_size=400), seed=0)
    trainer = Trainer(digits_mlp, Recipe(epochs=5))
    return Study(trainer, request, {"nothing": DoNothing()}, 4, tmp_path, attacks=(Sure(),), measures=None)


def test_it_stands_beside_the_standard_ones(study) -> None:
    """Of every subject, in the page, the table and the citations; and nothing else changes."""
    report = study.run()
    assert not complaints(report.data)
    for subject in (report.data["original"], report.data["methods"]["nothing"], report.data["oracles"]):
        assert list(subject["attacks"]) == [*(attack.name for attack in STANDARD), "sure"]
        assert subject["attacks"]["sure"]["auc"] == pytest.approx(subject["attacks"]["entropy"]["auc"], abs=1e-3)
    assert report.data["original"]["attacks"]["sure"]["low"] is not None
    origin = report.data["provenance"]["attacks"]["sure"]
    assert origin["class"].endswith("test_beside_standard:Sure")
    assert origin["settings"] == {"type": "Sure", "times": 2.0}
    assert "<b>sure</b>" in render(report.data)
    figures = to_dataframe(report.data)
    assert set(figures[figures.figure == "sure/auc"].kind) == {"original", "control", "retrained"}
    assert "attack sure" in citations([report.data]).unknown
    plain = replace(study, attacks=()).run().data
    assert "attacks" not in plain["provenance"]
    del report.data["original"]["attacks"]["sure"]
    assert report.data["original"] == plain["original"]
    assert report.data["methods"]["nothing"]["verdict"] == plain["methods"]["nothing"]["verdict"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (Sure(), "must be a list of attacks, but is Sure"),
        ((attack for attack in [Sure()]), "must be a list of attacks, but is <generator"),
        ([Sure], "must hold instances of Attack, but"),
        ([LossThreshold()], "'loss' is that of a standard one, which every report has"),
        ([Sure(), Sure(times=3.0)], "'sure' is that of two"),
        ([Nameless()], "an attack must have a printable `name`, but that of Nameless is ''"),
    ],
)
def test_what_cannot_stand_there_is_refused_before_anything_is_trained(more, said, study) -> None:
    with pytest.raises(InputError, match=said):
        replace(study, attacks=more)
    with pytest.raises(InputError, match=said):
        with_standard(more)


def test_what_it_is_shown_cannot_be_changed(study, monkeypatch) -> None:
    """Everything else in the report is of the same arrays; what raises is known before models are looked at."""
    monkeypatch.setattr("ebbing.auditing.see", lambda *args, **more: pytest.fail("models were looked at"))
    original = study.trainer.initial(seed=0)
    with pytest.raises(ValueError, match="read-only"):
        audit(original=original, unlearned=original, oracles=[], request=study.request, attacks=[InPlace()])


def test_they_are_tried_on_as_few_records_as_they_have_figures_of(study) -> None:
    seen = []

    class Noting(Sure):
        def scores(self, signals):
            seen.append(signals.margin.shape)
            return super().scores(signals)

    original = study.trainer.initial(seed=0)
    try_attacks([Noting()], original, study.request, task=study.task)
    assert seen == [(1, MIN_RECORDS), (1, MIN_RECORDS)]
    few = replace(study.request, forget_ids=study.request.forget_ids[: MIN_RECORDS - 1])
    for request in (few, replace(study.request, matched=None)):
        try_attacks([Noting()], original, request, task=study.task)
    assert len(seen) == 2


@dataclass(frozen=True)
class Unsure(LossThreshold):
    """It has nothing to say of the second of several models."""

    name: ClassVar[str] = "unsure"

    def scores(self, signals):
        return np.where(np.arange(signals.n_models)[:, None] == 1, np.nan, signals.margin)


def test_why_figures_of_several_models_are_missing_is_said() -> None:
    """Whichever model they are missing of."""
    rng = np.random.default_rng(0)
    seen = Observations.from_margins(**{split: rng.normal(size=(3, 40)) for split in SPLITS})
    found = judge_observations(original=seen, unlearned={"mine": seen}, oracles=None, attacks=[Unsure()]).data
    for subject in (found["original"], found["methods"]["mine"]):
        assert subject["attacks"]["unsure"]["auc"] is None
        assert "contain NaN" in subject["attacks"]["unsure"]["reason"]
