"""The first screen, for the person who must sign: seven questions, answered from the dict of report.json."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ebbing.report.rows import (
    SPLITS,
    dig,
    format_estimate,
    format_number,
    listing,
    mapping,
    oracle_count,
    printable,
    read_estimate,
    read_memory,
)
from ebbing.report.sensitivity import between_words, figure_words, minus, smallest_effect, told_apart_before
from ebbing.report.table import outcome_of

REMAINS = "this does not show that nothing remains"
RESULTS: Mapping[str, str] = {
    "under-forgotten": "still remembers the records, and where a test finds nothing,",
    "over-forgotten": "treats the records worse than models that never saw them, which can give them away as well;",
    "damaged": "shows no memory of the records, but gets unseen data wrong that those get right;",
    "no-memory-found": "shows no memory of the records, though in other ways it differs from those;",
    "consistent-with-retraining": "cannot be told from those;",
    "no-measurable-trace": "cannot be judged, as the original shows no trace of the records either;",
    "inconclusive": "cannot be judged, as the evidence does not suffice;",
}
AGAINST = (
    "Not to put this model in the original's place as it is. Strengthen the method and judge again, or retrain without"
)
DECISIONS: Mapping[str, str] = {
    "under-forgotten": f"{AGAINST} the records.",
    "over-forgotten": f"{AGAINST} the records.",
    "damaged": f"{AGAINST} the records. If the loss is bearable, say so in writing and accept it knowingly.",
    "no-memory-found": "Whether this model takes the original's place, knowing that a trace below the limit in 4 would "
    "not have been seen, and that retraining would have given another model.",
    "consistent-with-retraining": "Whether this model takes the original's place, knowing that a trace below the limit in 4 "
    "would not have been seen.",
    "no-measurable-trace": "Whether a trace below the limit in 4 is acceptable. These tests cannot show that the method did "
    "anything; a sharper audit needs more retrained models or more records. Retraining without the records needs no such test.",
    "inconclusive": "What to do without a verdict: bring the evidence that is missing and judge again, or retrain without the "
    "records.",
}
UNCOVERED = (
    "the source data and their backups",
    "logs, caches and derived features",
    "older versions and other copies of the model",
    "models derived from it",
    "a pre-trained base, if it saw the records",
    "attacks that are not listed here",
)
SUPPORTED = ("no-memory-found", "consistent-with-retraining")
UNDECIDED = ("no-measurable-trace", "inconclusive")


def signer_view(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the first screen says.

    Args:
        report: the dict of report.json; anything in it may be null.

    Returns:
        Keys `request`, `results`, `before`, `smallest`, `effects`, `uncovered` and `decision`, in the order of the screen.
    """
    signed, controls = _to_sign(report)
    return {
        "request": _request(report, signed),
        "results": _results(report, signed, controls),
        "before": told_apart_before(report),
        "smallest": smallest_effect(report, list(signed.values())),
        "effects": _effects(report, signed),
        "uncovered": UNCOVERED,
        "decision": _decision(signed),
    }


def _to_sign(report: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The methods somebody may sign for, and the controls."""
    methods = {printable(name): method for name, method in mapping(dig(report, "methods")).items()}
    signed = {name: method for name, method in methods.items() if dig(method, "control") is not True}
    return signed, {name: method for name, method in methods.items() if name not in signed}


# 1: the request


def _request(report: Mapping[str, Any], signed: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Lines of (what, text, whether it is a fingerprint)."""
    forget, retain = (figure_words(dig(report, "request", key), 0) for key in ("forget", "retain"))
    kind = dig(report, "request", "kind")
    chosen = f", chosen as: {printable(kind)}" if kind else ""
    digests = {printable(name): found for name, found in mapping(dig(report, "models", "methods")).items()}
    after = digest_words(digests.get(next(iter(signed)))) if len(signed) == 1 else _candidates(len(signed))
    return [
        ("records", f"{_thousands(forget)} to forget{chosen}; {_thousands(retain)} stay", False),
        ("model before", *digest_words(dig(report, "models", "original"))),
        ("model after", *after),
        ("received", date_words(dig(report, "request", "received")) or "not stated", False),
        ("audited", date_words(dig(report, "provenance", "date")) or "not stated", False),
    ]


def _candidates(count: int) -> tuple[str, bool]:
    return (f"{count} candidates, one for each method" if count else "none to sign for"), False


def _thousands(text: str) -> str:
    return f"{int(text):,}" if text.isdigit() else text


def digest_words(digests: object) -> tuple[str, bool]:
    """The beginning of the first digest and how many more there are; whether there is any."""
    found = [printable(digest) for digest in listing(digests)]
    if not found:
        return "fingerprint not stated", False
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0][:12]}{more}", True


def date_words(value: object) -> str:
    """An ISO date or time as a day for people; what is no date as it stands, nothing for null.

    >>> date_words("2026-03-07T09:30:00Z"), date_words("spring"), date_words(None)
    ('7 March 2026', 'spring', '')
    """
    if value is None:
        return ""
    try:
        day = datetime.fromisoformat(str(value))
    except ValueError:
        return printable(value)
    return f"{day.day} {day:%B} {day.year}"


# 2: the result


def _results(report: Mapping[str, Any], signed: Mapping[str, Any], controls: Mapping[str, Any]) -> dict[str, Any]:
    shown = signed or controls
    single = len(shown) == 1
    return {
        "opening": _opening(report, shown),
        "single": single,
        "methods": [_result(report, name, method, single=single) for name, method in shown.items()],
        "controls": ", ".join(f"{name}: {outcome_of(method).words}" for name, method in controls.items())
        if signed
        else "",
        "only_controls": bool(controls) and not signed,
        "remains": REMAINS,
    }


