"""How M, W and T behave where it is hard for them, on the models that `sabotage.py observe` made.

    python benchmarks/figures.py    # writes results/sabotage/figures.json; minutes, trains nothing

Few records; a whole class; unseen records that are not drawn as the forgotten ones were; near copies that stay; models that
another recipe retrained; and beside U-LiRA (Hayes et al., arXiv 2403.01218) on the same models.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from sabotage import OTHERS, RESULTS, RETRAINERS, RUNS, Set, counts_of, gathered, request_of
from sklearn.metrics import roc_auc_score

from ebbing.attacks import STANDARD
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.observations import Observations, Signals
from ebbing.seen import Seen

REFERENCES, DRAWS = 32, 50


def columns(signals: Signals, places: np.ndarray) -> Signals:
    """Some of the examples."""
    return Signals(**{name: array[:, places] for name, array in signals.arrays().items()})


def with_forget(seen: Seen, places: np.ndarray) -> Seen:
    """The answers on some of the forgotten records."""
    return Seen(replace(seen.answers, forget=columns(seen.answers.forget, places)))


def with_matched(seen: Seen, matched: Signals) -> Seen:
    """The answers, with other unseen records for matched ones."""
    return Seen(replace(seen.answers, matched=matched))


def summary(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation."""
    return {"mean": float(np.mean(values)), "sd": float(np.std(values))}


def tried(judged: dict[str, Seen], retrained: Seen, originals: Seen, *, concept: bool = False) -> dict[str, Any]:
    """Outcomes and figures of models of several kinds; "retrained" are held out of the references."""
    total, outcomes, figures = retrained.answers.n_models, {}, {}
    for draw in range(DRAWS):
        order = np.random.default_rng([draw, 99]).permutation(total).tolist()
        court = Judge(
            originals[[draw % originals.answers.n_models]], retrained[order[:REFERENCES]], concept=concept, seed=0
        )
        for kind, models in (judged | {"retrained": retrained}).items():
            place = order[REFERENCES] if kind == "retrained" else draw % models.answers.n_models
            after = models[[place]]
            outcomes.setdefault(kind, Counter())[court.verdict(after).outcome] += 1
            found = court.figures(after)[0]
            for name, value in (("M", found.m), ("W", found.w), ("T on holdout", found.drift["holdout"])):
                figures.setdefault(kind, {}).setdefault(name, []).append(value)
            band = court.bands_for(1).memory
            figures[kind].setdefault("half the band of M", []).append((band.high - band.low) / 2)
    return {
        kind: {"outcomes": dict(outcomes[kind])} | {n: summary(v) for n, v in figures[kind].items()}
        for kind in outcomes
    }


def load_set(name: str) -> tuple[Set, Seen, Seen]:
    """A set, its retrained models and its originals."""
    work = Set(name, request_of(name))
    originals, retrained = counts_of(name)
    return work, gathered(work, "retrained", retrained), gathered(work, "original", originals)


def u_lira(unlearned: Observations, retrained: Observations) -> dict[str, float]:
    """Score log N(phi; mu_U, s_U) - log N(phi; mu_R, s_R) of each margin by Gaussians of the other half of the models.

    AUC and balanced accuracy over all (model, record) pairs of the half that is attacked.
    """
    scores, truth = [], []
    halves = [(slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))]
    for fitted, attacked in halves:
        moments = []
        for models in (unlearned, retrained):
            margins = models.forget.margin[fitted].astype(float)
            moments.append((margins.mean(0), np.maximum(margins.std(0, ddof=1), 1e-3)))
        for label, models in ((1, unlearned), (0, retrained)):
            phi = models.forget.margin[attacked].astype(float)
            logs = [-(((phi - mean) / sd) ** 2) / 2 - np.log(sd) for mean, sd in moments]
            scores.append((logs[0] - logs[1]).ravel())
            truth.append(np.full(phi.size, label))
    score, label = np.concatenate(scores), np.concatenate(truth)
    balanced = ((score > 0)[label == 1].mean() + (score <= 0)[label == 0].mean()) / 2
    return {"auc": float(roc_auc_score(label, score)), "balanced_accuracy": float(balanced)}


def main() -> None:
    """Every examination, one after the other."""
    found: dict[str, Any] = {}
    work, retrained, originals = load_set("mislabelled")
    answers = {"do-nothing": Seen(originals.answers)}
    roles = ("fine-tune", "retrain-equal-compute", "ebb", "replaced-head", "distilled-head", "half-and-half")
    made = {role: gathered(work, role, originals.answers.n_models) for role in roles}

    few: dict[str, Any] = {}
    for count in (5, 10, 20, 40, 65):
        places = np.sort(np.random.default_rng(count).permutation(65)[:count])
        part = {role: with_forget(made[role], places) for role in ("fine-tune", "ebb")}
        part["do-nothing"] = with_forget(originals, places)
        few[str(count)] = tried(part, with_forget(retrained, places), with_forget(originals, places))
    found["few records"] = few

    clean = tried(
        {"do-nothing": with_matched(originals, originals.answers.holdout)},
        with_matched(retrained, retrained.answers.holdout),
        with_matched(originals, originals.answers.holdout),
    )
    blind = Observations(
        retrained.answers.forget, retrained.answers.retain, retrained.answers.holdout, retrained.answers.holdout
    )
    loss = next(a for a in STANDARD if a.name == "loss")
    clean["loss AUC of retrained models"] = summary([r.auc for r in loss.run(blind[list(range(20))], intervals=False)])
    found["matched records with right labels"] = clean

    others = {role: Seen(gathered(work, role, OTHERS).answers) for role in RETRAINERS if role != "retrained"}
    found["retrained by another recipe"] = tried(others | answers, Seen(retrained.answers), Seen(originals.answers))

    for name, concept in (("class-3", True), ("duplicates", False)):
        if not (RUNS / name / "seen").exists():
            print(f"{name} was not observed, and is left out")
            continue
        _, theirs, before = load_set(name)
        found[name] = tried({"do-nothing": before}, theirs, before, concept=concept)

    beside: dict[str, Any] = {}
    table = tried(made | {"do-nothing": originals}, retrained, originals)
    for role, models in (made | {"do-nothing": originals}).items():
        seen = [o for o, n in table[role]["outcomes"].items() for _ in range(n) if o.startswith(("under", "over"))]
        beside[role] = {
            "M": table[role]["M"],
            "called remembering or over-forgotten": len(seen) / DRAWS,
            "u-lira": u_lira(models.answers, retrained.answers[slice(0, models.answers.n_models)]),
        }
    half = retrained.answers.n_models // 2
    beside["retrained"] = {
        "M": table["retrained"]["M"],
        "u-lira": u_lira(retrained.answers[slice(0, half)], retrained.answers[slice(half, 2 * half)]),
    }
    found["beside u-lira"] = beside
    data = {"references": REFERENCES, "draws": DRAWS, "found": found, "machine": describe()}
    write_text(RESULTS / "figures.json", json.dumps(data, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
