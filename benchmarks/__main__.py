"""Measure everything in one run and print it as a table.

    python -m benchmarks [--rounds N] [--only PART ...] [--json FILE]

One thread, pinned to one core. Within a round every engine is timed once, in an order that changes
from round to round; ratios are taken within a round, and their median is shown. The row "NumPy
again" is NumPy measured against itself: a difference that is not larger than its is noise.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from . import single_threaded

PARTS = ("ops", "step", "science", "second", "import", "growth", "pictures")


def be_alone() -> str:
    """Use one thread and one core, here and in every process started from here; say which."""
    single_threaded()
    if not hasattr(os, "sched_setaffinity"):
        return "one thread, not pinned: this platform cannot"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"one thread, pinned to core {core}"


def main() -> None:
    summary = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=summary)
    parser.add_argument("--rounds", type=int, default=40, help="of each case (default: 40)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=f"some of: {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")

    where = be_alone()
    # Only now: the number of threads is read when NumPy is loaded.
    from . import cases, pictures, processes, scientists

    versions = processes.versions()
    print(f"{where}; " + ", ".join(f"{k} {v or 'not installed'}" for k, v in versions.items()))

    results, right, timed = {}, True, cases.CASES | scientists.CASES
    for part in options.only:
        if part in timed:
            tables = [case.measured(options.rounds) for case in timed[part]]
        else:
            tables = [(processes.CASES | pictures.CASES)[part](options.rounds)]
        for table in tables:
            print(f"\n{table}", flush=True)
            right = right and table.right
        results[part] = [table.as_dict() for table in tables]
    if options.json:
        report = {"machine": where, "versions": versions, "results": results}
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    if not right:
        sys.exit("benchmarks: an answer differs from that of hand-written NumPy")


if __name__ == "__main__":
    main()
