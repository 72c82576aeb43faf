"""How long a large ledger takes: 100,000 requests taken in from a table, the status on them, and a chain of 10,000 checked.

Wall time and the process's own time stand beside each other: on a machine that others use as well, the former says little.
The status is asked in this process, as often as --rounds says, and its median counts.

    python benchmarks/ledger.py --out results/ledger.json
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ebbing.ledger import ErasureRequest, Ledger, Settings
from ebbing.ledger.importing import import_table
from ebbing.ledger.reading import status
from ebbing.ledger.verifying import verify

LIMITS = {"import": 10.0, "status": 0.2, "verify": 10.0}  # seconds
DAY = date(2026, 1, 2)
EMPTY = b"\x02\0\0\0\0\0\0\0{}"  # a file of safetensors without tensors


def timed(work: Callable[[], object], rounds: int = 1) -> dict[str, float]:
    """Median seconds of wall time and of the process's own."""
    walls, own = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        own.append(time.process_time() - cpu)
    return {"seconds": statistics.median(walls), "own_seconds": statistics.median(own)}


def new(folder: Path, database: str) -> Ledger:
    """An empty ledger."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(EMPTY)
    return Ledger.create(
        folder / "ledger", Settings(database=database, key="signing.key"), weights=folder / "model.safetensors"
    )


def measure(folder: Path, *, requests: int, entries: int, rounds: int) -> dict[str, object]:
    """The figures."""
    large = new(folder / "large", "sqlite:///ledger.db")
    table = folder / "table.csv"
    rows = "".join(f"T{i},subject {i},GDPR Art. 17(1)(b),{DAY}\n" for i in range(requests))
    table.write_text("reference,subject,basis,received\n" + rows)
    taken = timed(lambda: import_table(large, table, today=DAY))
    again = timed(lambda: import_table(large, table, today=DAY))
    asked = timed(lambda: status(large, today=DAY), rounds)
    assert status(large, today=DAY).counts["received"] == requests  # noqa: S101
    chained = new(folder / "chained", "sqlite:///ledger.db")
    one = ErasureRequest(basis="GDPR", received=DAY, due=DAY, records=("r1",))
    with chained.writing() as (_, chain):  # entries alone: what a chain costs does not depend on what its entries say
        for number in range(entries - status(chained, today=DAY).entries):
            chain.append("benchmark", {"number": number, "basis": one.basis})
    checked = timed(lambda: verify(chained))
    found = verify(chained)
    assert (found.entries, found.problems) == (entries, [])  # noqa: S101
    whole = timed(lambda: verify(large))
    return {
        "import": {"requests": requests, **taken},
        "import_again": {"requests": requests, **again},
        "status": {"requests": requests, "rounds": rounds, **asked},
        "verify": {"entries": entries, **checked},
        "verify_requests": {"requests": requests, **whole},
    }


def main() -> None:
    """Measure, say, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), requests=given.requests, entries=given.entries, rounds=given.rounds)
    from ebbing.machine import describe

    given.out.write_text(json.dumps({"machine": describe(), "limits": LIMITS, **found}, indent=1) + "\n")
    for name, figures in found.items():
        print(name, figures, f"limit {LIMITS[name]} s" if name in LIMITS else "")


if __name__ == "__main__":
    main()
