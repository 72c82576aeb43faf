"""Build docs/results.md, and the table and picture of README.md, from the files under results/.

Every number there comes from one of them.

python benchmarks/results_page.py           # write the page
python benchmarks/results_page.py --check   # exit 1 where the page is not what the files say
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from baselines_page import overhead_section, parity_section, peers_section
from judge_page import judge_section
from pages import write_or_check
from standard_page import measures_speed, standard_section

from ebbing.measures import mean_interval
from ebbing.report.plots import draw_plots

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "memory.svg"
SHOWN = "fashion-mnist"
NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
Cell = dict[str, Any]

INTRODUCTION = """# Results

Built by `python benchmarks/results_page.py` from the small files under `results/`; every table names the command that made
its files. Accuracies are per cent. M is memory, W the distance behind it, T drift: see [the report](report.md). "Retrained"
are the models trained without the forget set, each left out once and judged by the others; low to high is the smallest to
the largest. The canaries, the random tenth and the class were judged by the first version of
[the rule](verdict.md), by the models' answers alone. `ebb` is its preset `ebb:plain`
but in [the leaderboard](leaderboard.md), beside whole peers, and in what decay costs.

Costs are given in examples processed over those of one retraining, a method's own checks included but for the few
batches on which layers are tried out: that ratio does not depend on what else the machine was doing. Ratios of seconds
are given where they were measured in pairs on a machine that did nothing else.
"""


def main() -> None:
    """Write the page, or check it."""
    parts = [
        INTRODUCTION,
        *(
            part()
            for part in (
                _accuracy,
                _canaries,
                _random,
                _class,
                judge_section,
                standard_section,
                parity_section,
                peers_section,
                overhead_section,
                _cost,
                _speed,
                measures_speed,
                _memory,
                _big_data,
                _executors,
                _gpus,
                _ranking_memory,
            )
        ),
    ]
    page = "\n".join(part for part in parts if part).rstrip() + "\n"
    write_or_check({PAGE: page, README: _readme(), PICTURE: _picture()})


def _readme() -> str:
    """README.md with its table made anew."""
    text = README.read_text(encoding="utf-8")
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    cells = _cells("canaries", SHOWN)
    wanted = [c for c in COLUMNS if c[0] in ("forget", "retain", "holdout", "M", "loss AUC")]
    told = (
        f"{NAMES[SHOWN]}, 10,000 images, 500 of them with a wrong label that the original learned by heart and is to forget. "
        f"Means over {len(cells)} originals; *forget* is how often the wrong label is still predicted, in per cent.\n"
    )
    picture = (
        f"![Memory of each method beside the band of retrained models]({PICTURE.relative_to(ROOT)})\n\n"
        f"The picture shows the first of the originals.\n"
    )
    return f"{before}{begin}\n{told}\n{_comparison(cells, wanted)}\n{picture}{end}{after}"


def _picture() -> str:
    """The memory plot of the first original."""
    plots = {plot.name: plot for plot in draw_plots(_cells("canaries", SHOWN)[0])}
    return plots["memory"].svg + "\n"


def _cells(folder: str, dataset: str | None = None) -> list[Cell]:
    """The cells of a folder, in the order of their names."""
    paths = sorted((RESULTS / folder).glob("*.json"))
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [c for c in cells if dataset is None or c["dataset"] == dataset]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _made_by(cells: Sequence[Cell]) -> str:
    """Command, seeds, versions and hardware of some cells."""
    of = cells[0]["provenance"]
    seeds = ", ".join(str(c["seed"]) for c in cells)
    return f"`{of['command']}`; seeds {seeds}; {_machine(of)}, {of['threads']} thread{'s'[: of['threads'] > 1]}.\n"


def _machine(facts: Cell) -> str:
    """Versions and hardware."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    return f"{versions}; {hardware['cpu']}, {hardware['cores']} cores, {hardware['platform']}"


