"""Write docs/reference/benchmarks.md from the benchmarks and their results, so that no figure is typed by hand.

Usage: python tools/benchmarks_reference.py
"""

import ast
import json
from pathlib import Path
from typing import Any

BENCHMARKS = Path("benchmarks")
PAGE = Path("docs/reference/benchmarks.md")

HEAD = """# Benchmarks

Made by `python tools/benchmarks_reference.py`; do not edit by hand.

Each measures us and a peer, or a physical limit, in one run: `make bench NAME=x` runs `benchmarks/x.py` and writes
`benchmarks/results/x.json`. A ratio at or above its goal is good. Rates are those of two cores of whatever machine ran
the benchmark, not of one machine for all.
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(map(_section, sorted(BENCHMARKS.glob("results/*.json"))))


def _section(path: Path) -> str:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    name, ratio, goal = (result.pop(key) for key in ("name", "ratio", "goal"))
    rows = "".join(f"| {_words(key)} | {_shown(value)} |\n" for key, value in result.items())
    return (
        f"\n## {name}\n\n{_about(name)}\n\n| | |\n|---|---|\n"
        f"| **ratio** | **{ratio:g}**, goal {goal:g} |\n{rows}"
    )


def _about(name: str) -> str:
    """Return the first paragraph of a benchmark's docstring."""
    module = ast.parse((BENCHMARKS / f"{name}.py").read_text(encoding="utf-8"))
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
