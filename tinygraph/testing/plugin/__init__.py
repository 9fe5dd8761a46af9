"""The pytest plugin: the fixture `check_grads`.

pytest loads it in every environment that has tinygraph, also for tests that have nothing to do with
it. So it is installed as a package of its own, ``tinygraph_pytest``, which imports neither NumPy
nor tinygraph until a test asks for the fixture. What a failure shows, and what it hides, the
checker itself says: its report is the message, and the traceback ends at the call.
"""

from collections.abc import Callable

import pytest


@pytest.fixture(name="check_grads")
def fixture() -> Callable:
    """Check that tinygraph's derivatives of a function agree with numerical ones."""
    from tinygraph.testing import check_grads

    return check_grads
