"""Draw the pictures of README and documentation: ``python docs/make_pictures.py [FOLDER]``."""

import sys
from pathlib import Path

from tinygraph.models import TwoLayerNet
from tinygraph.models.data import load_mnist
from tinygraph.viz import render

PICTURES = Path(__file__).parent / "pictures"


def main(folder: Path) -> None:
    """Draw them into a folder."""
    network = TwoLayerNet(784, 50, 10, rng=0)
    (x_train, t_train), _ = load_mnist()
    render(network.loss, folder / "two_layer_net.svg", args=(x_train[:100], t_train[:100]))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)
