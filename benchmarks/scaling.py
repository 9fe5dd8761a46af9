"""How a step and its messages grow with the number of devices.

    python -m benchmarks.scaling

Virtual devices share the cores of one processor: what is seen is what dividing the work costs.
"""

import json
import subprocess
import sys
from pathlib import Path

from .measure import Table

SCRIPT = Path(__file__).parents[1] / "docs/many_devices.py"


def figures(*options):
    """Return what the script prints."""
    command = [sys.executable, SCRIPT, *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def distance(one, other):
    """Return the largest relative difference of losses and of sums of parameters."""
    pairs = [*zip(one["losses"], other["losses"], strict=True)]
    sums = "sums of parameters"
    pairs += [(one[sums][name], other[sums][name]) for name in one[sums]]
    return max(abs(a - b) / abs(b) for a, b in pairs)


def main():
    for network in ("two-layer-net", "mlp"):
        alone = figures("--network", network, "--devices", "1")
        table = Table(
            f"{network}, {alone['entries of parameters']:,} parameters, float64, a batch of 1,024",
            (
                "a step, ms",
                "messages",
                "entries in them",
                "of W1 on a device",
                "difference from one device",
            ),
        )
        for devices in (1, 2, 4, 8):
            for halves in ([], ["--halves"]) if devices > 1 else ([],):
                found = figures("--network", network, "--devices", str(devices), *halves)
                told = ", ".join(f"{n} {kind}" for kind, n in found["messages"].items())
                table.rows[f"{devices}{', parameters in halves' if halves else ''}"] = (
                    found["milliseconds a step"],
                    told or "none",
                    f"{found['entries in messages']:,}",
                    f"{found['entries of W1 on a device']:,}",
                    f"{distance(found, alone):.0e}",
                )
        print(f"\n{table}", flush=True)


if __name__ == "__main__":
    main()
