"""The pictures of the leaderboard: what is drawn of what was tried."""

from __future__ import annotations

from ebbing.bench.plots import draw_settings

TASK = "digits-mislabelled5-cnn/v1"


def tuning(label: str, *points: tuple[float, float]) -> dict:
    """What the tuner leaves of (points of accuracy lost, M)."""
    trials = [
        {"tasks": {TASK: {"memory": memory, "accuracy_lost": lost / 100, "band": 0.5}}, "settings": {}, "value": 0.0}
        for lost, memory in points
    ]
    return {"label": label, "budget": 0.03, "trials": [*trials, {"tasks": {}, "settings": {}, "value": 1e6}]}


def test_a_curve_holds_the_settings_that_no_other_beats() -> None:
    good = ((0.5, 3.0), (1.0, -1.0), (4.0, 0.2))
    beaten = ((1.0, 1.5), (2.0, 1.0), (5.0, -0.2))
    other = tuning("other", (0.5, 2.0))
    plots = [draw_settings([tuning("ebb", *points), other], TASK) for points in (good, (*good, *beaten))]
    assert plots[0] == plots[1]
    assert plots[0] != draw_settings([tuning("ebb", *good, (0.6, 2.0)), other], TASK)
    assert plots[0].name == "settings-digits-mislabelled5-cnn-3"
    assert ">ebb<" in plots[0].svg
    assert ">other<" in plots[0].svg