def _holds(claim: str, holds: bool) -> str:
    return f"- {claim}: **{'holds' if holds else 'does not hold'}**."


def _accuracy() -> str:
    """Test accuracy before any unlearning."""
    rows, claims, notes = [], [], []
    for dataset, target in (("mnist", 0.99), ("fashion-mnist", 0.91)):
        cells = _cells("accuracy", dataset)
        if not cells:
            continue
        values = [c["accuracy"]["test"] for c in cells]
        rows.append([NAMES[dataset], str(len(values)), ", ".join(_percent(v) for v in values)])
        claims.append(
            _holds(
                f"{NAMES[dataset]}: at least {target:.1%} on every seed (lowest {min(values):.2%})",
                min(values) >= target,
            )
        )
        notes.append(_made_by(cells))
    if not rows:
        return ""
    table = _table(["data set", "seeds", "test accuracy of `paper_cnn`, 60,000 images, 10 epochs"], rows)
    return "\n".join(["## Before unlearning\n", table, *claims, "", *notes])


def _figure(block: Cell, path: Sequence[str]) -> float:
    value: Any = block
    for key in path:
        value = value[key]
    return float(value)


Column = tuple[str, tuple[str, ...], Callable[[float], str]]
COLUMNS: tuple[Column, ...] = (
    ("forget", ("accuracy", "forget"), _percent),
    ("retain", ("accuracy", "retain"), _percent),
    ("holdout", ("accuracy", "holdout"), _percent),
    ("M", ("memory", "m"), "{:.2f}".format),
    ("W", ("memory", "w"), "{:.2f}".format),
    ("T forget", ("drift", "forget"), "{:.2f}".format),
    ("T holdout", ("drift", "holdout"), "{:.2f}".format),
    ("loss AUC", ("attacks", "loss", "auc"), "{:.3f}".format),
)


def _comparison(cells: Sequence[Cell], columns: Sequence[Column] | None = None) -> str:
    """Original, methods and retrained models, each the mean over the seeds."""
    columns = columns or COLUMNS

    def row(name: str, blocks: Sequence[Cell], cost: str, words: str) -> list[str]:
        means = [show(statistics.fmean(_figure(b, path) for b in blocks)) for _, path, show in columns]
        return [name, *means, cost, words]

    rows = [row("original", [c["original"] for c in cells], "", "")]
    for name, block in cells[0]["methods"].items():
        blocks = [c["methods"][name] for c in cells]
        cost = _percent(statistics.fmean(b["cost"]["examples_ratio"] for b in blocks))
        outcomes = [b["verdict"]["outcome"] for b in blocks]
        words = ", ".join(f"{o} ({outcomes.count(o)} of {len(outcomes)})" for o in dict.fromkeys(outcomes))
        rows.append(row(f"{name} (control)" if block["control"] else name, blocks, cost, words))
    oracles = cells[0]["oracles"]
    spread = [
        f"{show(o['mean'])} ({show(o['low'])} to {show(o['high'])})"
        for o, show in ((_range_of(oracles, path), show) for _, path, show in columns)
    ]
    rows.append([f"retrained ({oracles['count']})", *spread, "100", ""])
    return _table(["", *(name for name, _, _ in columns), "cost, % of the examples", "verdict"], rows)


def _range_of(block: Cell, path: Sequence[str]) -> Cell:
    value: Any = block
    for key in path:
        value = value[key]
    return dict(value)


def _canaries() -> str:
    """Mislabelled canaries on both sets."""
    parts = []
    for dataset in NAMES:
        cells = _cells("canaries", dataset)
        if not cells:
            continue
        bands, oracles = cells[0]["bands"], cells[0]["oracles"]
        band = f"M {bands['memory']['low']:.2f} to {bands['memory']['high']:.2f}, W up to {bands['w']['high']:.2f}"
        parts += [
            f"## Mislabelled canaries, {NAMES[dataset]}\n",
            f"500 of 10,000 training images carry a wrong label; the original is trained for {cells[0]['recipe']['epochs']:g} "
            f"epochs. Means over {len(cells)} originals, each unlearned with its own seed. Band of one more retrained model: "
            f"{band}.\n",
            _comparison(cells),
            *_canary_claims(cells, oracles),
            "",
            _made_by(cells),
        ]
    return "\n".join(parts)


