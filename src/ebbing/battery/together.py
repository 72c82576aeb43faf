"""Measures of several models together: what varies between them is part of what is measured."""

from __future__ import annotations

import numpy as np

from ebbing.battery.joint import JOINT, RESAMPLES, SCORE, Joint, Sample, resampled_means
from ebbing.battery.measurement import Cast, Measurement
from ebbing.battery.one_by_one import JUDGED_SPLITS
from ebbing.measures import Floor, klom
from ebbing.measures.floors import divisions
from ebbing.observations import Observations

FEWEST = 3  # models of a method, and half of the retrained ones
ENOUGH = 64  # models for histograms of margins
DRAWS = 5  # of which retrained models are the reference
SIMULATED = 4_000  # records
KLOM = (
    "KL divergence in nats of histograms (20 bins) of the margin over models, from retrained models'; mean over records"
)
NORMALISED = f"{SCORE}; over the retrained models' own, so that 1 is retraining"


class Together:
    """The measures of several models, at counts that a floor can be had for.

    Floors depend on how many models are judged and by how many. So in each of 5 draws half of the retrained models are the
    reference, k models of the method are judged by them, and k of the other retrained models as well: that is the floor, at
    the same counts, with k no more than there are of either.
    """

    def __init__(self, retrained: Observations, originals: Observations, *, seed: int) -> None:
        """Keep what every method is held against."""
        self.retrained, self.originals, self.seed = retrained, originals, seed
        self.floors: dict[tuple[str, int], Floor] = {}

    def measure(self, judged: Observations) -> list[Measurement]:
        """Every figure of the judged models; of too few models the reason why there is none."""
        k = min(judged.n_models, self.retrained.n_models // 2)
        found = []
        for joint in JOINT:
            if k < FEWEST:
                lacking: str | None = (
                    f"it needs at least {FEWEST} models of the method and {2 * FEWEST} retrained ones, but there are "
                    f"{judged.n_models} and {self.retrained.n_models}"
                )
            else:
                lacking = "no matched unseen records" if joint.matched and judged.matched is None else None
            if lacking is not None:
                found += [_lacking(key, protocol, lacking) for key, protocol in joint.protocols.items()]
            else:
                found += self._measure(joint, judged, k)
        return [*found, *self._histograms(judged)]

    def _measure(self, joint: Joint, judged: Observations, k: int) -> list[Measurement]:
        generator = np.random.default_rng(self.seed)
        samples: dict[str, list[Sample]] = {key: [] for key in joint.protocols}
        for _, rest in self._divisions(k):
            chosen = np.sort(generator.permutation(judged.n_models)[:k]).tolist()
            cast = Cast(judged[chosen], self.retrained[rest], self.originals)
            for key, sample in joint.figures(cast, generator).items():
                samples[key].append(sample)
        self._add_floors(joint, k)
        found = []
        for key, protocol in joint.protocols.items():
            if not samples[key] or (key, k) not in self.floors:
                found.append(_lacking(key, protocol, "too few pairs of models and records for so small a rate"))
                continue
            found.append(_measured(key, protocol, samples[key], self.floors[key, k]))
            if key == "forgetting-score":
                found.append(_normalised(found[-1]))
        return found

    def _divisions(self, k: int) -> list[tuple[list[int], list[int]]]:
        """Retrained models that are judged, and the reference: half of all."""
        n = self.retrained.n_models
        half = n - n // 2
        drawn = divisions(n, n_judged=n - half, seed=self.seed, repeats=DRAWS)
        return [(held[:k].tolist(), rest.tolist()) for held, rest in drawn]

    def _add_floors(self, joint: Joint, k: int) -> None:
        if all((key, k) in self.floors for key in joint.protocols):
            return
        values: dict[str, list[float]] = {key: [] for key in joint.protocols}
        for held, rest in self._divisions(k):
            cast = Cast(self.retrained[held], self.retrained[rest], self.originals)
            for key, sample in joint.figures(cast, None).items():
                values[key].append(sample.value)
        n = self.retrained.n_models
        for key, drawn in values.items():
            if drawn:
                self.floors[key, k] = Floor(float(np.mean(drawn)), min(drawn), max(drawn), k, n - n // 2)

    def _histograms(self, judged: Observations) -> list[Measurement]:
        """KLoM with histograms, of all models; its floor is simulated, as no retrained models are left to take it from."""
        n_u, n_o = judged.n_models, self.retrained.n_models
        found = []
        for split in JUDGED_SPLITS:
            if min(n_u, n_o) < ENOUGH:
                reason = (
                    f"below {ENOUGH} models of either its floor hides what it measures, and there are {n_u} and {n_o}: "
                    "see klom-gaussian"
                )
                found.append(_lacking(f"klom/{split}", KLOM, reason))
                continue
            values = klom(getattr(judged, split).margin, getattr(self.retrained, split).margin)
            drawn = resampled_means(values, np.random.default_rng(self.seed), times=DRAWS * RESAMPLES)
            sample = Sample(float(values.mean()), drawn, float(np.quantile(values, 0.95)))
            found.append(_measured(f"klom/{split}", KLOM, [sample], self._simulated(n_u)))
        return found

    def _simulated(self, n_u: int) -> Floor:
        """Mean KLoM of Gaussian margins of one distribution; it is the same whatever their mean and deviation."""
        if ("klom", n_u) not in self.floors:
            generator, n_o = np.random.default_rng(self.seed), self.retrained.n_models
            drawn = [
                float(klom(*(generator.standard_normal((n, SIMULATED)) for n in (n_u, n_o))).mean())
                for _ in range(DRAWS)
            ]
            self.floors["klom", n_u] = Floor(float(np.mean(drawn)), min(drawn), max(drawn), n_u, n_o)
        return self.floors["klom", n_u]


def _lacking(key: str, protocol: str, reason: str) -> Measurement:
    return Measurement(*_named(key), protocol, reason=reason)


def _named(key: str) -> tuple[str, str | None]:
    """Name and split of a key; what follows the stroke may be another thing than a split."""
    name, _, split = key.rpartition("/")
    return (name, split) if split in JUDGED_SPLITS else (key, None)


def _measured(key: str, protocol: str, samples: list[Sample], floor: Floor) -> Measurement:
    """The mean over the draws, and the ends of the middle 95 % of what was resampled in all of them."""
    resampled = np.concatenate([sample.resampled for sample in samples])
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist() if len(resampled) else (None, None)
    tails = [sample.p95 for sample in samples if sample.p95 is not None]
    value = float(np.mean([sample.value for sample in samples]))
    return Measurement(*_named(key), protocol, value, low, high, float(np.mean(tails)) if tails else None, floor)


def _normalised(score: Measurement) -> Measurement:
    """The forgetting score over the retrained models' own at the same counts."""
    floor = score.floor
    if floor is None or not floor.mean or not isinstance(score.value, float):
        return _lacking("forgetting-score-normalised", NORMALISED, "the retrained models' own score is 0")
    by = floor.mean
    low, high = (None if end is None else end / by for end in (score.low, score.high))
    relative = Floor(1.0, floor.low / by, floor.high / by, floor.n_unlearned, floor.n_retrained)
    return Measurement("forgetting-score-normalised", None, NORMALISED, score.value / by, low, high, floor=relative)
