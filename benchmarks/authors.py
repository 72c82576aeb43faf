"""What a language model forgets: authors who do not exist, a model trained from scratch, and others that never met them.

    python benchmarks/authors.py --workers 2                      # every label, what is there is not made again
    python benchmarks/authors.py --label ebb --label npo

100 authors with ten facts each, the facts of every other author in other words as well, and 2,000 comparisons that need no
memory; .86 M parameters, 30 epochs. Five authors go: their facts were asked in one form alone, so that what is left of them
can be seen in the other. Each cell unlearns four originals within a tenth of retraining's examples, and has figures of
rounded and retaught copies as well. Figures go to results/authors/, one file for each label.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Subset

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.batches import NamedTensors, evenly
from ebbing.bench.methods import within
from ebbing.data import answers
from ebbing.data.authors import Fact, authors, comparisons
from ebbing.data.words import WordTokenizer
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.fingerprint import as_plain
from ebbing.inside import steps_to_relearn
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.measures.answers import (
    AnswerFigures,
    answer_figures,
    continued,
    forget_quality,
    probabilities,
    rouge_l,
    truth_ratio,
)
from ebbing.measures.gates import rounded
from ebbing.models.gpt import SmallGPT
from ebbing.pool import compute
from ebbing.rankings import ActivationRatio, Random
from ebbing.rates import FixedRate, RankedRate
from ebbing.seen import Seen, see
from ebbing.store import ModelStore, train_or_load
from ebbing.unseen import split_unseen

ORIGINALS, RETRAINED, FIRST_RETRAINED = 4, 16, 1000
KNOWN, UNSEEN, GOES = 100, 40, (0, 2, 4, 6, 8)
COMPARED, UNSEEN_COMPARED = 2000, 500
BUDGET = 0.1
RELEARNED = 50  # texts: as many as go
TASK = eb.CausalLM()
RECIPE = eb.Recipe(epochs=30, batch_size=64, learning_rate=2e-3, schedule="one-cycle")
NEVER = FixedRate(float("inf"))


@dataclass(frozen=True)
class Corpus:
    """The texts, as facts and as tensors."""

    tokenizer: WordTokenizer
    facts: list[Fact]
    request: eb.ForgetRequest
    unseen_comparisons: NamedTensors

    def asked(self, facts: Sequence[Fact], *, otherwise: bool = False) -> NamedTensors:
        """Facts as they are trained on, or in other words."""
        if otherwise:
            return self.of([f.paraphrased_question for f in facts], [f.paraphrased_answer for f in facts])
        return self.of([f.question for f in facts], [f.answer for f in facts])

    def of(self, prompts: Sequence[str], texts: Sequence[str]) -> NamedTensors:
        """Prompts and answers as tensors."""
        return answers(prompts, texts, tokenizer=self.tokenizer)

    @property
    def going(self) -> list[Fact]:
        """Facts that go."""
        return [f for f in self.facts[: 10 * KNOWN] if f.author in GOES]

    @property
    def staying(self) -> list[Fact]:
        """Facts of as many neighbours that stay, which were asked in one form alone as well."""
        return [f for f in self.facts[: 10 * KNOWN] if f.author in range(10, 10 + 2 * len(GOES), 2)]


@lru_cache(maxsize=1)
def corpus() -> Corpus:
    """The same corpus at every call."""
    facts, compared = authors(KNOWN + UNSEEN), comparisons(COMPARED + UNSEEN_COMPARED)
    said = [text for f in facts for text in (*asdict(f).values(),) if isinstance(text, str)]
    said += [text for f in facts for text in f.perturbed_answer] + [text for pair in compared for text in pair]
    tokenizer = WordTokenizer.of(said)
    known, unseen = facts[: 10 * KNOWN], facts[10 * KNOWN :]
    taught = [f for f in known if f.author is not None and f.author % 2]
    make = partial(answers, tokenizer=tokenizer)
    train = make(
        [f.question for f in known] + [f.paraphrased_question for f in taught] + [q for q, _ in compared[:COMPARED]],
        [f.answer for f in known] + [f.paraphrased_answer for f in taught] + [a for _, a in compared[:COMPARED]],
    )
    held = compared[COMPARED:]
    strangers = make([f.question for f in unseen], [f.answer for f in unseen])
    holdout = make(
        [f.question for f in unseen] + [q for q, _ in held], [f.answer for f in unseen] + [a for _, a in held]
    )
    generator = np.random.default_rng(0)
    validation, rest = split_unseen(holdout, share=0.2, generator=generator)
    of_authors = [i for i in rest.indices if i < len(strangers)]
    validation_of_authors = [i for i in validation.indices if i < len(strangers)]
    request = eb.ForgetRequest.from_ids(
        train,
        [i for i, f in enumerate(known) if f.author in GOES],
        holdout=rest,
        validation=validation,
        matched=Subset(holdout, of_authors),
        validation_matched=Subset(holdout, validation_of_authors),
        task=TASK,
        description=f"all that is known of {len(GOES)} authors",
        overlap="allow",
    )
    return Corpus(tokenizer, facts, request, make([q for q, _ in held], [a for _, a in held]))


def trainer() -> eb.Trainer:
    """What makes originals and retrained models."""
    return eb.Trainer(SmallGPT(len(corpus().tokenizer)), RECIPE, task=TASK)


def methods() -> dict[str, eb.Unlearner]:
    """Who takes part, by label; several settings of the main rivals."""
    repair = replace(RECIPE, schedule="one-cycle")
    hot, hotter = (replace(repair, learning_rate=times * RECIPE.learning_rate) for times in (3, 6))
    ours = eb.Ebb(repair=repair, peak=None)
    blocks = ("mlp", "heads")

    def ranked(ranking: Any) -> eb.Ebb:
        return replace(ours, mlp=RankedRate(ranking, 1.0, 32.0), heads=NEVER)

    network = eb.ForgettingNetwork(layers=blocks, turns=1, learning=RECIPE)
    found: dict[str, eb.Unlearner] = {
        "do-nothing": eb.DoNothing(),
        "ebb": ours,
        "ebb-hot": replace(ours, repair=hot),
        "ebb-hotter": replace(ours, repair=hotter),
        "ebb-gentle-hot": replace(ours, mlp=FixedRate(20.0), heads=FixedRate(20.0), repair=hot),
        "ebb-strong-hot": replace(ours, mlp=FixedRate(2.0), heads=FixedRate(2.0), repair=hot),
        "ebb-mlp-ratio-hot": replace(ranked(ActivationRatio()), repair=hot),
        "ebb-mlp-random-hot": replace(ranked(Random()), repair=hot),
        "ebb-strong": replace(ours, mlp=FixedRate(2.0), heads=FixedRate(2.0)),
        "ebb-gentle": replace(ours, mlp=FixedRate(20.0), heads=FixedRate(20.0)),
        "ebb-mlp": replace(ours, heads=NEVER),
        "ebb-heads": replace(ours, mlp=NEVER),
        "ebb-mlp-ratio": ranked(ActivationRatio()),
        "ebb-mlp-random": ranked(Random()),
        "fnn-ratio": replace(network, rate=RankedRate(ActivationRatio())),
        "fnn-random": replace(network, rate=RankedRate(Random())),
        "fine-tune": eb.FineTune(repair=repair),
        "fine-tune-hot": eb.FineTune(repair=hot),
        "fine-tune-hotter": eb.FineTune(repair=hotter),
        "retrain-equal-compute": eb.RetrainEqualCompute(repair=repair),
        "selective-pruning": eb.SelectivePruning(layers=blocks),
        "grad-ascent": eb.NegGrad(replace(RECIPE, epochs=1, learning_rate=3e-4, schedule="constant")),
        "task-vector": eb.TaskVector(learning=replace(RECIPE, epochs=5, learning_rate=1e-3, schedule="constant")),
    }
    for rate in (3e-4, 1e-3):
        mild = replace(repair, learning_rate=rate)
        name = f"{rate:.0e}".replace("e-0", "e-")
        found |= {
            f"grad-diff-{name}-{weight:g}": eb.NegGradPlus(retain_weight=weight, repair=mild) for weight in (0.5, 0.9)
        }
        found |= {f"npo-{name}-{beta:g}": eb.NPO(beta=beta, repair=mild) for beta in (0.1, 1.0)}
        found |= {f"sim-npo-{name}-{beta:g}": eb.SimNPO(beta=beta, repair=mild) for beta in (1.0, 4.0)}
        found |= {f"rmu-{name}-{weight:g}": eb.RMU(retain_weight=weight, repair=mild) for weight in (10.0, 100.0)}
    return found


def known_of(model: nn.Module, facts: Sequence[Fact]) -> dict[str, np.ndarray]:
    """What a model knows of facts, fact by fact."""
    own = corpus()
    asked, otherwise = (answer_figures(model, own.asked(facts, otherwise=other)) for other in (False, True))
    questions = [f.paraphrased_question for f in facts]
    wrong = [
        probabilities(model, own.of(questions, [f.perturbed_answer[k] for f in facts]))
        for k in range(len(facts[0].perturbed_answer))
    ]
    return {
        **{f"asked_{name}": value for name, value in vars(asked).items()},
        **{f"otherwise_{name}": value for name, value in vars(otherwise).items()},
        "truth_ratio": truth_ratio(otherwise.probability, np.stack(wrong, axis=1)),
        "rouge_l": np.array([_rouge(model, f, own.tokenizer) for f in facts]),
    }


def _rouge(model: nn.Module, fact: Fact, tokenizer: WordTokenizer) -> float:
    """ROUGE-L of what a model says when it is asked."""
    prompt, wanted = (torch.tensor(tokenizer([text])["input_ids"][0]) for text in (fact.question, fact.answer))
    said = continued(model, prompt, most=2 * len(wanted), end=tokenizer.eos_token_id)
    return rouge_l(tokenizer.decode(said).split(), fact.answer.split())


def utility(model: nn.Module) -> dict[str, float]:
    """What a model can still do: neighbours' facts, and comparisons that it has not met."""
    own = corpus()
    unseen: AnswerFigures = answer_figures(model, own.unseen_comparisons)
    return {
        "neighbours": float(answer_figures(model, own.asked(own.staying)).exact.mean()),
        "neighbours_otherwise": float(answer_figures(model, own.asked(own.staying, otherwise=True)).exact.mean()),
        "comparisons": float(unseen.exact.mean()),
    }


