"""What holds for all tests."""

import os

# Before NumPy is loaded, here and in the processes that the tests start: where several of them
# share the cores, the threads of their matrix products wait for each other, ten times as long as
# the products take.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples in every run of the gate; --hypothesis-profile=thorough looks further.
settings.register_profile(
    "gate", deadline=None, derandomize=True, database=None, max_examples=25, print_blob=False
)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("gate")


GROUPS = {
    "thorough": "minutes of work",
    "browser": "needs a browser",
    "friends": "needs SciPy's array API mode, scikit-learn and einops",
    "engines": "needs JAX, PyTorch, dask and array-api-compat",
}

# What NumPy 2.3, the oldest that the package takes, does not answer yet as later ones do.
SINCE_NUMPY_2_4 = {
    "test_formulas.py::test_an_operation_computes_what_its_text_says[linalg.matrix_rank]": "empty",
    "test_linalg.py::test_values_are_numpys_bit_for_bit[complex64]": "cond is real",
    "test_linalg.py::test_values_are_numpys_bit_for_bit[complex128]": "cond is real",
    "test_numpy_functions.py::test_dtypes_are_those_of_numpy[pad]": "a dict",
    "test_numpy_functions.py::test_values_and_gradients_to_second_order[pad-18]": "a dict",
    "test_rules.py::test_values_are_those_of_numpy[linalg.matrix_rank]": "empty",
}


def pytest_configure(config):
    """Set SciPy's array API mode, which it reads once, before a test imports it."""
    if "friends" in config.option.markexpr:
        os.environ["SCIPY_ARRAY_API"] = "1"


def pytest_collection_modifyitems(config, items):
    """Skip the groups that are not asked for, so that each run counts and names them."""
    for group, reason in GROUPS.items():
        if group not in config.option.markexpr:
            skip = pytest.mark.skip(reason=f"{reason}: pytest -m {group}")
            for item in items:
                if item.get_closest_marker(group):
                    item.add_marker(skip)
    if numpy.lib.NumpyVersion(numpy.__version__) < "2.4.0":
        for item in items:
            reason = SINCE_NUMPY_2_4.get(item.nodeid.removeprefix("tests/"))
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"since NumPy 2.4: {reason}"))
