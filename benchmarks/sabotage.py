"""Who is seen through, and who is wrongly accused: the verdict on saboteurs and on held-out retrained models.

    python benchmarks/sabotage.py observe mislabelled   # trains and observes; resumable, minutes
    python benchmarks/sabotage.py judge mislabelled     # draws and judges, writes results/sabotage/mislabelled.json

Sets of records of scikit-learn's digits:
  mislabelled    5 % with wrong labels
  memorised      the 3 % that models trained with them know best beyond models trained without them
  unmemorised    the 5 % that models know just as well without having been trained with them
  random         5 % at random
  records-N      N mislabelled records, N = 5, 20, 100
  class-3        every record of a class
  duplicates     5 % with wrong labels, each with a near copy that stays in the training set with the same wrong label

A draw takes an original and what a saboteur made of it (both of one seed), one retrained model that is held out,
each once, and N others as references, drawn anew.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from problems import plain
from torch.utils.data import TensorDataset

from ebbing.batches import iterate
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.methods import FineTune, RetrainEqualCompute, Unlearner
from ebbing.models import digits_cnn
from ebbing.pool import compute
from ebbing.request import ForgetRequest
from ebbing.sabotage import SUITE
from ebbing.seen import Seen, see
from ebbing.store import ModelStore, train_or_load
from ebbing.task import Classification, evaluation_mode, margin
from ebbing.training import Recipe, Trainer
from ebbing.unseen import split_unseen
from ebbing.verdict import CONSISTENT, NO_MEMORY

ROOT = Path(__file__).parent.parent
RESULTS, RUNS = ROOT / "results" / "sabotage", ROOT / "runs" / "sabotage"
TRAINER = Trainer(digits_cnn, Recipe(epochs=80, learning_rate=2e-3))
TASK = Classification()
ORIGINALS, RETRAINED = 100, 164
FEWER_ORIGINALS, FEWER_RETRAINED = 50, 114  # where only power is looked at
RETRAINERS = {
    "retrained": TRAINER,
    "retrained-half-as-long": Trainer(digits_cnn, Recipe(epochs=40, learning_rate=2e-3)),
    "retrained-by-sgd": Trainer(digits_cnn, Recipe(epochs=80, optimizer="sgd", learning_rate=0.05)),
}
OTHERS = 30  # models of each other recipe
SUBSET_MODELS = 48  # for memorisation
LAYERS = ["conv2", "fc1", "fc2"]  # conv1 reads the image itself
ORACLES = (4, 8, 16, 32, 64)
METHODS: dict[str, Unlearner] = {
    "fine-tune": FineTune(training=TRAINER.recipe),
    "retrain-equal-compute": RetrainEqualCompute(training=TRAINER.recipe),
    "ebb": plain(TRAINER.recipe),
}


def suite() -> dict[str, Unlearner]:
    """The saboteurs; a fresh network inside one has the methods' budget."""
    equal = METHODS["retrain-equal-compute"]
    distilled = {name: replace(SUITE[name], teacher=equal) for name in ("distilled-head", "shaken-distilled-head")}
    return {**SUITE, **distilled, "half-and-half": replace(SUITE["half-and-half"], network=equal)}


# ---------------------------------------------------------------- the sets


def request_of(name: str) -> ForgetRequest:
    """The request of a set of records."""
    if name == "mislabelled":
        return select("mislabelled:0.05", load("digits"), seed=0)
    if name == "random":
        return select("random:0.05", load("digits"), seed=0)
    if name == "memorised":
        return by_memorisation(share=0.03)
    if name == "unmemorised":
        return by_memorisation(share=0.05, least=True)
    kind, _, count = name.partition("-")
    if kind == "records":
        return select(f"mislabelled:{int(count) / 1297}", load("digits"), seed=0)
    if name == "class-3":
        return select("class:3", load("digits"), seed=0)
    if name == "duplicates":
        return with_duplicates(request_of("mislabelled"))
    raise SystemExit(f"no set is called {name!r}")