def _canary_claims(cells: Sequence[Cell], oracles: Cell) -> list[str]:
    """What was to be reached, against what was measured."""
    ebb = [c["methods"]["ebb"] for c in cells]
    low, high = cells[0]["bands"]["memory"]["low"], cells[0]["bands"]["memory"]["high"]
    inside = sum(low <= b["memory"]["m"] <= high for b in ebb)
    known = [c["original"]["accuracy"]["forget"] for c in cells]
    told = f"every original predicts at least 90 % of the wrong labels ({', '.join(f'{k:.1%}' for k in known)})"
    claims = [
        _holds(told, min(known) >= 0.9),
        _holds(f"`ebb`: M inside the band ({inside} of {len(ebb)} seeds)", inside == len(ebb)),
    ]
    for other in ("fine-tune", "retrain-equal-compute"):
        gaps = np.array(
            [abs(b["memory"]["m"]) - abs(c["methods"][other]["memory"]["m"]) for b, c in zip(ebb, cells, strict=True)]
        )
        mean, bottom, top = mean_interval(gaps)
        found = f"paired difference {mean:.2f}, 95 % interval {bottom:.2f} to {top:.2f}"
        told = f"`ebb`: abs M below `{other}`'s at the same cost ({found})"
        claims.append(_holds(told, top < 0))
    gaps = np.array(
        [
            b["accuracy"]["holdout"] - c["methods"]["retrain-equal-compute"]["accuracy"]["holdout"]
            for b, c in zip(ebb, cells, strict=True)
        ]
    )
    mean, bottom, top = (100 * value for value in mean_interval(gaps))
    told = f"`ebb`: holdout above `retrain-equal-compute`'s (paired difference {mean:+.2f} points, {bottom:+.2f} to {top:+.2f})"
    claims.append(_holds(told, bottom > 0))
    wrong = statistics.fmean(b["accuracy"]["forget"] for b in ebb) - oracles["accuracy"]["forget"]["mean"]
    holdout = statistics.fmean(b["accuracy"]["holdout"] for b in ebb) - oracles["accuracy"]["holdout"]["mean"]
    claims += [
        _holds(
            f"`ebb`: wrong-label accuracy within 1 point of the retrained models' ({100 * wrong:+.2f})",
            abs(wrong) <= 0.01,
        ),
        _holds(f"`ebb`: holdout no more than .3 points below theirs ({100 * holdout:+.2f})", holdout >= -0.003),
    ]
    return claims


def _random() -> str:
    """A random tenth of MNIST, where there is nothing to forget."""
    cells = _cells("random")
    if not cells:
        return ""
    ebb = cells[0]["methods"]["ebb"]["accuracy"]
    retrained = cells[0]["oracles"]["accuracy"]
    gaps = {s: 100 * (ebb[s] - retrained[s]["mean"]) for s in ("holdout", "retain")}
    return "\n".join(
        [
            "## A random tenth of MNIST\n",
            "6,000 of 60,000 records, not memorised: do-nothing passes here too, so this table alone shows nothing.\n",
            _comparison(cells),
            _holds(
                f"`ebb`: holdout within .3 points of the retrained mean ({gaps['holdout']:+.2f})",
                abs(gaps["holdout"]) <= 0.3,
            ),
            _holds(f"`ebb`: retain within 1 point ({gaps['retain']:+.2f})", abs(gaps["retain"]) <= 1),
            "",
            _made_by(cells),
        ]
    )


