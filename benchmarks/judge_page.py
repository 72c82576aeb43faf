"""The part of docs/results.md on the judge itself, from results/sabotage/ and results/bank.json."""

# ruff: noqa: E501 - sentences

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
WEEKS = 52
SHOWN = "32"
ENOUGH = ("16", "32", "64")  # references, for good news
METHODS = ("retrained", "fine-tune", "retrain-equal-compute", "ebb")  # judged beside the saboteurs
GOOD = ("consistent-with-retraining", "no-memory-found")
TRACELESS = "no-measurable-trace"
WITHOUT_TRACE = {
    "unmemorised": "The 5 % that models know as well without having been trained with them",
    "random": "A random 5 %, among them some that are memorised",
}
SETS = {"mislabelled": "wrong labels, 5 %", "memorised": "most memorised, 3 %"}


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _share(block: Mapping[str, Any], outcomes: tuple[str, ...]) -> float:
    counts = block["outcomes"]
    return sum(counts.get(o, 0) for o in outcomes) / sum(counts.values())


def _said(block: Mapping[str, Any]) -> str:
    """Outcomes and how often, the most frequent first."""
    counts = sorted(block["outcomes"].items(), key=lambda pair: -pair[1])
    return ", ".join(f"{o} {n}" for o, n in counts)


def judge_section() -> str:
    """Everything on the judge; empty where nothing was measured."""
    parts = [_sabotage(), _canaries(), _coverage(), _power(), _figures(), _bank()]
    found = [part for part in parts if part]
    if not found:
        return ""
    return "\n".join(
        [
            "## The judge, tried",
            "",
            "On scikit-learn's digits, `digits_cnn`, 80 epochs. A draw takes an original and what a saboteur made of it (of one "
            "seed), a retrained model that is held out (each once), and N others as references, drawn anew. *Answers* judges by the "
            "outputs alone, *inside* by layers and relearning too. What each saboteur does is said by `ebbing methods`.",
            "",
            *found,
        ]
    )


def _sabotage() -> str:
    cells = {name: cell for name in SETS if (cell := _read(f"sabotage/{name}.json")) is not None}
    if not cells:
        return ""
    parts = ["### Who is seen through", ""]
    for name, cell in cells.items():
        answers = cell["counts"][f"{SHOWN} references, answers"]
        inside = cell["counts"][f"{SHOWN} references, answers and inside"]
        rows = []
        for role in inside:
            passed = [f"{100 * _share(view[role], (*GOOD, TRACELESS)):.0f}" for view in (answers, inside)]
            rows.append([role, f"{inside[role]['m']:.2f}", *passed, _said(inside[role])])
        parts += [
            f"**{SETS[name]}**: {cell['records']} records, {SHOWN} references, {cell['draws']} draws. M is the mean. *Passed* is how "
            "many in a hundred were called consistent with retraining, free of memory, or traceless.",
            "",
            _table(["", "M", "passed, answers", "passed, inside", "outcomes, inside"], rows),
            "",
        ]
    parts += _verdicts(cells)
    for name, told in WITHOUT_TRACE.items():
        cell = _read(f"sabotage/{name}.json")
        if cell is None:
            continue
        block = cell["counts"][f"{SHOWN} references, answers and inside"]
        traceless = [
            f"{100 * _share(cell['counts'][f'{n} references, answers and inside']['do-nothing'], (TRACELESS,)):.0f}"
            for n in ENOUGH
        ]
        parts += [
            f"**{told}** ({cell['records']} records, {cell['draws']} draws; M of the original {block['do-nothing']['m']:.2f}): do "
            f"nothing is called {_said(block['do-nothing'])}; held-out retrained models {_said(block['retrained'])}. With "
            f"{_listed(ENOUGH)} references doing nothing leaves no measurable trace in {_listed(traceless)} of 100.",
            "",
        ]
    first = next(iter(cells.values()))
    return "\n".join(
        [*parts, f"`{first['command']}`, and the same with the other sets; {_machine(first['machine'])}.", ""]
    )