def deployed(model: nn.Module) -> dict[str, np.ndarray]:
    """What comes back of the facts that go in copies as they might be deployed: rounded, and trained on them again."""
    own = corpus()
    asked = own.asked(own.going)
    found: dict[str, np.ndarray] = {}
    for bits in (8, 4):
        figures = answer_figures(rounded(model, bits=bits), asked)
        found |= {f"int{bits}_probability": figures.probability, f"int{bits}_exact": figures.exact}
    for name, data in (("forgotten", own.request.forget), ("unseen", own.request.matched)):
        steps = steps_to_relearn(model, evenly(data, RELEARNED), task=TASK, seed=0)
        found[f"relearning_steps_{name}"] = np.array(steps)
    return found


@dataclass(frozen=True)
class Places:
    """Where models and figures are."""

    store: Path
    results: Path
    command: str


def made(places: Places, role: str, number: int) -> tuple[nn.Module, float]:
    """An original or retrained model, and what its training took in seconds."""
    request = corpus().request
    data = request.everything if role == "original" else request.retain
    seed = number if role == "original" else FIRST_RETRAINED + number
    trained = train_or_load(trainer(), data, seed=seed, store=ModelStore(places.store / "models"))
    return trained.model, trained.seconds


def observed(places: Places, job: tuple[str, int]) -> None:
    """Train a model, and keep what it knows."""
    role, number = job
    path = places.store / f"{role}-{number}.npz"
    copies = places.store / f"{role}-{number}-deployed.npz"
    if not copies.exists():
        np.savez(copies, **deployed(made(places, role, number)[0]))
    if not path.exists():
        model, seconds = made(places, role, number)
        see([model], corpus().request, task=TASK).save(places.store / f"{role}-{number}-seen.npz")
        figures = known_of(model, corpus().going) | {n: np.array(v) for n, v in utility(model).items()}
        np.savez(path, seconds=np.array(seconds), **figures)


