"""Count the lines of code, and fail where there are more than the design allows.

A line counts if it holds something else than a comment or a docstring.
"""

import ast
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ("tinygraph", "models", "viz")
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
    for folder in PACKAGE:
        inside = sum(count for name, count in files.items() if name.startswith(f"{folder}/"))
        print(f"{inside:6,}  {folder}/")
    core, whole = sum(files[name] for name in CORE), sum(files.values())
    print(f"{core:6,}  tape and Tensor, of at most 800")
    print(f"{whole:6,}  the package, of at most 8,000")
    return int(core > 800 or whole > 8000)


if __name__ == "__main__":
    sys.exit(main())
