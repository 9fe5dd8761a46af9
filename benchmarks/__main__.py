"""Measure everything in one run and print it as Markdown tables.

    python -m benchmarks [--rounds N] [--only PART ...] [--quick] [--markdown FILE] [--json FILE]

One thread, pinned to one core. Within a round every engine is timed once, in an order that changes
from round to round; ratios are taken within a round, and their median is shown. The row "NumPy
again" is NumPy measured against itself: a difference that is not larger than its is noise.
"""

import argparse
import json
import os
import platform
import sys
from datetime import date
from pathlib import Path

from . import single_threaded

PARTS = ("ops", "step", "science", "second", "memory", "growth", "import", "pictures",
         "engines")  # fmt: skip


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
    parser.add_argument("--quick", action="store_true",
                        help="growth to 10,000 nodes and memory of smaller layers")  # fmt: skip
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")

    where = be_alone()
    # Only now: the number of threads is read when NumPy is loaded.
    from . import cases, engines, growth, pictures, processes, scientists

    versions = processes.versions()
    parts = growth.cases(options.quick) | processes.CASES | pictures.CASES | engines.CASES
    for part, some in (cases.CASES | scientists.CASES).items():
        parts[part] = [case.measured for case in some]

    named = ", ".join(f"{name} {number or 'not installed'}" for name, number in versions.items())
    texts = [f"Python {platform.python_version()}, {named}; {where}; {date.today()}"]
    print(texts[0])
    results, right = {}, True
    for part in options.only:
        results[part] = []
        for measured in parts[part]:
            table = measured(options.rounds)
            texts.append(str(table))
            print(f"\n{table}", flush=True)
            right = right and table.right
            results[part].append(table.as_dict())
    if options.markdown:
        options.markdown.write_text("\n\n".join(texts) + "\n")
    if options.json:
        report = {"run": texts[0], "versions": versions, "results": results}
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    if not right:
        sys.exit("benchmarks: an answer differs from that of hand-written NumPy")


if __name__ == "__main__":
    main()
