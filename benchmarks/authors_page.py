"""Build docs/language.md and its picture from the files under results/authors and benchmarks/authors_text.md.

python benchmarks/authors_page.py [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import write_or_check
from pictures import two_figures

ROOT = Path(__file__).parent.parent
RESULTS, TEXT, PAGE = (
    ROOT / "results" / "authors",
    Path(__file__).parent / "authors_text.md",
    ROOT / "docs" / "language.md",
)
PICTURE = PAGE.with_name("language-effect.svg")
COLUMNS = {
    "effect": ("effect", "{:+.2f}"),
    "KS": ("ks_statistic", "{:.2f}"),
    "M": ("memory", "{:.2f}"),
    "asked": ("asked_exact", "{:.0%}"),
    "otherwise": ("otherwise_exact", "{:.0%}"),
    "strength": ("asked_extraction_strength", "{:.2f}"),
    "ROUGE-L": ("rouge_l", "{:.2f}"),
    "neighbours": ("neighbours", "{:.1%}"),
    "new": ("comparisons", "{:.1%}"),
}
COPIES = ("int8", "int4")
NAMED = (  # in the picture, where all names would hide each other
    "ebb-hotter",
    "ebb-hot",
    "ebb",
    "fnn-ratio",
    "grad-diff-3e-4-0.9",
    "npo-1e-3-1",
    "npo-3e-4-0.1",
    "sim-npo-1e-3-1",
    "sim-npo-3e-4-1",
    "do-nothing",
)
UTILITY = 0.02  # of neighbours and of comparisons: what may be lost
LIKELY = 0.01  # p of the Kolmogorov-Smirnov test


def main() -> None:
    """Write the page, or check it."""
    write_or_check(built())


def built() -> dict[Path, str]:
    """The page and its picture."""
    reference = _read(RESULTS / "reference.json")
    cells = [_read(path) for path in sorted(RESULTS.glob("*.json")) if path.name != "reference.json"]
    counts = reference["counts"]
    page = TEXT.read_text(encoding="utf-8").format(
        problem=_problem(counts),
        pairs=f"{counts['forget'] * counts['originals']} and {counts['forget'] * counts['retrained']}",
        likely=_likely(cells),
        table=_table(reference, cells),
        reading=_reading(reference, cells),
        copies=_copies(reference, cells),
        spread=_spread(reference),
        most=f"{100 * _most_regained(cells):.1f}",
        made=_made(reference),
    )
    return {PAGE: page, PICTURE: _picture(reference, cells)}


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _problem(counts: dict[str, int]) -> str:
    return (
        "100 authors who do not exist, generated from a seed, with ten facts each, and 2,000 comparisons that need no memory "
        "(ada is older than bela . who is younger ?). A model of GPT-2's architecture with .86 M parameters is trained on them "
        f"from scratch, so that retraining is real: {counts['originals']} originals, {counts['retrained']} retrained models. "
        f"Five authors go, {counts['forget']} facts. Every method has a tenth of what one retraining processes, but for those "
        "that need less. Where a method has several rows, its name says learning rate and setting; the rows "
        "`ebb-hotter`, `ebb-...-hot` and `fine-tune-hotter` were added after `ebb-hot` was seen, and no other."
    )


def _table(reference: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    """A row for each label, by the size of the effect."""
    head = ["method", *COLUMNS, "verdicts", "examples, %"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    retrained = reference["retrained"] | {"memory": 0.0}
    lines.append(_row("retrained models", retrained, "", "100"))
    for cell in sorted(cells, key=lambda c: abs(c["figures"]["effect"])):
        figures = cell["figures"]
        verdicts = ", ".join(f"{name} {n}" for name, n in figures["verdicts"].items())
        verdicts += f"; rolled back {cell['rolled_back']}" if cell["rolled_back"] else ""
        lines.append(_row(f"`{cell['label']}`", figures, verdicts, f"{100 * cell['cost']['examples_ratio']:.1f}"))
    return "\n".join(lines)


def _row(name: str, figures: dict[str, Any], verdicts: str, examples: str) -> str:
    values = [form.format(figures[key]) for key, form in COLUMNS.values()]
    return f"| {' | '.join([name, *values, verdicts, examples])} |"


def _picture(reference: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    """Effect against what is still known of those who stay."""
    points = {c["label"]: (100 * c["figures"]["neighbours"], c["figures"]["effect"]) for c in cells}
    each = reference["retrained"]["effect_of_each"]
    return two_figures(
        PICTURE,
        "Effect against neighbours' facts that are still answered",
        points,
        axes_named=("neighbours' facts answered word by word, %", "effect"),
        named=NAMED,
        retrained=(100 * reference["retrained"]["neighbours"], 0.0),
        band=(min(each), max(each)),
    )


def _copies(reference: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    """What comes back in rounded and retaught copies, by how fast the facts are relearned."""
    head = ["method", "Min-K%++", "probability", *(f"{c}, probability" for c in COPIES)]
    head += ["asked", *(f"{c}, asked" for c in COPIES), "steps", "steps, never met", "ratio"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines.append(_copied("retrained models", reference["retrained"], reference["deployed"]["retrained"]))
    ordered = sorted(cells, key=lambda c: _ratio(c["deployed"]))
    lines += [_copied(f"`{cell['label']}`", cell["figures"], cell["deployed"]) for cell in ordered]
    return "\n".join(lines)


def _copied(name: str, figures: dict[str, Any], deployed: dict[str, Any]) -> str:
    values = [f"{figures['asked_min_k']:.2f}", f"{figures['asked_probability']:.2f}"]
    values += [f"{deployed[f'{copy}_probability']:.2f}" for copy in COPIES]
    values += [f"{100 * figures['asked_exact']:.1f}%", *(f"{100 * deployed[f'{copy}_exact']:.1f}%" for copy in COPIES)]
    values += [f"{deployed[f'relearning_steps_{of}']:.1f}" for of in ("forgotten", "unseen")]
    return f"| {' | '.join([name, *values, f'{_ratio(deployed):.2f}'])} |"


def _ratio(deployed: dict[str, Any]) -> float:
    """Steps that relearning what was forgotten takes over those for authors never met."""
    return float(deployed["relearning_steps_forgotten"] / deployed["relearning_steps_unseen"])


def _spread(reference: dict[str, Any]) -> str:
    """How far apart single models are on comparisons."""
    each = reference["comparisons_of_each"]
    ranges = {role: f"{100 * min(values):.0f} % to {100 * max(values):.0f} %" for role, values in each.items()}
    return f"retrained models reach {ranges['retrained']} of them, originals {ranges['original']}"


def _most_regained(cells: list[dict[str, Any]]) -> float:
    """The most of the forgotten facts that rounding brings back for any method."""
    return max(c["deployed"][f"{copy}_exact"] - c["figures"]["asked_exact"] for c in cells for copy in COPIES)


def _likely(cells: list[dict[str, Any]]) -> str:
    """Who has a forget quality that chance could give."""
    found = [f"`{cell['label']}`" for cell in cells if cell["figures"]["ks_p"] > LIKELY]
    return " and ".join(found) or "nobody"


def _usable(reference: dict[str, Any], cell: dict[str, Any]) -> bool:
    """Whether a method's models can do as much as retrained ones, but for two points."""
    wanted = reference["retrained"]
    return all(cell["figures"][key] >= wanted[key] - UTILITY for key in ("neighbours", "comparisons"))


