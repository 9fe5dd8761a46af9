"""The ladder: which program lays out a picture, how it is run, and what its SVG is made into.

First the system's ``dot``; then ``graphviz-pure``, which pip installs; then an error that says what
to do. A program that takes too long is an error as well, never a step down.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sysconfig
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, Self

import graphviz

from tinygraph.errors import ArgumentError, GraphError, MissingDependencyError
from tinygraph.saving import write

from . import style
from .graph import Picture

TIMEOUT = 60.0  # seconds
FORMATS = ("svg", "png", "pdf")
PURE = "graphviz-pure"
INSTALL = "install Graphviz (https://graphviz.org/download, or your system's package graphviz)"


# ---------------------------------------------------------------- the program


class Engine(NamedTuple):
    """A program that lays out pictures; the pure one has no PDF and wants much memory for PNG."""

    program: str
    pure: bool


def find_engine() -> Engine:
    """Return the first program of the ladder that is there."""
    if program := shutil.which("dot"):
        return Engine(program, pure=False)
    scripts = sysconfig.get_path("scripts")
    if program := shutil.which(PURE, path=scripts) or shutil.which(PURE):
        return Engine(program, pure=True)
    raise MissingDependencyError(
        f"There is no program to lay out a picture. Run pip install {PURE}, or {INSTALL}. "
        "A .dot file needs neither."
    )


def lay_out(source: str, kind: str, *, size: int, timeout: float | None) -> bytes:
    """Run the engine on a DOT source and return the picture."""
    engine = find_engine()
    if engine.pure and kind == "pdf":
        raise MissingDependencyError(
            f"A pdf needs Graphviz's own program dot: {INSTALL}. svg and png work without."
        )
    if engine.pure and kind == "png" and size > style.CROWDED:
        raise ArgumentError(
            f"A png of {size:,} boxes would take {PURE} gigabytes of memory. Write an svg, fold "
            f"the graph with depth=, draw a part of it, or {INSTALL}."
        )
    dots = ["-Gdpi=160"] if kind == "png" else []  # with fewer, the space in "(100, 50)" is lost
    return run([engine.program, f"-T{kind}", *dots], source.encode(), timeout)


def run(command: list[str], source: bytes, timeout: float | None) -> bytes:
    """Run a program of the ladder; leave nothing of it behind, whatever happens."""
    program = Path(command[0]).name
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        process = subprocess.Popen(command, start_new_session=True, **pipes)
    except OSError as error:
        raise GraphError(f"{command[0]} cannot be run: {error.strerror}.") from error
    with process:
        try:
            output, complaint = process.communicate(source, timeout)
        except subprocess.TimeoutExpired:
            raise GraphError(
                f"{program} was not ready after {timeout:g} seconds. Give it more with timeout=, "
                "fold the graph with depth=, draw a part of it, or write a .dot file."
            ) from None
        finally:
            if process.poll() is None:
                _end(process)
    if process.returncode or not output:
        told = complaint.decode(errors="replace").strip()[-500:]
        raise GraphError(f"{program} failed with status {process.returncode}: {told}")
    return output


def _end(process: subprocess.Popen) -> None:
    """End a program, and what it may have started, where the system knows groups of programs."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # it has just ended by itself
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


# ---------------------------------------------------------------- its SVG


_SWAPS = "".join(
    f'svg [{what}="{light}"]{{{what}:{dark}}}'
    for light, dark in style.PALETTE.values()
    for what in ("fill", "stroke")
)
_INK = f"svg text:not([fill]){{fill:{style.PALETTE['ink'][1]}}}"
DARK = f"@media (prefers-color-scheme:dark){{{_SWAPS}{_INK}}}"
TITLED = r'(<g id="([^"]*)" class="(?:node|edge|cluster)\b[^>]*>\s*)<title>[^<]*</title>'


def finish(svg: str, title: str, summary: str, sentences: dict[str, str]) -> str:
    """Make an engine's SVG one that screen readers can read and that knows dark mode."""

    def told(match: re.Match) -> str:
        sentence = sentences.get(match[2])
        return match[0] if sentence is None else f"{match[1]}<title>{escape(sentence)}</title>"

    svg = re.sub(TITLED, told, svg[svg.index("<svg") :])
    svg = re.sub(r'(<g id="graph0"[^>]*>\s*)<title>[^<]*</title>\s*', r"\1", svg, count=1)
    svg = re.sub(rf'(<text\b[^>]*? font-family=)"{style.FONT}"', rf'\1"{style.FONTS}"', svg)
    tag, body = svg.split(">", 1)
    return (
        f'{tag} role="img" aria-labelledby="picture-title picture-summary" '
        f'style="max-width:100%;height:auto">\n'
        f'<title id="picture-title">{escape(title)}</title>\n'
        f'<desc id="picture-summary">{escape(summary)}</desc>\n'
        f"<style>{DARK}</style>{body}"
    )


