"""How soon the command line answers, beside an interpreter that does nothing.

Each round starts `python -c pass` and the installed `ebbing` with each of its questions, in turn, each round beginning
with another one; a figure is a median over rounds, a ratio one of the ratios within a round. The first round only warms
up. Process start is part of every figure: it is what the user waits for.

    python benchmarks/startup.py --out results/startup.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from ebbing.machine import describe

LIMIT = 0.3  # seconds
NOTHING = "python -c pass"
COMMAND = Path(sysconfig.get_path("scripts")) / "ebbing"
QUESTIONS = {
    "ebbing --version": ["--version"],
    "ebbing --help": ["--help"],
    "ebbing unlearn --help": ["unlearn", "--help"],
}
LINES = {NOTHING: [sys.executable, "-c", "pass"]} | {name: [str(COMMAND), *words] for name, words in QUESTIONS.items()}


def seconds(line: list[str]) -> float:
    """Of wall time until the command has ended."""
    start = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def one_round(number: int) -> dict[str, float]:
    """Seconds of each command."""
    names = list(LINES)
    turn = number % len(names)
    return {name: seconds(LINES[name]) for name in names[turn:] + names[:turn]}


def measure(rounds: int) -> dict[str, dict[str, object]]:
    """The figures of each command, and every one of its times."""
    one_round(0)
    taken = [one_round(number) for number in range(rounds)]
    return {
        name: {
            "seconds": spread([times[name] for times in taken]),
            "ratio_to_nothing": spread([times[name] / times[NOTHING] for times in taken]),
            "each": [times[name] for times in taken],
        }
        for name in LINES
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the figures")
    options = parser.parse_args()

    figures = measure(options.rounds)
    print(f"{'median of ' + str(options.rounds):<24}{'seconds':>9}{'low':>8}{'high':>8}{'ratio':>8}")
    for name, found in figures.items():
        took, ratio = found["seconds"], found["ratio_to_nothing"]
        print(f"{name:<24}{took['median']:>9.3f}{took['low']:>8.3f}{took['high']:>8.3f}{ratio['median']:>8.1f}")
    slow = [name for name, found in figures.items() if found["seconds"]["median"] >= LIMIT]
    print(f"{LIMIT} s or more: {', '.join(slow)}" if slow else f"Each answers in less than {LIMIT} s.")
    if options.out is not None:
        facts = {**describe(), "rounds": options.rounds, "limit_seconds": LIMIT, "figures": figures}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