def _class() -> str:
    """A whole class of MNIST."""
    cells = _cells("class")
    if not cells:
        return ""
    ebb = cells[0]["methods"]["ebb"]["accuracy"]
    return "\n".join(
        [
            "## Class 3 of MNIST\n",
            "Every record of the class out of 60,000, an original of two epochs; holdout is the test set's other classes.\n",
            _comparison(cells),
            _holds(f"`ebb`: forget accuracy 0 ({ebb['forget']:.2%})", ebb["forget"] == 0),
            _holds(f"`ebb`: retain at least 98.5 % ({ebb['retain']:.2%})", ebb["retain"] >= 0.985),
            _holds(f"`ebb`: the other classes at least 98.4 % ({ebb['holdout']:.2%})", ebb["holdout"] >= 0.984),
            "",
            _made_by(cells),
        ]
    )


def _cost() -> str:
    """Seconds of `ebb` over seconds of retraining, paired."""
    cells = _cells("cost")
    if not cells:
        return ""
    limits = {"random": 0.15, "class": 0.25}
    rows = [
        [
            c["cell"],
            NAMES[c["dataset"]],
            f"{statistics.median(c['retraining_seconds']):.1f}",
            f"{statistics.median(c['ebb_seconds']):.1f}",
            _percent(c["ratio"]),
        ]
        for c in cells
    ]
    claims = [
        _holds(
            f"{c['cell']}: `ebb` takes at most {limits[c['cell']]:.0%} of retraining's time ({c['ratio']:.1%})",
            c["ratio"] <= limits[c["cell"]],
        )
        for c in cells
        if c["cell"] in limits
    ]
    header = ["request", "data set", "one retraining, s", "`ebb`, s", "median paired ratio, %"]
    return "\n".join(["## Cost in seconds\n", _table(header, rows), *claims, "", *(_made_by([cell]) for cell in cells)])


def _speed() -> str:
    """Throughput of the training loop."""
    path = RESULTS / "throughput.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows, claims = [], []
    for name, target in (("digits_mlp", 1.8), ("paper_cnn", 1.0)):
        case = found["figures"][name]
        raw, loader = case["ratio_to_raw"]["median"], case["ratio_to_loader"]["median"]
        speeds = [f"{case['examples_per_second'][loop]:,.0f}" for loop in ("ebbing", "raw", "loader")]
        rows.append([f"{name}, {case['data']}", *speeds, f"{raw:.2f}", f"{loader:.2f}"])
        claims.append(_holds(f"{name}: at least .95 of the raw loop ({raw:.2f})", raw >= 0.95))
        claims.append(_holds(f"{name}: at least {target:g} x the loader ({loader:.2f})", loader >= target))
    header = ["network", "examples/s", "raw loop", "plain `DataLoader`", "ratio to raw", "ratio to the loader"]
    made = f"`{found['command']}`; medians of paired rounds; {_machine(found)}, {found['threads']} thread(s).\n"
    return "\n".join(["## Speed of the training loop\n", _table(header, rows), *claims, "", made])


def _memory() -> str:
    """Peak memory of a full MNIST run."""
    path = RESULTS / "memory.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    peak = found["peak_gib"]
    return "\n".join(
        [
            "## Peak memory\n",
            _holds(f"a full MNIST run stays under 1.5 GiB ({peak:.2f} GiB)", peak < 1.5),
            "",
            f"`{found['command']}`; {_machine(found)}.\n",
        ]
    )


