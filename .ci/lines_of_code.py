"""Count the lines of code, and fail where there are more than the design allows.

A line counts if it holds something else than a comment or a docstring.
"""

import ast
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ("tinygraph", "models", "viz")
PARTS = ("tinygraph/rules/", "tinygraph/testing/", "tinygraph/", "models/", "viz/")
LIMIT, CORE_LIMIT = 13_400, 800  # docs/design.md says why
CORE = ("tinygraph/tape.py", "tinygraph/tensor.py")
SILENT = {
    tokenize.COMMENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER, tokenize.INDENT,
    tokenize.NEWLINE, tokenize.NL,
}  # fmt: skip


def docstrings(tree: ast.AST) -> set[int]:
    """Return the numbers of the lines that are docstrings."""
    lines = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        text = body[0].value
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            lines.update(range(text.lineno, text.end_lineno + 1))
    return lines


def lines_of_code(path: Path) -> int:
    """Return how many lines of a file are code."""
    lines = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in SILENT:
                lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings(ast.parse(path.read_bytes())))


def main() -> int:
    """Print a line for each folder and each limit; return 1 if one is passed."""
    files = {
        path.relative_to(ROOT).as_posix(): lines_of_code(path)
        for folder in PACKAGE
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    core, whole = sum(files[name] for name in CORE), sum(files.values())
    for part in PARTS:
        inside = [name for name in files if name.startswith(part)]
        print(f"{sum(files.pop(name) for name in inside):6,}  {part}")
    print(f"{core:6,}  tape and Tensor, of at most {CORE_LIMIT}")
    print(f"{whole:6,}  the package, of at most {LIMIT:,}")
    return int(core > CORE_LIMIT or whole > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
