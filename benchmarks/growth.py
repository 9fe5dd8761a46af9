"""How time and memory grow with the graph, to a million nodes, and what a deep network takes.

Every reading is from a process of its own, since what one has freed the next one finds.
"""

import json
import subprocess
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from .measure import (
    AUTOGRAD,
    DEZERO,
    JAX,
    MYGRAD,
    NUMPY,
    RIGHT,
    TINYGRAPH,
    TORCH,
    WRONG,
    Table,
    agrees,
    installed,
)
from .peers import dezero, jax, torch
from .processes import fresh

# ---------------------------------------------------------------- programs, and who runs them

FIRST, ADDED, FACTOR = 0.25, 0.5, 2.0  # sums of these are exact


def chain(leaves, length, total):
    y, b = leaves
    for _ in range(length):
        y = y + b
    return y


def fan(leaves, length, total):
    return total([leaves[0] * FACTOR for _ in range(length)])


def separate(leaves, length, total):
    y = leaves[0]
    for leaf in leaves[1:]:
        y = y + leaf
    return y


# Each program with its values, and with its result and gradients.
PROGRAMS = {
    "chain": (
        chain,
        lambda n: [FIRST, ADDED],
        lambda n: [FIRST + n * ADDED, 1.0, float(n)],
    ),
    "fan": (fan, lambda n: [ADDED], lambda n: [n * FACTOR * ADDED, n * FACTOR]),
    "separate": (
        separate,
        lambda n: [FIRST + ADDED * i for i in range(n)],
        lambda n: [FIRST * n + ADDED * (n * (n - 1) // 2), *[1.0] * n],
    ),
}


def by_numpy(program, values, length):
    """Run a program forward, and its own way back, written out."""
    leaves = [np.float64(value) for value in values]
    y, seed = program(leaves, length, lambda several: np.sum(np.stack(several))), np.float64(1)
    slopes = [np.float64(0) for _ in leaves]
    if program is chain:
        slopes[0] = seed
        for _ in range(length):
            slopes[1] = slopes[1] + seed
    elif program is fan:
        for _ in range(length):
            slopes[0] = slopes[0] + seed * FACTOR
    else:
        slopes = [seed + slope for slope in slopes]
    return [y, *slopes]


def by_tinygraph(program, values, length):
    import tinygraph as tg

    leaves = [tg.tensor(value, requires_grad=True) for value in values]
    y = program(leaves, length, lambda several: tg.sum(tg.stack(several)))
    y.backward()
    return [y.item(), *(leaf.grad.item() for leaf in leaves)]


def by_torch(program, values, length):
    th = torch()
    leaves = [th.tensor(value, dtype=th.float64, requires_grad=True) for value in values]
    y = program(leaves, length, lambda several: th.sum(th.stack(several)))
    y.backward()
    return [y.item(), *(leaf.grad.item() for leaf in leaves)]


def by_autograd(program, values, length):
    from autograd import numpy as anp
    from autograd import value_and_grad

    def f(leaves):
        return program(leaves, length, lambda several: anp.sum(anp.stack(several)))

    y, slopes = value_and_grad(f)(list(map(np.float64, values)))
    return [y, *slopes]


def by_mygrad(program, values, length):
    import mygrad as mg

    leaves = [mg.tensor(value) for value in values]
    y = program(leaves, length, lambda several: mg.sum(mg.stack(several)))
    y.backward()
    return [y.item(), *(leaf.grad.item() for leaf in leaves)]


def by_dezero(program, values, length):
    dz, _ = dezero()
    leaves = [dz.Variable(np.array(value)) for value in values]
    y = program(leaves, length, None)
    y.backward()
    return [y.data.item(), *(leaf.grad.data.item() for leaf in leaves)]


# JAX is left out: its compiler takes programs without loops of some thousand operations at most.
# DeZero has no stack.
ENGINES = {
    NUMPY: by_numpy, TINYGRAPH: by_tinygraph, TORCH: by_torch, AUTOGRAD: by_autograd,
    MYGRAD: by_mygrad, DEZERO: by_dezero,
}  # fmt: skip
TITLES = {
    "chain": "y + b, over and over, 0-d: forward, backward and dropped",
    "fan": "x · 2, over and over, stacked and summed: forward, backward and dropped",
    "separate": "the sum of separate 0-d leaves, and the gradient of each",
}
LENGTHS = {
    "chain": [10**3, 10**4, 10**5, 10**6],
    "fan": [10**3, 10**4, 10**5, 10**6],
    "separate": [10**3, 10**4, 10**5],
}
PATIENCE = 45  # seconds that a reading may take


def memory(what: str) -> int | None:
    """Return the bytes that this process holds (VmRSS) or has held at most (VmHWM), on Linux."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return 1024 * int(status.split(f"{what}:")[1].split()[0])


def run_once(name: str, engine: str, length: int) -> None:
    """Run a program in this process; print the seconds and the bytes that it took."""
    program, values, expected = PROGRAMS[name]
    run = ENGINES[engine]
    run(program, values(100), 100)
    inputs = values(length)
    before = memory("VmHWM")
    start = perf_counter()
    answer = run(program, inputs, length)
    seconds = perf_counter() - start
    held = before and memory("VmHWM") - before
    right = agrees([np.asarray(answer)], [np.asarray(expected(length))])
    print(json.dumps({"seconds": seconds, "bytes": held, "right": right}))


def grown(name: str, rounds: int, lengths: list[int]) -> Table:
    """Read each engine at growing lengths, until one would take too long."""
    table = Table(
        TITLES[name],
        (*(f"µs a node, {length:,}" for length in lengths), "bytes a node", "answer"),
        note="– where it would take too long. Linear growth is a row of equal times.",
    )
    program = "from benchmarks.growth import run_once; run_once({!r}, {!r}, {})"
    for engine in ENGINES:
        if not installed(engine):
            table.rows[engine] = None
            continue
        if name == "fan" and engine == DEZERO:
            continue
        cells, held, answer = dict.fromkeys(lengths), None, RIGHT
        for length in lengths:
            some = []
            try:
                while len(some) < min(rounds, 3) and sum(one["seconds"] for one in some) < 3:
                    some.append(fresh(program.format(name, engine, length), PATIENCE))
            except subprocess.TimeoutExpired:
                break
            except subprocess.CalledProcessError as error:
                answer = error.stderr.strip().splitlines()[-1].split(":")[0]
                break
            seconds = median(one["seconds"] for one in some)
            cells[length] = seconds / length * 1e6
            held = some[0]["bytes"] and max(one["bytes"] for one in some) / length
            if not all(one["right"] for one in some):
                answer = WRONG
            if seconds * 10 > PATIENCE:
                break
        table.rows[engine] = (*cells.values(), held, answer)
    return table


# ---------------------------------------------------------------- the memory of a deep network

LAYERS = 20


def network(width):
    """Return weights and offsets of all layers, and a batch as large as they are wide."""
    rng = np.random.default_rng(0)
    scale = np.sqrt(1 / width)
    Ws = [(scale * rng.standard_normal((width, width))).astype("f4") for _ in range(LAYERS)]
    return Ws, [np.full(width, 0.01, "f4") for _ in Ws], rng.random((width, width)).astype("f4")


def deep_numpy(Ws, bs, x):
    def run():
        hs = [x]
        for W, b in zip(Ws, bs, strict=True):
            h = hs[-1] @ W
            h += b
            hs.append(np.tanh(h, out=h))
        g, slopes = np.full_like(h, 1 / h.size), []
        while Ws[len(slopes) :]:
            g *= 1 - np.square(hs.pop())
            slopes.append((hs[-1].T @ g, g.sum(axis=0)))
            if len(slopes) < LAYERS:
                g = g @ Ws[-len(slopes)].T
        return slopes[::-1]

    return run


def forward(Ws, bs, h, tanh):
    for W, b in zip(Ws, bs, strict=True):
        h = tanh(h @ W + b)
    return h


def deep_tinygraph(Ws, bs, x):
    import tinygraph as tg

    Ws, bs = ([tg.tensor(one, requires_grad=True) for one in some] for some in (Ws, bs))

    def run():
        tg.mean(forward(Ws, bs, x, tg.tanh)).backward()
        return [(W.grad.data, b.grad.data) for W, b in zip(Ws, bs, strict=True)]

    return run


def deep_torch(Ws, bs, x):
    th = torch()
    Ws, bs = ([th.tensor(one, requires_grad=True) for one in some] for some in (Ws, bs))
    x = th.from_numpy(x)

    def run():
        forward(Ws, bs, x, th.tanh).mean().backward()
        return [(W.grad.data, b.grad.data) for W, b in zip(Ws, bs, strict=True)]

    return run


def deep_autograd(Ws, bs, x):
    from autograd import grad
    from autograd import numpy as anp

    slopes_of = grad(lambda both: anp.mean(forward(*both, x, anp.tanh)))

    def run():
        return list(zip(*slopes_of((Ws, bs)), strict=True))

    return run


def deep_mygrad(Ws, bs, x):
    import mygrad as mg

    Ws, bs = ([mg.tensor(one) for one in some] for some in (Ws, bs))

    def run():
        forward(Ws, bs, x, mg.tanh).mean().backward()
        return [(W.grad, b.grad) for W, b in zip(Ws, bs, strict=True)]

    return run


def deep_jax(Ws, bs, x):
    jx = jax()
    both, x = jx.tree.map(jx.numpy.asarray, ((Ws, bs), x))

    @jx.jit
    def slopes_of(both, x):
        return jx.grad(lambda both: jx.numpy.mean(forward(*both, x, jx.numpy.tanh)))(both)

    compiled = slopes_of.lower(both, x).compile()

    def run():
        return list(zip(*jx.block_until_ready(compiled(both, x)), strict=True))

    return run


# DeZero's tanh makes float64 of float32 under NumPy 2, and is left out.
DEEP = {
    NUMPY: deep_numpy, TINYGRAPH: deep_tinygraph, TORCH: deep_torch, AUTOGRAD: deep_autograd,
    MYGRAD: deep_mygrad, JAX: deep_jax,
}  # fmt: skip


def deep_once(engine: str, width: int) -> None:
    """Go forward and back; print by how much the peak of memory is above what was held before."""
    DEEP[engine](*network(8))()  # what is loaded or made once
    arrays = network(width)
    run = DEEP[engine](*arrays)
    before = memory("VmRSS")
    if before is not None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start = perf_counter()
    slopes = run()
    seconds = perf_counter() - start
    held = before and memory("VmHWM") - before
    reference = deep_numpy(*arrays)()
    flat = [[np.asarray(one) for pair in some for one in pair] for some in (slopes, reference)]
    print(json.dumps({"seconds": seconds, "bytes": held, "right": agrees(*flat)}))


def deep(rounds: int, width: int) -> Table:
    table = Table(
        f"memory: {LAYERS} layers of tanh, {width} wide, batch {width}, float32, forward and back",
        ("MB at the peak", "× NumPy", "s", "answer"),
        note="above what was held before; the gradients, which stay, are in it",
    )
    program = "from benchmarks.growth import deep_once; deep_once({!r}, {})"
    for engine in DEEP:
        if not installed(engine):
            table.rows[engine] = None
            continue
        one = fresh(program.format(engine, width))
        hand = table.rows[NUMPY][0] if table.rows else one["bytes"] and one["bytes"] / 1e6
        peak = one["bytes"] and one["bytes"] / 1e6
        table.rows[engine] = (
            peak, peak and peak / hand, one["seconds"], RIGHT if one["right"] else WRONG,
        )  # fmt: skip
    return table


def cases(quick: bool) -> dict:
    """Return what can be measured: with `quick`, smaller."""
    most = 10**4 if quick else 10**6
    return {
        "memory": [partial(deep, width=256 if quick else 1024)],
        "growth": [
            partial(grown, name, lengths=[n for n in lengths if n <= most])
            for name, lengths in LENGTHS.items()
        ],
    }