def with_prefix(svg: str, prefix: str) -> str:
    """Give each id a prefix, so that several pictures can stand in one page."""
    # By functions: re keeps a template, here one for each picture.
    svg = re.sub(r'<\w[^>]*?\sid="', lambda tag: tag[0] + prefix, svg)
    ids = r'(?<=labelledby=")(\S+) (\S+)(?=")'
    return re.sub(ids, lambda two: f"{prefix}{two[1]} {prefix}{two[2]}", svg, count=1)


# ---------------------------------------------------------------- a Digraph that uses all this


class Drawing(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph` that is laid out by the ladder's program and finished as ours.

    Attributes
    ----------
    title, summary : str
        What its SVG tells somebody who does not see it.
    sentences : dict
        The same for each node, edge and cluster, by id.
    size : int
        How many nodes it had when it was made.
    picture : Picture
        What it shows.
    """

    title = "graph"
    summary = ""
    size = 0
    picture: Any = None
    sentences: dict[str, str] = {}  # noqa: RUF012

    @classmethod
    def of(cls, picture: Picture, size: int, **attributes: Any) -> Self:
        """Return an empty drawing of a picture."""
        looks = {"node_attr": style.NODE, "edge_attr": style.EDGE, **attributes}
        drawing = cls("tinygraph", format="svg", **looks)
        drawing.title, drawing.summary, drawing.size = picture.title, picture.summary, size
        drawing.sentences = {box.id: box.sentence for box in picture.boxes}
        drawing.picture = picture
        return drawing

    @property
    def prefix(self) -> str:
        """What keeps its ids apart from those of other pictures in one page."""
        return f"g{hashlib.sha256(self.source.encode()).hexdigest()[:8]}-"

    def _repr_mimebundle_(self, *args: Any, **options: Any) -> dict[str, str]:
        svg = str(self.pipe("svg", encoding="utf-8"))
        return {"image/svg+xml": with_prefix(svg, self.prefix)}

    def copy(self) -> "Drawing":
        """Return a copy that can be changed by itself."""
        other = super().copy()
        vars(other).update({**vars(self), **vars(other)})
        return other

    def pipe(
        self, format: str | None = None, *, encoding: str | None = None,
        timeout: float | None = TIMEOUT,
    ) -> bytes | str:  # fmt: skip
        """Return the picture in a format, as bytes, or as text if an encoding is given.

        Parameters
        ----------
        format : {"svg", "png", "pdf"}, optional
            By default ``self.format``.
        encoding : str, optional
            Of the text, for a format that is text.
        timeout : float, optional
            Seconds that the layout may take; None for no limit.
        """
        kind = format or self.format
        if kind not in FORMATS:
            raise ArgumentError(f"pipe: format {kind!r} is not one of {', '.join(FORMATS)}.")
        output = lay_out(self.source, kind, size=self.size, timeout=timeout)
        if kind == "svg":
            output = finish(output.decode(), self.title, self.summary, self.sentences).encode()
        return output.decode(encoding) if encoding else output

    def render(
        self, filename: Path | str | None = None, directory: Path | str | None = None,
        view: bool = False, cleanup: bool = False, format: str | None = None, *,
        outfile: Path | str | None = None, quiet_view: bool = False,
    ) -> str:  # fmt: skip
        """Save the DOT source and the picture beside it; return the path of the picture.

        The arguments are among those of `graphviz.Digraph.render`.
        """
        if outfile is not None:
            format = format or Path(outfile).suffix[1:]
            filename = filename or Path(outfile).with_suffix(".gv")
        content = self.pipe(format)
        source = self.save(filename, directory=directory)
        target = str(outfile or f"{source}.{format or self.format}")
        write(target, content)  # type: ignore[arg-type]
        if cleanup:
            os.remove(source)
        if view or quiet_view:
            graphviz.view(target, quiet=quiet_view)
        return target
