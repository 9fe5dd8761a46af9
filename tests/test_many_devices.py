"""One program on many devices and in many pieces: the two scripts of the page on scaling."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.engines


def run(script, *options):
    command = [sys.executable, DOCS / script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("network", ["two-layer-net", "mlp"])
def test_eight_devices_take_the_steps_of_one(network):
    pytest.importorskip("jax")
    options = ("--network", network, "--batch", 64, "--steps", 5)
    alone = run("many_devices.py", *options, "--devices", 1)
    assert alone["messages"] == {}
    entries = alone["entries of parameters"]
    for halves in ([], ["--halves"]):
        found = run("many_devices.py", *options, "--devices", 8, *halves)
        assert found["devices"] == 8
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-13)
        assert found["sums of parameters"] == pytest.approx(alone["sums of parameters"], rel=1e-13)
        cut = 2 if halves else 1
        assert found["entries of W1 on a device"] == alone["entries of W1 on a device"] // cut
        if not halves:  # the gradient of each parameter and the loss, in one message
            assert found["messages"] == {"all-reduce": 1}
            assert found["entries in messages"] == entries + 1


def test_a_gradient_over_more_data_than_memory():
    pytest.importorskip("distributed")
    limit = 256
    with TemporaryDirectory() as folder:  # pytest would keep the gigabytes for a while
        found = run("out_of_core.py", "--folder", folder, "--limit", limit)
    assert found["data, MiB"] >= 4 * 2 * limit
    assert len(found["peaks of the processes, MiB"]) == 2
    assert max(found["peaks of the processes, MiB"]) < limit
    assert found["largest difference from the gradient by hand"] < 1e-14
    assert found["largest entry of the gradient"] > 0.1
