"""Build docs/stream.md from the files under results/stream and benchmarks/stream_text.md.

python benchmarks/stream_page.py [--check]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_or_check

from ebbing.measures import cumulative_cost, re_emergence, re_emergence_bands, utility_drift
from ebbing.sharding import Sharding

ROOT = Path(__file__).parent.parent
RESULTS, TEXT, PAGE = ROOT / "results" / "stream", Path(__file__).parent / "stream_text.md", ROOT / "docs" / "stream.md"
ORDER = ("do-nothing", "ebb", "ebb-hot", "forgetting-network", "fine-tune", "neg-grad-plus", "scrub", "ssd", "sisa")
TASKS = {"digits": "Digits", "fashion10k": "Fashion-MNIST, 10,000 images"}
GUARDS = 2000  # examples that the guards around every method read at a request
LEVEL = 0.97  # jointly over the requests, as of the verdict
POINTS, COST = 0.005, 0.25  # what was to be reached

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """One method on one task: its cells, and the retrained models."""

    label: str
    cells: Sequence[Figures]
    reference: Figures

    @property
    def exact(self) -> bool:
        """Whether it is retraining by its making."""
        return self.label == "sisa"

    def gap(self, split: str) -> np.ndarray:
        """(originals, steps) accuracy above that of models retrained at each step; NaN where there are none."""
        wanted = {s["request"]: statistics.fmean(a[split] for a in s["accuracy"]) for s in self.reference["steps"]}
        return np.array(
            [
                [s["accuracy"][split] - wanted[s["request"]] if "accuracy" in s else np.nan for s in cell["steps"]]
                for cell in self.cells
            ]
        )

    def memory(self) -> np.ndarray:
        """(originals, steps, requests) M; NaN where it was not measured."""
        return np.stack([_memory(cell["steps"], len(cell["steps"])) for cell in self.cells])

    def outside(self, least: float = -np.inf) -> tuple[int, int]:
        """Originals and requests whose re-emergence lies above its band, and of how many."""
        n = len(self.cells[0]["steps"])
        retrained = np.stack(
            [_memory(self.reference["steps"], n, model=i) for i in range(self.reference["counts"]["retrained"])]
        )
        bands = re_emergence_bands(re_emergence(retrained, least=least), level=LEVEL)
        found = [
            (v, b)
            for row in re_emergence(self.memory(), least=least)
            for v, b in zip(row, bands, strict=True)
            if b is not None
        ]
        return sum(v not in b for v, b in found), len(found)

    def costs(self) -> list[float]:
        """Cumulative cost of each original's walk."""
        return [
            float(
                cumulative_cost(
                    np.array([s["examples"] for s in c["steps"]]), np.array([s["retraining"] for s in c["steps"]])
                )[-1]
            )
            for c in self.cells
        ]

    def repeats(self) -> tuple[int, int]:
        """Requests for nothing new that left every bit, and how many there were."""
        free = [s["same bits"] for cell in self.cells for s in cell["steps"] if not s["new"]]
        return sum(free), len(free)

    @property
    def rolled_back(self) -> int:
        """Requests at which the method's guard undid what it did."""
        return sum(bool(s.get("rolled back")) for cell in self.cells for s in cell["steps"])


def _memory(steps: Sequence[Figures], requests: int, *, model: int | None = None) -> np.ndarray:
    """(steps, requests) M of the steps that were measured, in their places."""
    found = np.full((requests, requests), np.nan)
    for step in steps:
        row = step.get("memory")
        if row is not None:
            values = row if model is None else row[model]
            found[step["request"] - 1, : len(values)] = [np.nan if v is None else v for v in values]
    return found


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: built()})


