"""Answer GradBench's messages, a line of JSON each, from standard input on standard output.

    python -m benchmarks.gradbench

GradBench (github.com/gradbench/gradbench) has evals, which ask and judge, and tools, which compute.
This is tinygraph as a tool. One process, one thread; see `evals` for what it computes.
"""

import json
import sys
import traceback

from benchmarks import single_threaded


def answer(message: dict) -> dict:
    """Return what a message asks for; of most of them GradBench wants to see its number alone."""
    from . import evals  # only now: NumPy reads the number of threads when it is loaded

    if message["kind"] == "start":
        return {"tool": "tinygraph"}
    if message["kind"] == "define":
        return {"success": message["module"] in evals.EVALS}
    if message["kind"] == "evaluate":
        try:
            return evals.evaluate(message["module"], message["function"], message["input"])
        except Exception:
            return {"success": False, "error": traceback.format_exc()}
    return {}


def main() -> None:
    single_threaded()
    for line in sys.stdin:
        message = json.loads(line)
        print(json.dumps({"id": message["id"], **answer(message)}), flush=True)


if __name__ == "__main__":
    main()
