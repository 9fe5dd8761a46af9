"""Train a network of tinygraph on many devices: JAX places the arrays and sends the messages.

    python docs/many_devices.py --devices 8               # pieces of this machine's processor
    python docs/many_devices.py --devices 8 --halves      # parameters cut too, not the batch alone
    python docs/many_devices.py                           # whatever devices JAX finds

On a cluster the same file runs once on each machine, after ``jax.distributed.initialize()``.
"""

import argparse
import json
import re
from collections import Counter
from math import prod
from time import perf_counter

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import tinygraph as tg
from tinygraph.models import MLP, TwoLayerNet
from tinygraph.models.optimizers import SGD

NETWORKS = {
    "two-layer-net": lambda: TwoLayerNet(784, 50, 10, rng=0),
    "mlp": lambda: MLP(784, [1024, 1024, 1024], 10, rng=0),
}
# In a compiled program: what a message brings, and of which kind it is.
MESSAGE = r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)\("


def layouts(names, halves):
    """Return how each parameter is cut: not at all, or every second layer along its other axis."""
    if not halves:
        return dict.fromkeys(names, P())
    columns = {"W": P(None, "model"), "b": P("model")}
    rows = {"W": P("model", None), "b": P()}
    last = max(int(name[1:]) for name in names)
    whole = last if last % 2 else 0  # a last layer without a partner
    return {
        name: P() if int(name[1:]) == whole else (columns if int(name[1:]) % 2 else rows)[name[0]]
        for name in names
    }


def main():
    """Take some steps, and print how long they took, what was sent, and what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--devices", type=int, help="virtual ones, of this machine's processor")
    parser.add_argument(
        "--halves", action="store_true", help="cut parameters over pairs of devices"
    )
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if options.devices:
        jax.config.update("jax_num_cpu_devices", options.devices)
    count = len(jax.devices())
    pairs = 2 if options.halves else 1
    mesh = Mesh(np.reshape(jax.devices(), (-1, pairs)), ("batch", "model"))

    # What follows is the whole of it: where the arrays lie, and a step as it would be anywhere.
    network, optimizer = NETWORKS[options.network](), SGD(lr=0.01)
    params = {
        name: jax.device_put(network.params[name].numpy(), NamedSharding(mesh, layout))
        for name, layout in layouts(network.params, options.halves).items()
    }
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(options.batch, 784)), rng.integers(0, 10, options.batch)
    x, t = jax.device_put((x, t), NamedSharding(mesh, P("batch")))

    def step(params, x, t):
        loss, grads = tg.value_and_grad(lambda params: network.over(params).loss(x, t))(params)
        return optimizer.step(params, grads, {})[0], loss

    compiled = jax.jit(step).lower(params, x, t).compile()
    messages = re.findall(MESSAGE, compiled.as_text().replace("-start(", "("))
    arrays = [lengths.split(",") for brings, _ in messages
              for lengths in re.findall(r"[fs]\d\d\[([\d,]*)\]", brings)]  # fmt: skip
    losses, seconds = [], []
    for _ in range(options.steps):
        start = perf_counter()
        params, loss = jax.block_until_ready(compiled(params, x, t))
        seconds.append(perf_counter() - start)
        losses.append(float(loss))
    figures = {
        "devices": count,
        "milliseconds a step": 1e3 * float(np.median(seconds)),
        "messages": Counter(kind for _, kind in messages),
        "entries in messages": sum(prod(int(n or 1) for n in lengths) for lengths in arrays),
        "entries of parameters": sum(one.size for one in params.values()),
        "entries of W1 on a device": params["W1"].addressable_shards[0].data.size,
        "losses": losses,
        "sums of parameters": {name: float(abs(one).sum()) for name, one in params.items()},
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