def _reading(reference: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    """What was to be reached, and whether it was, from the figures alone."""
    usable = [cell for cell in cells if _usable(reference, cell)]

    def best(*names: str) -> dict[str, Any] | None:
        found = [cell for cell in usable if cell["label"].startswith(names)]
        return min(found, key=lambda c: abs(c["figures"]["effect"]), default=None)

    ours, rival = best("ebb", "fnn"), best("npo", "sim-npo", "grad-diff")
    lines = [
        "What was to be reached: an effect at least 1.5 times nearer to 0 than the best setting of NPO and gradient "
        "difference, with neighbours and new comparisons within 2 points of the retrained models. The best setting is taken by "
        "the same figure, for all alike.",
        "",
    ]
    if ours is None or rival is None:
        who = [name for name, cell in (("decay", ours), ("its rivals", rival)) if cell is None]
        lines.append(f"- No setting of {' or of '.join(who)} keeps utility within 2 points.")
        kept = ", ".join(f"`{c['label']}` ({c['figures']['effect']:+.2f})" for c in usable)
        lines.append(f"- Who keeps it: {kept or 'nobody'}.")
    else:
        a, b = abs(ours["figures"]["effect"]), abs(rival["figures"]["effect"])
        told = "**holds**" if 1.5 * a <= b else "does not hold"
        told = f"{ours['figures']['effect']:+.2f}, `{rival['label']}` {rival['figures']['effect']:+.2f}: {told}"
        lines.append(f"- `{ours['label']}` {told}.")
    by = {cell["label"]: cell["figures"] for cell in cells}
    for chosen, chance in (("ebb-mlp-ratio", "ebb-mlp-random"), ("fnn-ratio", "fnn-random")):
        if chosen in by and chance in by:
            lines.append(
                f"- Hidden units by activation ratio against units by chance: effect {by[chosen]['effect']:+.2f} "
                f"(`{chosen}`) and {by[chance]['effect']:+.2f} (`{chance}`). "
                "Localisation can be claimed only where chance is clearly worse."
            )
    return "\n".join(lines)


def _made(reference: dict[str, Any]) -> str:
    facts = reference["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    return (
        f"`{facts['command']}`; seeds 0 to 3 and 1000 to 1015; {versions}; {hardware['cpu']}, {hardware['cores']} cores, "
        f"{hardware['platform']}, processes of one thread. One retraining took {reference['seconds']:.0f} s beside other work."
    )


if __name__ == "__main__":
    main()
