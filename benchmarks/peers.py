"""The peers whose import needs a word: one thread, double precision, a name that NumPy dropped."""


def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def jax():
    import jax

    jax.config.update("jax_enable_x64", True)  # float32 stays what is float32
    return jax


def dezero():
    """Return the package and its functions."""
    import numpy as np

    np.int = int  # its last release, 0.0.13, reads this name
    import dezero
    import dezero.functions

    return dezero, dezero.functions