def with_duplicates(request: ForgetRequest) -> ForgetRequest:
    """The request with a copy of each forgotten record, shaken by a tenth of a standard deviation, among what stays."""
    inputs, labels = request.dataset.tensors
    ids = request.forget_ids
    noise = 0.1 * torch.randn(inputs[ids].shape, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(torch.cat([inputs, inputs[ids] + noise]), torch.cat([labels, labels[ids]]))
    return ForgetRequest.from_ids(
        data, ids, holdout=request.holdout, validation=request.validation, matched=request.matched, kind="duplicates"
    )


@dataclass(frozen=True)
class Pool:
    """Training and unseen records together, of which models are trained on random halves."""

    data: TensorDataset
    seed: int = 0

    def half(self, number: int) -> torch.Tensor:
        """(n,) bool, the records that model ``number`` is trained on: 70 % of all."""
        generator = np.random.default_rng([self.seed, number])
        return torch.from_numpy(generator.random(len(self.data)) < 0.7)


def subset_margins(pool: Pool, number: int) -> np.ndarray:
    """Margins of all records by the model trained on one random part."""
    inside = pool.half(number)
    part = TensorDataset(*(tensor[inside] for tensor in pool.data.tensors))
    model = train_or_load(TRAINER, part, seed=5000 + number, store=ModelStore(RUNS / "memorisation")).model
    with evaluation_mode(model):
        return torch.cat([margin(TASK.forward(model, b)) for b in iterate(pool.data, batch_size=512)]).numpy()


def memorisation(pool: Pool) -> np.ndarray:
    """(n,) mean margin by models trained with a record, less that by models trained without."""
    found = dict(compute(subset_margins, pool, list(range(SUBSET_MODELS)), workers=2))
    margins = np.stack([found[i] for i in range(SUBSET_MODELS)])
    inside = np.stack([pool.half(i).numpy() for i in range(SUBSET_MODELS)])
    seen = np.where(inside, margins, 0).sum(0) / inside.sum(0)
    not_seen = np.where(inside, 0, margins).sum(0) / (~inside).sum(0)
    return seen - not_seen


def by_memorisation(*, share: float, least: bool = False) -> ForgetRequest:
    """The records with the largest memorisation, or those with the smallest in absolute value.

    Unseen records are scored in the same way, and three times the share of them is matched: drawn as the forget set was.
    Half of the unseen records are used for that, the others are the holdout. After Feldman and Zhang, arXiv 2008.03703.
    """
    bundle = load("digits")
    spare, unseen = split_unseen(bundle.test, share=0.5, generator=np.random.default_rng(0))
    extra = [torch.stack([spare[i][part] for i in range(len(spare))]) for part in (0, 1)]
    pool = Pool(TensorDataset(*(torch.cat([a, b]) for a, b in zip(bundle.train.tensors, extra, strict=True))))
    scores, n = memorisation(pool), len(bundle.train)
    order = np.abs(scores) if least else -scores
    ids = np.argsort(order[:n])[: round(share * n)]
    # three times the share, so that there are enough of them: 250 unseen records have only 8 in their top 3 %
    others = np.sort(np.argsort(order[n:])[: round(3 * share * len(spare))])
    matched = TensorDataset(*(part[others] for part in extra))
    kind = "unmemorised" if least else "memorised"
    return ForgetRequest.from_ids(bundle.train, ids, holdout=unseen, matched=matched, kind=kind)


# ---------------------------------------------------------------- observing


@dataclass(frozen=True)
class Set:
    """A set and its folder: what a worker needs. The request is only for those who train and observe."""

    name: str
    request: ForgetRequest | None = None

    @property
    def folder(self) -> Path:
        """Where models and observations of the set are."""
        return RUNS / self.name

    def path(self, item: tuple[str, int]) -> Path:
        """Where the observations of one model are."""
        return self.folder / "seen" / f"{item[0]}-{item[1]}.npz"


def observe_one(work: Set, item: tuple[str, int]) -> float:
    """Make one model, by a role and a seed, and keep what is seen of it; the seconds it took."""
    role, seed = item
    start = time.perf_counter()
    if work.path(item).exists():
        return 0.0
    store = ModelStore(work.folder / "models")
    if role in RETRAINERS:
        model = train_or_load(RETRAINERS[role], work.request.retain, seed=1000 + seed, store=store).model
    else:
        model = train_or_load(TRAINER, work.request.everything, seed=seed, store=store).model
        if role != "original":
            method = {**suite(), **METHODS}[role]
            journal = Journal()
            model = method.unlearn(model, work.request, task=TASK, seed=seed, journal=journal)
            if journal.rolled_back:
                print(f"{role} {seed} was rolled back: {journal.rolled_back}", flush=True)
    see([model], work.request, task=TASK, layers=LAYERS).save(work.path(item))
    return time.perf_counter() - start


def roles_of(name: str) -> list[str]:
    """What is made of the originals of a set."""
    if name.startswith("records") or name in ("unmemorised", "random", "class-3", "duplicates"):
        return ["do-nothing"]
    return [*suite(), *METHODS]


def counts_of(name: str) -> tuple[int, int]:
    """How many originals and retrained models a set has."""
    if name in ("class-3", "duplicates"):
        return OTHERS, 64
    return (FEWER_ORIGINALS, FEWER_RETRAINED) if name.startswith("records") else (ORIGINALS, RETRAINED)


def observe(name: str) -> None:
    """Make and see all models of a set."""
    work = Set(name, request_of(name))
    originals, retrained = counts_of(name)
    items = [("retrained", i) for i in range(retrained)] + [("original", i) for i in range(originals)]
    if name == "mislabelled":
        items += [(role, i) for role in RETRAINERS if role != "retrained" for i in range(OTHERS)]
    for stage in (items, [(role, i) for role in roles_of(name) if role != "do-nothing" for i in range(originals)]):
        left = [item for item in stage if not work.path(item).exists()]
        start = time.perf_counter()
        for done, (item, _) in enumerate(compute(observe_one, work, left, workers=2), start=1):
            if done % 50 == 0:
                took = time.perf_counter() - start
                rest = took / done * (len(left) - done)
                print(f"{name}: {item[0]}, {done} of {len(left)}, {took:.0f} s, {rest:.0f} s left", flush=True)


# ---------------------------------------------------------------- judging


def gathered(work: Set, role: str, count: int) -> Seen:
    """What was seen of all models of a role."""
    return Seen.concatenate([Seen.load(work.path((role, i))) for i in range(count)])


def answers_only(seen: Seen) -> Seen:
    """The same without what is inside."""
    return Seen(seen.answers)


def judge(name: str) -> None:
    """Draw, judge, and write the counts of outcomes."""
    work = Set(name, request_of(name))
    n_originals, n_retrained = counts_of(name)
    retrained, originals = gathered(work, "retrained", n_retrained), gathered(work, "original", n_originals)
    made = {role: originals if role == "do-nothing" else gathered(work, role, n_originals) for role in roles_of(name)}
    counts: dict[str, Any] = {}
    for n in ORACLES:
        for view, see_it in (("answers", answers_only), ("answers and inside", lambda seen: seen)):
            table = {role: Counter() for role in [*made, "retrained"]}
            figures: dict[str, list[float]] = {role: [] for role in table}
            for draw in range(n_originals):
                generator = np.random.default_rng([draw, n])
                held_out = draw  # each retrained model is held out once
                references = [i for i in generator.permutation(n_retrained).tolist() if i != held_out][:n]
                before, others = see_it(originals[[draw]]), see_it(retrained[references])
                court = Judge(before, others, concept=work.request.concept, seed=0)
                for role, models in {**made, "retrained": retrained}.items():
                    after = see_it(models[[held_out if role == "retrained" else draw]])
                    table[role][court.verdict(after).outcome] += 1
                    figures[role].append(court.figures(after)[0].m)
            counts[f"{n} references, {view}"] = {
                role: {"outcomes": dict(found), "m": float(np.mean(figures[role]))} for role, found in table.items()
            }
            print(n, view, {r: dict(t) for r, t in table.items()}, flush=True)
    request = work.request
    data = {
        "set": name,
        "records": len(request.forget),
        "matched": len(request.matched),
        "holdout": len(request.holdout),
        "draws": n_originals,
        "retrained": n_retrained,
        "counts": counts,
        "good_news": [CONSISTENT, NO_MEMORY],
        "command": f"python benchmarks/sabotage.py observe {name} && python benchmarks/sabotage.py judge {name}",
        "machine": describe(),
    }
    write_text(RESULTS / f"{name}.json", json.dumps(data, indent=1) + "\n")


def main() -> None:
    """Observe or judge a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["observe", "judge"])
    parser.add_argument("set")
    options = parser.parse_args()
    torch.set_num_threads(1)
    (observe if options.step == "observe" else judge)(options.set)


if __name__ == "__main__":
    main()
