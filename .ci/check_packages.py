"""Check what is inside the wheel and the sdist of a folder: all that belongs, nothing that not."""

import sys
import tarfile
import zipfile
from pathlib import Path

NEEDED = {
    "tinygraph/__init__.py", "tinygraph/py.typed", "tinygraph/rules/table.py",
    "tinygraph/testing/__init__.py", "tinygraph/models/__init__.py",
    "tinygraph/models/digits.npz", "tinygraph/models/digits.LICENSE",
    "tinygraph/viz/__init__.py", "tinygraph/viz/page.html", "tinygraph/viz/page.css",
    "tinygraph/viz/page.js", "tinygraph_pytest/__init__.py",
}  # fmt: skip
TOP = {"tinygraph", "tinygraph_pytest"}


def main(folder: Path) -> int:
    """Print what is wrong and the sizes; return 1 if anything is."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    top = {name.partition("/")[0] for name in inside if ".dist-info/" not in name}
    faults = [f"the wheel lacks {name}" for name in sorted(NEEDED - inside)]
    faults += [f"the wheel would install {name!r} at the top" for name in sorted(top - TOP)]
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "pyproject.toml", "models/digits.npz", "viz/__init__.py"):
        if name not in source:
            faults.append(f"the sdist lacks {name}")
    for path in (wheel, sdist):
        print(f"{path.stat().st_size / 1e6:5.2f} MB  {path.name}")
    print(
        "\n".join(faults)
        or "all that belongs in them, and nothing at the top but tinygraph and its pytest plugin"
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