def _executors() -> str:
    """What it costs to hand runs out."""
    path = RESULTS / "executors.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        [
            name,
            *(f"{one[key]:.4f}" for key in ("mean_seconds_per_run", "largest_seconds_per_run")),
            f"{one['start_seconds']:.2f}",
        ]
        for name, one in found["figures"].items()
    ]
    worst = max(one["mean_seconds_per_run"] for one in found["figures"].values())
    started = found["figures"]["ray, 1 at once"]["first_start_seconds"]
    header = ["executor", "idle before a run, s", "at most, s", "until workers are up, s"]
    return "\n".join(
        [
            "## Executors\n",
            f"How long a worker stands idle between runs that share {found['megabytes']:.0f} MB, and how long workers take to "
            f"start. Ray's stay for the next call; the first, with Ray itself, took {started:.1f} s.\n",
            _table(header, rows),
            _holds(f"at most {found['limit']:g} s a run ({worst:.4f})", worst <= found["limit"]),
            "",
            f"`{found['provenance']['command']}`; {found['rounds']} rounds in turns of {found['runs']} runs; "
            f"{_machine(found['provenance'])}, 1 thread a run.\n",
        ]
    )


def _gpus() -> str:
    """Ways to train a bank on a GPU."""
    path = RESULTS / "gpu.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    networks = found["found"]
    ways = sorted({way for one in networks.values() for way in one}, key=[*networks["small-vit"]].index)

    def said(one: dict[str, Any], way: str) -> str:
        return f"{one[way]['models_a_minute']:,.0f} ({one[way]['ratio']:.2f})" if way in one else "–"

    rows = [[way, *(said(one, way) for one in networks.values())] for way in ways]
    return "\n".join(
        [
            "## GPUs\n",
            f"Models a minute, {found['epochs']:g} epoch of 10,000 images each, or 1,500 of the digits; in brackets the ratio "
            "to one after the other in the same round.\n",
            _table(["trained", *networks], rows),
            "",
            f"`python benchmarks/gpu.py --out results/gpu.json`; medians of {found['rounds']} rounds, processes in one; "
            f"{found['provenance']['hardware']['accelerator']}, {_machine(found['provenance'])}, 1 thread.\n",
        ]
    )


def _ranking_memory() -> str:
    """What a ranking takes, at two sizes of the model and two numbers of records."""
    path = RESULTS / "ranking-memory.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    cells = {(c["ranking"], c["parameters"], c["records"]): c["mib"] for c in found["cells"]}
    rankings, sizes, records = (sorted({key[i] for key in cells}) for i in range(3))
    rows = [
        [ranking, f"{size / 1e6:.1f} million", *(f"{cells[ranking, size, n]:.0f}" for n in records)]
        for ranking in rankings
        for size in sizes
    ]
    return "\n".join(
        [
            "## Memory of rankings\n",
            "How far the peak of memory rises while units of a language model are ranked, in MiB, by parameters and records: "
            "it should go by parameters and batch, and not by records.\n",
            _table(["ranking", "parameters", *(f"{n:,} texts" for n in records)], rows),
            "",
            f"`{found['provenance']['command']}`; {_machine(found['provenance'])}, 1 thread.\n",
        ]
    )


def _big_data() -> str:
    """A million records that stay in their file."""
    path = RESULTS / "big-data.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    peak, ratio, aims = found["peak_gib"], found["epoch_ratio"], found["aims"]
    return "\n".join(
        [
            "## Records that stay in their file\n",
            f"{found['records']:,} records of 784 numbers in float32: training, ranking, unlearning and the observations of an "
            f"audit. The request took {found['request_seconds']:.0f} s, an epoch {found['epoch_seconds']:.0f} s, unlearning "
            f"{found['unlearning_seconds']:.0f} s.\n",
            _holds(f"peak resident memory under {aims['gib']:g} GiB ({peak:.2f} GiB)", peak < aims["gib"]),
            _holds(f"an epoch within {aims['ratio']:g} x of one from memory ({ratio:.2f})", ratio <= aims["ratio"]),
            "",
            f"`{found['command']}`; medians of {len(found['epoch_ratios'])} pairs, whose epochs took "
            f"{', '.join(f'{each:.2f}' for each in sorted(found['epoch_ratios']))} times as long; {_machine(found)}, 1 "
            "thread.\n",
        ]
    )


if __name__ == "__main__":
    main()
