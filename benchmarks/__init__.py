"""What tinygraph costs beside hand-written NumPy and other engines: ``python -m benchmarks``."""

import os

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def single_threaded() -> None:
    """Have the number libraries use one thread, if none of them is loaded yet."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
