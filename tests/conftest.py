"""What holds for all tests."""

import os

# Before NumPy is loaded, here and in the processes that the tests start: where several of them
# share the cores, the threads of their matrix products wait for each other, ten times as long as
# the products take.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from hypothesis import settings  # noqa: E402

# The same examples in every run of the gate; --hypothesis-profile=thorough looks further.
settings.register_profile(
    "gate", deadline=None, derandomize=True, database=None, max_examples=25, print_blob=False
)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("gate")