def _machine(facts: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{versions}; {facts['hardware']['cpu']}, {facts['hardware']['cores']} cores, one thread a process"


def _coverage() -> str:
    cell = _read("sabotage/coverage.json")
    if cell is None:
        return ""
    rows = [
        [
            SETS[name],
            n,
            str(c["held out"]),
            f"{c['expected to leave a band']:.1f}",
            *(str(c["left"][k].get("any", 0)) for k in kinds),
        ]
        for kinds in [("symmetrical", "logarithms")]
        for name, blocks in cell["found"].items()
        for n, c in blocks.items()
    ]
    header = [
        "",
        "references",
        "retrained, each held out once",
        "expected outside",
        "outside, symmetrical",
        "outside, logarithms",
    ]
    return "\n".join(
        [
            "### How wide the bands must be",
            "",
            "Held-out retrained models that leave any band, with the intervals of W and T symmetrical, or of their logarithms (the rule).",
            "",
            _table(header, rows),
            "",
            f"`{cell['machine']['command']}`; {_machine(cell['machine'])}.",
            "",
        ]
    )


def _verdicts(cells: Mapping[str, Any]) -> list[str]:
    """What was promised, and whether it holds."""
    lines = []
    for name, cell in cells.items():
        inside = {n: cell["counts"][f"{n} references, answers and inside"] for n in ENOUGH}
        passed = [
            f"{role} in {100 * _share(block, GOOD):.0f} of 100 with {n}"
            for n, blocks in inside.items()
            for role, block in blocks.items()
            if role not in METHODS and _share(block, GOOD)
        ]
        numbers = _listed(ENOUGH)
        most = (
            f"called consistent or free of memory are {', '.join(passed)} references (asked: none)"
            if passed
            else f"no saboteur is called consistent or free of memory in {cell['draws']} draws with {numbers} references each"
        )
        held_out = [blocks["retrained"] for blocks in inside.values()]
        right = _listed([f"{100 * _share(block, ('consistent-with-retraining',)):.0f}" for block in held_out])
        alarms = _listed([f"{WEEKS * (1 - _share(block, (*GOOD, TRACELESS))):.1f}" for block in held_out])
        lines += [
            f"- {SETS[name]}: {most}. "
            f"Held-out retrained models are called consistent in {right} of 100 (asked: 95). Over {WEEKS} weekly audits "
            f"of such models one would expect {alarms} to be called remembering, over-forgotten or damaged.",
        ]
    return [*lines, ""]


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _canaries() -> str:
    cell = _read("sabotage/canaries.json")
    if cell is None:
        return ""
    rows = []
    for role, block in cell["found"].items():
        beyond = block["no longer predicted"]
        rows.append(
            [
                role,
                f"{100 * block['predicted as labelled']:.1f}",
                f"{block['M']:.2f}",
                str(beyond["canaries"]),
                f"{beyond['mean distance']:.2f}",
                f"{beyond['farthest']:.2f}",
                f"{100 * beyond['at least 8']:.0f}",
                _said(block),
            ]
        )
    header = ["", "predicted as labelled, %", "M", "no longer predicted", "their mean distance", "farthest"]
    return "\n".join(
        [
            "### A label that is no longer predicted",
            "",
            f"The {cell['records']} wrong labels again, {cell['draws']} originals and what was made of them, {cell['references']} of "
            f"{cell['retrained']} references drawn anew for each. *Distance* is of the margin from the references' mean, in their "
            "standard deviations, over all records whose wrong label is not predicted any more.",
            "",
            _table([*header, "8 or more, %", "outcomes, inside"], rows),
            "",
            f"`{cell['machine']['command']}`; {_machine(cell['machine'])}.",
            "",
        ]
    )


def _power() -> str:
    names = ["records-5", "records-20", "mislabelled", "records-100", "memorised"]
    cells = {name: cell for name in names if (cell := _read(f"sabotage/{name}.json")) is not None}
    if not cells:
        return ""
    numbers = ("4", "8", "16", "32", "64")
    rows = []
    for name, cell in cells.items():
        records = f"{cell['records']}{', the most memorised' if name == 'memorised' else ''}"
        for role, outcomes in (("do-nothing", ("under-forgotten",)), ("retrained", ("consistent-with-retraining",))):
            shares = [
                f"{100 * _share(cell['counts'][f'{n} references, answers and inside'][role], outcomes):.0f}"
                for n in numbers
            ]
            what = "the original, called under-forgotten" if role == "do-nothing" else "retrained, called consistent"
            rows.append([records, what, *shares])
    return "\n".join(
        [
            "### Power",
            "",
            "In a hundred, by the number of references; records with wrong labels, and the most memorised ones, whose trace is weaker. "
            "Fewer than 16 never give good news.",
            "",
            _table(["records", "", *(f"{n} references" for n in numbers)], rows),
            "",
        ]
    )


def _mean(block: Mapping[str, Any], name: str) -> str:
    return f"{block[name]['mean']:.2f} ± {block[name]['sd']:.2f}"


def _figures() -> str:
    cell = _read("sabotage/figures.json")
    if cell is None:
        return ""
    found = cell["found"]
    header = ["", "M", "half the band of M", "W", "T on holdout", "outcomes"]

    def row(label: str, block: Mapping[str, Any]) -> list[str]:
        return [label, *(_mean(block, n) for n in ("M", "half the band of M", "W", "T on holdout")), _said(block)]

    rows = [row(f"{n} records: {r}", b) for n, blocks in found["few records"].items() for r, b in blocks.items()]
    for label, key in (
        ("matched by records with right labels", "matched records with right labels"),
        ("another recipe", "retrained by another recipe"),
        ("a whole class", "class-3"),
        ("near copies stay", "duplicates"),
    ):
        rows += [row(f"{label}: {r}", b) for r, b in found.get(key, {}).items() if "outcomes" in b]
    beside = [
        [
            role,
            f"{b['M']['mean']:.2f}",
            f"{100 * b['called remembering or over-forgotten']:.0f}" if len(b) > 2 else "",
            f"{b['u-lira']['auc']:.3f}",
            f"{100 * b['u-lira']['balanced_accuracy']:.1f}",
        ]
        for role, b in found["beside u-lira"].items()
    ]
    blind = found["matched records with right labels"]["loss AUC of retrained models"]["mean"]
    return "\n".join(
        [
            "### The figures, examined",
            "",
            f'{cell["references"]} references, {cell["draws"]} draws, mean ± sd. "do-nothing" is the original, "retrained" is held '
            "out. Matched by unseen records with *right* labels, a population attack on the loss is blind: its AUC for retrained "
            f"models is {blind:.3f}.",
            "",
            _table(header, rows),
            "",
            "Beside U-LiRA (arXiv 2403.01218) on the same models: its Gaussians are fitted to half of the unlearned and half of the "
            "retrained models (about 50 each), where M needs one unlearned model.",
            "",
            _table(
                ["", "M", "called remembering or over-forgotten, of 100", "U-LiRA AUC", "U-LiRA balanced accuracy"],
                beside,
            ),
            "",
            f"`{cell['machine']['command']}`; {_machine(cell['machine'])}.",
            "",
        ]
    )


def _bank() -> str:
    cell = _read("bank.json")
    if cell is None:
        return ""
    one, two = (max(r[n] for r in cell["models_a_minute"]) for n in ("1", "2"))
    return (
        f"### The bank\n\nTwo workers train {cell['ratio']:.2f} times the models a minute of one (median of "
        f"{len(cell['models_a_minute'])} paired rounds of {cell['models']} models, start included; at best {one:.0f} and {two:.0f} "
        f"a minute). Command: `{cell['machine']['command']}`\n"
    )
