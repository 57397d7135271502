"""How many planted copies of public benchmarks are found, by the change, and how many unrelated queries are hit.

The files are no part of the project: `../shared/data`, or what STILLHOUSE_SHARED_DATA names. `pytest -m slow -s` prints
the whole table; the quick test takes every sixth item.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.params.load import load_run
from stillhouse.queries.decontaminate import BenchmarkIndex, Reference
from stillhouse.queries.text import words
from tests.queries.query_builder import make_query

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("STILLHOUSE_SHARED_DATA", ROOT / "../shared/data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no public data in {DATA}")
BENCHMARKS = ("math500.jsonl", "aime24.jsonl", "aime25.json", "amc23.jsonl", "humaneval.jsonl")
UNRELATED = ("svamp", "asdiv", "mawps", "mmlu_stem", "college_math", "aqua", "mbpp", "ifeval")
REAL = 6  # MATH-500 items in mmlu_stem, word for word
MOST_FALSE = 5
SYNONYMS = {
    "find": "determine",
    "Find": "Determine",
    "What": "Which",
    "number": "count",
    "value": "result",
    "Let": "Suppose",
    "such": "so",
    "the": "this",
    "of": "for",
    "How": "how",
}
Change = Callable[[str], str | None]


def without_latex(text: str) -> str:
    text = re.sub(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)", text)
    return re.sub(r"\\(?:left|right|[,;!\[\]])|\$", "", text)


def reordered(text: str) -> str | None:
    first, *rest = re.split(r"(?<=[.?!])\s+", text)
    return " ".join([*rest, first]) if rest else None


def every(n: int) -> Change:
    def change(text: str) -> str:
        parts = text.split(" ")
        return " ".join(
            "zq" if i % n == n - 1 and word.isalpha() else word for i, word in enumerate(parts)
        )

    return change


def of_eight_words(change: Change) -> Change:
    def changed(text: str) -> str | None:
        new = change(text)
        return new if new and len(words(new)) >= 8 else None

    return changed


def half(text: str, second: bool = False) -> str:
    parts = text.split(" ")
    middle = len(parts) // 2
    return " ".join(parts[middle:] if second else parts[:middle])


# By change: the share that must be found.
CHANGES: dict[str, tuple[float, Change]] = {
    "verbatim": (0.95, lambda text: text),
    "upper case, double spaces": (0.95, lambda text: text.upper().replace(" ", "  ")),
    "Please solve: (8 words or more)": (
        0.95,
        lambda text: f"Please solve: {text}" if len(words(text)) >= 8 else None,
    ),
    "20 words before": (0.95, lambda text: f"{'Please think it through. ' * 5}{text}"),
    "60 words around": (0.95, lambda text: f"{'You get a task. ' * 9}{text}{' Explain it.' * 12}"),
    "LaTeX stripped": (0.95, without_latex),
    r"$ as \(": (0.95, lambda text: re.sub(r"\$([^$]*)\$", r"\\(\1\\)", text)),
    "sentences in another order": (0.95, reordered),
    "first half (8 words left)": (0.95, of_eight_words(half)),
    "second half (8 words left)": (0.95, of_eight_words(lambda text: half(text, second=True))),
    "synonyms": (0.85, lambda text: " ".join(SYNONYMS.get(w, w) for w in text.split(" "))),
    "every 12th word changed": (0.85, every(12)),
    "every 8th word changed": (0.85, every(8)),
}


def texts(path: Path) -> list[str]:
    """Return the questions of a file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [question(row) for row in rows]


def question(row: dict[str, str]) -> str:
    for body, ask in (("Body", "Question"), ("body", "question")):
        if body in row:
            return f"{row[body]} {row[ask]}"
    return next(
        row[key] for key in ("problem", "question", "prompt", "input", "text") if key in row
    )


@pytest.fixture(scope="module")
def benchmarks() -> dict[str, list[str]]:
    return {name: texts(DATA / "benchmarks" / name) for name in BENCHMARKS}


@pytest.fixture(scope="module")
def index(benchmarks: dict[str, list[str]]) -> BenchmarkIndex:
    """All items, compared with the parameters of the paper profile."""
    references = [
        Reference(name, str(i), text)
        for name, items in benchmarks.items()
        for i, text in enumerate(items)
    ]
    rules = load_run(ROOT / "profiles/paper").queries.decontaminate
    return BenchmarkIndex(references, rules)


@needs_data
@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_copies_are_found(
    benchmarks: dict[str, list[str]], index: BenchmarkIndex, step: int
) -> None:
    too_low = {}
    for name, (least, change) in CHANGES.items():
        hits: dict[str, list[bool]] = {}
        for benchmark, items in benchmarks.items():
            changed = [(text, change(text)) for text in items[::step]]
            hits[benchmark] = [
                index.strongest(make_query(new)) is not None
                for text, new in changed
                if new and (name == "verbatim" or new != text)
            ]
        together = [hit for found in hits.values() for hit in found]
        share = sum(together) / len(together)
        cells = ", ".join(f"{sum(found)}/{len(found)}" for found in hits.values())
        print(f"{name}: {share:.1%} ({cells})")
        if share < least:
            too_low[name] = share
    assert too_low == {}


@needs_data
@pytest.mark.slow
def test_unrelated_queries_are_not_hit(index: BenchmarkIndex) -> None:
    counts = {}
    for name in UNRELATED:
        found = [
            index.strongest(make_query(text)) for text in texts(DATA / f"queries/{name}.jsonl")
        ]
        counts[name] = sum(hit is not None for hit in found)
    print(counts)
    assert REAL <= sum(counts.values()) <= REAL + MOST_FALSE
