"""Peak memory of a whole run on the full MNIST: training, forgetting, retraining, the audit and the report.

The run is a child process, and its peak resident set is what the system says of it afterwards. On Linux a child's peak
begins at its parent's size, so this script imports nothing heavy. Were the run to use processes of its own, the figure
would be the largest one's, not their sum.

    python benchmarks/memory.py --out results/memory.json
"""

import argparse
import json
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ebbing.machine import describe

RUN = "ebbing run --dataset mnist --recipe epochs=1 --forget random:0.1 --method ebb --oracles 4 --device cpu"
LIMIT_GIB = 1.5


def main() -> None:
    """Run, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=None, help="where the files of MNIST are")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the figure")
    options = parser.parse_args()

    command = [*shlex.split(RUN), *(["--data-dir", options.data_dir] if options.data_dir else [])]
    program = str(Path(sys.executable).with_name("ebbing"))
    with tempfile.TemporaryDirectory() as fresh:  # nothing to reuse: everything is computed
        done = subprocess.run([program, *command[1:], "--out", fresh], check=False)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**30
    print(f"peak resident memory {peak:.2f} GiB (aim: less than {LIMIT_GIB} GiB)")
    if options.out is not None:
        facts = {**describe(), "run": shlex.join(command), "peak_gib": peak, "aim_gib": LIMIT_GIB}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