def _opening(report: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """What the models were held against, and by which tests."""
    count = oracle_count(report)
    if not count:
        return "Without a retrained model to compare with"
    tests = tests_named(report, list(shown.values()))
    models = "1 model" if count == 1 else f"{count} models"
    return f"Held against {models} retrained without the records" + (f", by {tests}" if tests else "")


def tests_named(report: Mapping[str, Any], methods: Sequence[object]) -> str:
    """The tests that the verdicts rest on, in words; nothing is named that no method has a figure for."""
    bands = dig(report, "bands")
    layers = {layer for method in methods for layer in mapping(dig(method, "inside", "probes"))}
    named = [
        ("memory in its answers (M, W)", any(dig(method, "memory") for method in methods) and dig(bands, "memory")),
        ("accuracy on unseen data", dig(bands, "holdout_accuracy")),
        ("drift", any(dig(method, "drift") for method in methods) and dig(bands, "drift")),
        (f"readouts of {len(layers)} layer{'s' * (len(layers) != 1)}", layers and dig(bands, "inside")),
        ("relearning", any(dig(m, "inside", "savings") is not None for m in methods) and dig(bands, "inside")),
        ("kinship of layers", any(dig(m, "inside", "kinship") for m in methods) and dig(bands, "inside", "kinship")),
    ]
    return listed([words for words, present in named if present])


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _result(report: Mapping[str, Any], name: str, method: object, *, single: bool) -> dict[str, Any]:
    outcome = outcome_of(method)
    said = RESULTS.get(str(dig(method, "verdict", "outcome")), f"is called {outcome.words};")
    return {
        "name": name,
        "outcome": outcome,
        "headline": outcome.words[:1].upper() + outcome.words[1:],
        "said": said,
        "sentence": outcome.sentence,
        "figures": _memory_words(report, method, single=single),
        "notes": [printable(note) for note in listing(dig(method, "notes"))] if single else [],
        "count": len(listing(dig(method, "notes"))),
    }


def _memory_words(report: Mapping[str, Any], method: object, *, single: bool) -> str:
    """From which memory to which, for one model also where retrained ones lie; empty without a figure."""
    after = read_memory(dig(method, "memory"))
    if after is None:
        return ""
    before = figure_words(dig(report, "original", "memory", "m"), 2)
    words = f"Memory M {before} before, {minus(format_number(after.mean, 2))} after"
    removed = read_estimate(dig(method, "removed"))
    words += f": {minus(format_number(100 * removed.mean, 1))} % removed" if removed else ""
    band = between_words(dig(report, "bands", "memory"), 2) if single else ""
    return words + (f"; a model that never saw them would lie at {band}." if band else ".")


# 5: side effects


def _effects(report: Mapping[str, Any], signed: Mapping[str, Any]) -> dict[str, Any]:
    """A small table: unseen data, data that stay, and the share of other records that are easier to attack."""
    oracles, first = dig(report, "oracles"), next(iter(signed.values()), None)
    lines = [("before", _effect_cells(dig(report, "original")))]
    lines += [("after" if len(signed) == 1 else name, _effect_cells(method)) for name, method in signed.items()]
    if oracle_count(report):
        floor = dig(first, "measures", "riskier", "floor")
        lines.append(("retrained", [*_accuracies(oracles), _percent(floor)]))
    measured = any(read_estimate(dig(m, "measures", "riskier", "value")) is not None for m in signed.values())
    reasons = [dig(method, "measures", "riskier", "reason") for method in signed.values()]
    reason = next((printable(text).rstrip(".") for text in reasons if text), "")
    return {
        "lines": lines if measured else [(label, cells[:-1]) for label, cells in lines],
        "measured": measured,
        "unmeasured": "" if measured else f"not measured{': ' if reason else ''}{reason}.",
    }


def _accuracies(subject: object) -> list[tuple[str, str]]:
    return [_percent(dig(subject, "accuracy", split)) for split in (SPLITS[2], SPLITS[1])]


def _effect_cells(subject: object) -> list[tuple[str, str]]:
    return [*_accuracies(subject), _percent(dig(subject, "measures", "riskier", "value"))]


def _percent(value: object) -> tuple[str, str]:
    cell = format_estimate(read_estimate(value), 1, scale=100)
    return cell.text, cell.ends


# 7: the decision


def _decision(signed: Mapping[str, Any]) -> dict[str, Any]:
    """The question to answer, and for several candidates what the evidence says of each."""
    outcomes = {name: str(dig(method, "verdict", "outcome")) for name, method in signed.items()}
    if len(outcomes) == 1:
        outcome = next(iter(outcomes.values()))
        return {"text": DECISIONS.get(outcome, "What this outcome means for the original."), "groups": []}
    if not outcomes:
        return {"text": "No decision: no method was judged that could take the original's place.", "groups": []}
    groups = [
        ("nothing found against", [n for n, outcome in outcomes.items() if outcome in SUPPORTED]),
        ("no verdict on", [n for n, outcome in outcomes.items() if outcome in UNDECIDED]),
        ("evidence against", [n for n, outcome in outcomes.items() if outcome not in (*SUPPORTED, *UNDECIDED)]),
    ]
    text = "Which of these models, if any, takes the original's place, knowing that a trace below the limit in 4 would not "
    return {
        "text": f"{text}have been seen; or to retrain without the records.",
        "groups": [(words, ", ".join(names)) for words, names in groups if names],
    }