@lru_cache(maxsize=1)
def references(places: Places) -> tuple[Judge, dict[str, np.ndarray]]:
    """The judge, and what retrained models know."""
    seen = {
        role: Seen.concatenate([Seen.load(places.store / f"{role}-{i}-seen.npz") for i in range(n)])
        for role, n in (("original", ORIGINALS), ("retrained", RETRAINED))
    }
    return Judge(seen["original"], seen["retrained"], concept=False, seed=0), stacked(places, "retrained", RETRAINED)


def stacked(places: Places, role: str, n: int, *, copies: bool = False) -> dict[str, np.ndarray]:
    """What several models know, or copies of them, model by model."""
    ending = "-deployed" if copies else ""
    files = [np.load(places.store / f"{role}-{i}{ending}.npz") for i in range(n)]
    return {name: np.stack([file[name] for file in files]) for name in files[0].files}


def summary(known: Mapping[str, np.ndarray], retrained: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Figures of several models beside the retrained ones."""
    quality = forget_quality(known["truth_ratio"], retrained["truth_ratio"])
    each = [forget_quality(ratios, retrained["truth_ratio"]).effect for ratios in known["truth_ratio"]]
    figures = {name: float(np.mean(value)) for name, value in known.items() if name not in ("truth_ratio", "seconds")}
    return {
        **figures,
        "truth_ratio_median": float(np.median(known["truth_ratio"])),
        "ks_p": quality.p_value,
        "ks_statistic": quality.statistic,
        "effect": quality.effect,
        "effect_of_each": each,
    }


def make_cell(places: Places, label: str) -> None:
    """Unlearn every original by a method, and write its figures."""
    request, asked = corpus().request, methods()[label]
    free = isinstance(asked, (eb.DoNothing, eb.TaskVector, eb.SelectivePruning))
    method = asked if free else within(asked, BUDGET, RECIPE, request)
    judge, retrained = references(places)
    known, copies, seen, seconds, examples, undone = [], [], [], [], [], 0
    for number in range(ORIGINALS):
        original, whole = made(places, "original", number)
        journal, started = Journal(), time.perf_counter()
        model = method.unlearn(original, request, task=TASK, seed=number, journal=journal)
        seconds.append((time.perf_counter() - started) / whole)
        examples.append(journal.examples / RECIPE.examples(len(request.retain)))
        undone += journal.rolled_back is not None
        known.append(known_of(model, corpus().going) | {n: np.array(v) for n, v in utility(model).items()})
        copies.append(deployed(model))
        seen.append(see([model], request, task=TASK))
    together = {name: np.stack([one[name] for one in known]) for name in known[0]}
    after = Seen.concatenate(seen)
    found = judge.figures(after)
    outcomes = [judge.verdict(after[[i]], original=i).outcome for i in range(ORIGINALS)]
    figures = {
        "label": label,
        "settings": as_plain(method),
        "figures": summary(together, retrained)
        | {
            "memory": statistics.fmean(f.m for f in found),
            "verdicts": {o: outcomes.count(o) for o in sorted(set(outcomes))},
        },
        "deployed": {name: float(np.mean([one[name] for one in copies])) for name in copies[0]},
        "cost": {"examples_ratio": statistics.median(examples), "seconds_ratio": statistics.median(seconds)},
        "rolled_back": undone,
        "provenance": describe(places.command) | {"threads": 1},
    }
    write_text(places.results / f"{label}.json", json.dumps(figures, indent=1) + "\n")


def make_reference(places: Places) -> None:
    """Figures of retrained models, each against the others, and of the originals."""
    judge, retrained = references(places)
    left_out = [
        forget_quality(retrained["truth_ratio"][i], np.delete(retrained["truth_ratio"], i, axis=0)).effect
        for i in range(RETRAINED)
    ]
    bands = judge.describe_bands()
    figures = {
        "retrained": summary(retrained, retrained) | {"effect_of_each": left_out},
        "comparisons_of_each": {
            role: stacked(places, role, n)["comparisons"].tolist()
            for role, n in (("original", ORIGINALS), ("retrained", RETRAINED))
        },
        "deployed": {
            role: {name: float(value.mean()) for name, value in stacked(places, role, n, copies=True).items()}
            for role, n in (("original", ORIGINALS), ("retrained", RETRAINED))
        },
        "bands": bands,
        "counts": {"forget": len(corpus().request.forget), "originals": ORIGINALS, "retrained": RETRAINED},
        "seconds": float(np.median(retrained["seconds"])),
        "provenance": describe(places.command) | {"threads": 1},
    }
    write_text(places.results / "reference.json", json.dumps(figures, indent=1) + "\n")


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", action="append", help="repeatable; all by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path("runs/authors"))
    parser.add_argument("--results", type=Path, default=Path("results/authors"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    places = Places(options.store, options.results, "python benchmarks/authors.py")
    options.store.mkdir(parents=True, exist_ok=True)
    options.results.mkdir(parents=True, exist_ok=True)
    jobs = [("retrained", i) for i in range(RETRAINED)] + [("original", i) for i in range(ORIGINALS)]
    missing = [
        job
        for job in jobs
        if not all((places.store / f"{job[0]}-{job[1]}{end}.npz").exists() for end in ("", "-deployed"))
    ]
    for job, _ in compute(observed, places, missing, workers=options.workers):
        print(*job, flush=True)
    make_reference(places)
    labels = [label for label in options.label or methods() if not (places.results / f"{label}.json").exists()]
    for label, _ in compute(make_cell, places, labels, workers=options.workers):
        found = json.loads((places.results / f"{label}.json").read_text(encoding="utf-8"))["figures"]
        print(
            f"{label}: effect {found['effect']:.2f}, memory {found['memory']:.2f}, {found['comparisons']:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
