"""Write docs/reference/performance.md from perf/ and its results, so that no figure is typed by hand.

Usage: python tools/performance_reference.py
"""

import ast
import json
from pathlib import Path
from typing import Any

PERF = Path("perf")
PAGE = Path("docs/reference/performance.md")

HEAD = """# Performance

Made by `python tools/performance_reference.py`; do not edit by hand.

How fast and how small the code of stillhouse is; benchmarks of students are another thing. Each measurement compares us
with a peer or with a physical limit in one run: `make perf NAME=x` runs `perf/x.py` and writes `perf/results/x.json`.
A ratio at or above its goal is good. Each measurement ran on two cores, but not all ran on the same machine.
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(map(_section, sorted(PERF.glob("results/*.json"))))


def _section(path: Path) -> str:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    name, ratio, goal = (result.pop(key) for key in ("name", "ratio", "goal"))
    rows = "".join(f"| {_words(key)} | {_shown(value)} |\n" for key, value in result.items())
    return (
        f"\n## {name}\n\n{_about(name)}\n\n| | |\n|---|---|\n"
        f"| **ratio** | **{ratio:g}**, goal {goal:g} |\n{rows}"
    )


def _about(name: str) -> str:
    """Return the first paragraph of a measurement's docstring."""
    module = ast.parse((PERF / f"{name}.py").read_text(encoding="utf-8"))
    return str(ast.get_docstring(module)).split("\n\n")[0]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{_words(str(key))}: {_shown(part)}" for key, part in value.items())
        case list():
            return "<br>".join(map(_shown, value))
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