def built() -> str:
    """The page."""
    there = [name for name in TASKS if (RESULTS / name / "reference.json").exists() and told_of(name)]
    first = _read(RESULTS / there[0] / "reference.json")
    return TEXT.read_text(encoding="utf-8").format(
        problem=_problem(first),
        models=first["counts"]["retrained"],
        tasks="\n\n".join(_task(name) for name in there),
        shards=_shards(there),
        made=_made({name: _read(RESULTS / name / "reference.json") for name in there}),
    )


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def told_of(task: str) -> list[Told]:
    """The methods that have a cell, in their order."""
    reference = _read(RESULTS / task / "reference.json")
    found = []
    for label in ORDER:
        cells = [_read(path) for path in sorted((RESULTS / task).glob(f"mixed-{label}-[0-9].json"))]
        if cells:
            found.append(Told(label, cells, reference))
    return found


# ---------------------------------------------------------------- in words and tables


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _points(values: np.ndarray, digits: int = 1) -> str:
    return f"{100 * float(np.mean(values)):+.{digits}f}"


def _problem(reference: Figures) -> str:
    stream = reference["stream"]
    rows = [
        [
            str(i),
            r["kind"] + (f" of {' and '.join(map(str, r['of']))}" if r["of"] else ""),
            str(r["names"]),
            str(r["new"]),
        ]
        for i, r in enumerate(stream, start=1)
    ]
    counts = reference["counts"]
    text = (
        "Each request is for about 1 % of the training set. Wrong labels were planted before training, so that there is "
        f"something to remember: on digits on {counts['wrong']} of {counts['records']:,} records, of which some are never "
        "asked for. Near-duplicates are twins with noise that were planted too, and were trained on until they are asked for "
        "themselves. The retain set is what remains after all requests so far; what asks for nothing new is not processed. "
        "No setting was chosen for this: every method is as the library has it, within its default budget, a fifth of one "
        "retraining's examples at each request, and the `forgetting-network` is the paper's with two turns, as on the "
        "leaderboard."
    )
    return text + "\n\n" + _table(["request", "kind", "records", "new"], rows)


def _task(name: str) -> str:
    """A section."""
    told = told_of(name)
    steps = [s["request"] for s in told[0].reference["steps"]]
    parts = [f"## {TASKS[name]}", _retrained(told[0].reference), _summary(told), _by_kind(told), _reached(told)]
    if len(steps) < 10:
        parts.insert(1, f"Models were retrained after requests {', '.join(map(str, steps))}.")
    others = [_read(p) for label in ORDER for p in [RESULTS / name / f"orders-{label}.json"] if p.exists()]
    adaptive = [_read(p) for label in ORDER for p in [RESULTS / name / f"adaptive-{label}.json"] if p.exists()]
    parts += [_orders(others)] if others else []
    parts += [_adaptive(adaptive)] if adaptive else []
    return "\n\n".join(parts)


def _retrained(reference: Figures) -> str:
    last = reference["steps"][-1]
    mean = {k: statistics.fmean(a[k] for a in last["accuracy"]) for k in last["accuracy"][0]}
    low, high = (f(a["holdout"] for a in last["accuracy"]) for f in (min, max))
    return (
        f"Models retrained after the last request have {mean['retain']:.1%} of what stays right "
        f"({mean['rightly labelled']:.1%} of what is rightly labelled), and {mean['holdout']:.1%} of the holdout ({low:.1%} "
        f"to {high:.1%})."
    )


def _summary(told: Sequence[Told]) -> str:
    head = ["method", "originals", "retain", "rightly labelled", "holdout", "drift, retain", "drift, holdout"]
    head += ["outside", "outside, from 0", "repeats", "cost, %", "rolled back"]
    rows = []
    for one in told:
        gaps = {split: one.gap(split) for split in ("retain", "rightly labelled", "holdout")}
        drift = [np.mean([utility_drift(-row) for row in gaps[split]]) for split in ("retain", "holdout")]
        told_out = ["exact"] * 2 if one.exact else ["{} of {}".format(*one.outside(least)) for least in (-np.inf, 0.0)]
        same, free = one.repeats()
        rows.append(
            [
                *(f"`{one.label}`", str(len(one.cells)), *(_points(g[:, -1]) for g in gaps.values())),
                *(f"{100 * d:+.2f}" for d in drift),
                *(
                    *told_out,
                    f"{same} of {free}",
                    f"{100 * statistics.fmean(one.costs()):.1f}",
                    str(one.rolled_back or ""),
                ),
            ]
        )
    return _table(head, rows)


