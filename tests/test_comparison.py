"""What the page of comparisons says of our own pictures is what the script finds in them."""

import json
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_our_column_is_true():
    command = [sys.executable, DOCS / "compare_pictures.py", "--task", "tinygraph", "task_facts"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    page = (DOCS / "comparison.md").read_text(encoding="utf-8")
    rows = (line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| "))
    said = {row[0]: row[1] for row in rows}
    assert found == {fact: said.get(fact) for fact in found}, "python docs/compare_pictures.py"
