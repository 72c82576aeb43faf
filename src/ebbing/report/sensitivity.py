"""What the audit could have seen: whether the original was told apart, and the smallest effect that would have been."""

from collections.abc import Mapping, Sequence
from typing import Any

from ebbing.report.rows import (
    DASH,
    dig,
    format_estimate,
    format_number,
    mapping,
    oracle_count,
    printable,
    read_auc,
    read_estimate,
)


def minus(text: str) -> str:
    """Real minus signs in figures."""
    return text.replace("-", "\N{MINUS SIGN}")


def figure_words(value: object, digits: int, *, scale: float = 1.0) -> str:
    """The mean of a figure as text, a dash where it is absent."""
    return minus(format_estimate(read_estimate(value), digits, scale=scale).text)


def between_words(value: object, digits: int, *, scale: float = 1.0) -> str:
    """The ends of `{low, high}` as text, or an empty one where an end is absent."""
    ends = [read_estimate(dig(value, end)) for end in ("low", "high")]
    found = [minus(format_number(scale * end.mean, digits)) for end in ends if end is not None]
    return " to ".join(found) if len(found) == 2 else ""


# 3: whether the original could be told apart


def told_apart_before(report: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the original could be told from retrained models, as a lead and the text after it."""
    original, bands = dig(report, "original"), dig(report, "bands")
    found = [
        _beyond(dig(original, "memory", "m"), dig(bands, "memory")),
        _beyond(dig(original, "memory", "w"), dig(bands, "w")),
    ]
    inner = _beyond_inside(report)
    if all(value is None for value in (*found, inner)):
        lead, text = "Not known.", "There is no band that the original's memory could be held against."
    elif any(found):
        lead, text = "Yes.", "It answers on the records otherwise than models that never saw them."
    elif inner:
        lead, text = "Only inside the network.", "Its answers lie where retrained models' do."
    else:
        lead, text = "No.", "So no method could be shown to have removed anything."
    m = figure_words(dig(original, "memory", "m"), 2)
    band = between_words(dig(bands, "memory"), 2)
    measured = f"Memory M is {m}, where a model that never saw them would lie at {band}." if m != DASH and band else ""
    return {"lead": lead, "text": " ".join(filter(None, (text, measured, _attack_words(report))))}


def _beyond(value: object, band: object) -> bool | None:
    """Whether a figure, of several models the one farthest out, lies outside a band; None without evidence."""
    figure = read_estimate(value)
    low, high = (read_estimate(dig(band, end)) for end in ("low", "high"))
    if figure is None or (low is None and high is None):
        return None
    ends = [end for end in (figure.mean, figure.low, figure.high) if end is not None]
    return bool((low and min(ends) < low.mean) or (high and max(ends) > high.mean))


def _beyond_inside(report: Mapping[str, Any]) -> bool | None:
    inside, bands = dig(report, "original", "inside"), dig(report, "bands", "inside")
    found = [
        _beyond(dig(probe, "w"), mapping(dig(bands, "probes")).get(layer))
        for layer, probe in mapping(dig(inside, "probes")).items()
    ]
    known = [value for value in (*found, _beyond(dig(inside, "savings"), dig(bands, "savings"))) if value is not None]
    return any(known) if known else None


def _attack_words(report: Mapping[str, Any]) -> str:
    """What an attack on the loss made of the original, beside the retrained models; or why there is none."""
    attack = dig(report, "original", "attacks", "loss")
    cell = format_estimate(read_auc(attack), 2)
    if cell.text == DASH:
        reason = dig(attack, "reason")
        return f"No attack on the loss: {printable(reason).rstrip('.')}." if reason else ""
    retrained = between_words(dig(report, "oracles", "attacks", "loss", "auc"), 2)
    words = f"An attack on the loss has an AUC of {cell.text}" + (f" ({cell.ends})" if cell.ends else "")
    return f"{words}; .5 is chance" + (f", retrained models {retrained}." if retrained else ".")


# 4: the smallest effect


def rank_test_words(report: Mapping[str, Any]) -> str:
    """How small a p-value can get with the retrained models at hand; empty without any."""
    count = oracle_count(report)
    models = "1 retrained model" if count == 1 else f"{count} retrained models"
    if not count:
        return ""
    return f"With {models} no rank test can give a p-value under 1/{count + 1} = {1 / (count + 1):.2g}."


def smallest_effect(report: Mapping[str, Any], signed: Sequence[object]) -> dict[str, Any]:
    """What the audit would just have called memory, as a lead and the text after it.

    Args:
        report: the dict of report.json.
        signed: the methods somebody may sign for.
    """
    smallest = read_estimate(dig(report, "bands", "smallest_detectable_m"))
    if smallest is None:
        return {
            "lead": "Not known.",
            "text": "Without a band of memory nothing says how small an effect would have been seen.",
        }
    before = read_estimate(dig(report, "original", "memory", "m"))
    known = before is not None and before.mean > smallest.mean
    share = f", {100 * smallest.mean / before.mean:.0f} % of the original's" if before is not None and known else ""
    text = "M is how much better the records are known than by retrained models, in standard deviations of these. Less would "
    text += "have passed unseen."
    if any(isinstance(dig(method, "memory", "m"), Mapping) for method in signed):
        text += " Where several models are judged as one answer, it is larger."
    return {
        "lead": f"Memory M {figure_words(smallest.mean, 2)}{share}.",
        "text": f"{text} {rank_test_words(report)}".rstrip(),
    }