def _by_kind(told: Sequence[Told]) -> str:
    """M at once and at the end, by kind of request."""
    stream = told[0].reference["stream"]
    kinds = [k for k in dict.fromkeys(r["kind"] for r in stream) if any(r["new"] for r in stream if r["kind"] == k)]
    rows = []
    for one in told:
        memory = one.memory()  # (originals, steps, requests)
        known = np.isfinite(memory)
        first = np.take_along_axis(memory, known.argmax(axis=1)[:, None, :], axis=1)[:, 0]
        last = memory[:, -1]
        cells = []
        for kind in kinds:
            own = [i for i, r in enumerate(stream) if r["kind"] == kind and r["new"]]
            cells.append(f"{np.nanmean(first[:, own]):+.2f}, {np.nanmean(last[:, own]):+.2f}")
        rows.append([f"`{one.label}`", *cells])
    everywhere = len(told[0].reference["steps"]) == sum(bool(r["new"]) for r in stream)
    when = "at once" if everywhere else "at the first of these requests that is not before its own"
    text = f"M of the records of each kind of request, {when} and at the end; 0 is where retraining leaves them:"
    return text + "\n\n" + _table(["method", *kinds], rows)


def _reached(told: Sequence[Told]) -> str:
    """What was to be reached, and by whom."""
    rows = []
    for one in told:
        gaps = [one.gap(split)[:, -1] for split in ("retain", "holdout")]
        near = [f"{_holds(abs(float(gap.mean())) <= POINTS)} ({_points(gap)})" for gap in gaps]
        back = [one.exact or one.outside(least)[0] == 0 for least in (-np.inf, 0.0)]
        same, free = one.repeats()
        rest = [*back, same == free, statistics.fmean(one.costs()) <= COST]
        rows.append([f"`{one.label}`", *near, *map(_holds, rest)])
    head = ["method", "retain within .5 points", "holdout within .5 points", "no re-emergence outside"]
    head += ["none outside, from 0", "repeats change nothing", "cost at most 25 %"]
    text = "What was to be reached after 20 requests, by the means over originals:"
    return text + "\n\n" + _table(head, rows)


def _holds(ok: bool) -> str:
    return "**holds**" if ok else "does not hold"


def _orders(found: Sequence[Figures]) -> str:
    rows = [[f"`{f['label']}`", *(f"{f[k]:.2f}" for k in ("orders", "other draws", "asked again"))] for f in found]
    text = (
        "### Other orders, and the same again\n\nThe same requests from the first to the last and from the last to the "
        "first, by the mean distance of all margins, in standard deviations of the retrained models, beside the distance "
        f"that other draws alone make; two retrained models are {found[0]['retrained']:.2f} apart. *Asked again* is what the "
        "method itself does where the last request is answered once more, as if no list had been kept of what has gone. SISA "
        "has no row: the same records gone are the same ensemble, whatever the order, bit for bit "
        "(`tests/methods/test_sisa.py`)."
    )
    return text + "\n\n" + _table(["method", "orders", "other draws", "asked again"], rows)


