#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""The tasks of a developer, each in an environment of its own: ``nox --list``, ``nox -s lint``.

The gate runs those of quality in the environment that it has made already (``--no-venv``).
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def prepare(session: nox.Session, *extras: str) -> None:
    """Install the package with extras, unless the environment is the caller's own."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", f".[{','.join(extras)}]")


# ---------------------------------------------------------------- tests


@nox.session(python=PYTHONS, default=False)
@nox.parametrize("numpy", ["oldest", "newest"])
def tests(session: nox.Session, numpy: str) -> None:
    """Run the tests on each Python, with the oldest and the newest NumPy."""
    prepare(session, "test")
    if numpy == "oldest":  # that has wheels for this Python
        session.install("numpy==2.3.2" if session.python == "3.14" else "numpy==2.3.0")
    session.run("pytest", "-q", "-n", "2", *session.posargs)


@nox.session(default=False)
@nox.parametrize("group", ["engines", "friends", "browser", "thorough"])
def groups(session: nox.Session, group: str) -> None:
    """Run a group of tests that needs more packages, or minutes."""
    prepare(session, "test", *[group] * (group != "thorough"))
    session.run("pytest", "-q", "-n", "2", "-m", group, *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Say which lines and branches no test runs."""
    prepare(session, "test", "coverage")
    session.run("pytest", "-q", "-n", "2", "--cov", "--cov-report=term-missing", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change each formula of the table, and see that a test goes red: an hour, or --chapter."""
    prepare(session, "test")
    session.run("python", "tests/mutate_rules.py", *session.posargs)


# ---------------------------------------------------------------- quality


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and for unusual layout."""
    prepare(session, "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def size(session: nox.Session) -> None:
    """Count the lines of code, and hold them against the limits."""
    session.run("python", ".ci/lines_of_code.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings as errors; "-b linkcheck" checks the links."""
    prepare(session, "docs")
    builder = session.posargs or ["-b", "html"]
    strict = ["--quiet", "--nitpicky", "--fail-on-warning", "--keep-going"]
    session.run("python", "-m", "sphinx", *strict, *builder, "docs", f"docs/_build/{builder[-1]}")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist, and look at what is in them."""
    prepare(session, "dev")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist", silent=True)
    session.run("python", ".ci/check_packages.py", "dist")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package as it is installed, from the wheel that `build` made."""
    prepare(session, "dev")
    (wheel,) = Path("dist").glob("*.whl")
    folder, configuration = Path(session.create_tmp()).resolve(), Path("pyproject.toml").resolve()
    session.run(
        "python", "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade",
        "--target", folder / "site", wheel,
    )  # fmt: skip
    with session.chdir(folder):  # where this folder's tinygraph/ is not found first
        session.run(
            "python", "-m", "mypy", "--config-file", configuration, "--package", "tinygraph",
            env={"MYPYPATH": str(folder / "site")},
        )  # fmt: skip


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Look for known faults in what the package depends on."""
    session.install(".", "pip-audit")
    session.run("pip-audit", "--skip-editable")


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Run the gate, tag the version of pyproject.toml, and upload it; "--dry" stops before that."""
    session.install("build", "twine")
    session.run("git", "diff", "--exit-code", "HEAD", external=True)  # all is committed
    session.run(".ci/run", external=True)
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist", silent=True)
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    if "--dry" not in session.posargs:
        version = nox.project.load_toml("pyproject.toml")["project"]["version"]
        session.run("git", "tag", f"v{version}", external=True)
        session.run("twine", "upload", *map(str, Path("dist").iterdir()))


# ---------------------------------------------------------------- speed


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure against NumPy by hand and the peers."""
    prepare(session, "peers", "engines")
    session.run("python", "-m", "benchmarks", *session.posargs)


if __name__ == "__main__":
    nox.main()