def _adaptive(found: Sequence[Figures]) -> str:
    """The stream of whoever looks first."""
    rows = []
    for one in found:
        end = one["end"]
        wanted = {k: statistics.fmean(a[k] for a in end["retrained"]["accuracy"]) for k in ("retain", "holdout")}
        gaps = [
            f"{100 * (statistics.fmean(a[k] for a in end['accuracy']) - wanted[k]):+.1f}" for k in ("retain", "holdout")
        ]
        memory, others = np.array(end["memory"]), np.array(end["retrained"]["memory"])
        each = [s["each"] for s in one["steps"]]
        cost = sum(t["examples"] for s in each for t in s) / sum(t["retraining"] for s in each for t in s)
        wrong = sum(s["wrong"] for s in one["steps"])
        asked = one["size"] * len(one["steps"])
        rows.append(
            [
                *(f"`{one['label']}`", f"{wrong} of {asked}", *gaps, f"{memory.mean():+.2f}"),
                *(f"{memory.mean(0).max():+.2f}", f"{others.mean(0).max():+.2f}", f"{100 * cost:.1f}"),
            ]
        )
    steps = len(found[0]["steps"])
    text = (
        f"### Who asks next looks first\n\n{steps} requests, each for the records that the models of the method, as they are "
        "by then, know most beyond models that were trained without them. Figures are after the last, beside five models "
        "retrained then; M is of all requests, and of the one that is remembered most."
    )
    head = ["method", "wrong labels asked for", "retain", "holdout", "M", "M, most", "retrained, most", "cost, %"]
    return text + "\n\n" + _table(head, rows)


def _shards(names: Sequence[str]) -> str:
    """The cost model beside what was counted."""
    lines = []
    sharding = Sharding(5, 4)
    for name in names:
        for one in told_of(name):
            if not one.exact:
                continue
            n, stream = one.reference["counts"]["records"], one.reference["stream"]
            expected, left = [], n
            for asked in stream:
                if asked["new"]:
                    expected.append(sharding.expected_share(left, asked["new"]))
                    left -= asked["new"]
            counted = [(s["examples"] - GUARDS) / s["retraining"] for c in one.cells for s in c["steps"] if s["new"]]
            scratch = sum(c["from scratch"] for c in one.cells)
            lines.append(
                f"{TASKS[name]}: `sisa` is an ensemble of 5 shards in 4 slices, trained with the same recipe. Of one training "
                f"its requests cost {statistics.fmean(counted):.1%} on average, guards left out, as counted over "
                f"{len(counted)} of them; the cost model says {statistics.fmean(expected):.1%} "
                f"((2 R + 1) / (3 R S) = {sharding.expected_share(n, 1):.1%} "
                f"for one record). At the end {scratch} of {len(one.cells)} ensembles were, bit for bit, those trained from "
                "scratch in an empty folder on what stays."
            )
    return "\n\n".join(lines) or "No cell of `sisa` is finished yet."


def _made(references: Mapping[str, Figures]) -> str:
    facts = next(iter(references.values()))["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    short = {name: TASKS[name].partition(",")[0] for name in references}
    took = ", ".join(
        f"{statistics.median(s['seconds'] for s in r['steps']):.0f} s ({short[name]})" for name, r in references.items()
    )
    machines = {name: r["provenance"]["hardware"] for name, r in references.items()}
    where = ", ".join(f"{m['cpu']} ({short[name]})" for name, m in machines.items())
    hardware = machines[next(iter(machines))]
    where = hardware["cpu"] if len({m["cpu"] for m in machines.values()}) == 1 else where
    where += "".join(_elsewhere(name, machines[name]["cpu"], short[name]) for name in references)
    commands = ", ".join(f"`{facts['command']} --task {name}`" for name in references)
    return (
        f"{commands}; originals with seeds 0 to 4, retrained models with 1000 to 1004; {versions}; "
        f"{where}, {hardware['cores']} cores, {hardware['platform']}, processes of one thread. One retraining took "
        f"{took} beside other work."
    )


def _elsewhere(name: str, cpu: str, shown: str) -> str:
    """Which cells were made on another processor than the retrained models that they are held against."""
    found: dict[str, list[str]] = {}
    for path in sorted((RESULTS / name).glob("*.json")):
        made_on = _read(path)["provenance"]["hardware"]["cpu"]
        if made_on != cpu:
            found.setdefault(made_on, []).append(f"`{path.stem}`")
    return "".join(f"; of {shown} {', '.join(cells)} on {other}" for other, cells in found.items())


if __name__ == "__main__":
    main()
