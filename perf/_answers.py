"""Answers to grade, made by seed: what the measurements of verification share."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stillhouse.params.load import load_run
from stillhouse.params.verify import Verify
from stillhouse.records import CodeTest, Message, Query, Response

WORDS = ["so", "we", "add", "both", "sides", "then", "divide", "by", "the", "factor", "and", "see"]
REASONING_WORDS = 300


def verify_params() -> Verify:
    """The parameters of verification of the committed params.yaml."""
    return load_run(Path(__file__).parents[1]).verify


def timed(function: Callable[[], None]) -> float:
    """Return the seconds that a function takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def pair(number: int, category: Any, answer: str, **fields: Any) -> tuple[Query, Response]:
    """Return a query and a response to it."""
    name = f"{number:032x}"
    query = Query(
        id=name,
        category=category,
        source="benchmark",
        license="apache-2.0",
        messages=[Message(role="user", content="?")],
        **fields,
    )
    response = Response(
        id=name,
        query_id=name,
        teacher="benchmark",
        attempt=0,
        seed=number,
        think="",
        answer=answer,
        frame=["", ""],
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        fingerprint="none",
    )
    return query, response


def math(count: int) -> Iterator[tuple[Query, Response]]:
    """Yield answers with a boxed result after some words: of five families, a third of them wrong.

    No right result is written as its reference is, so that each has to be parsed.
    """
    draw = random.Random(0)
    for number in range(count):
        a, b, c = (draw.randint(2, 99) for _ in range(3))
        off = number % 3 == 0
        truth, said = [
            (str(a * b + c), f"{a * b + c + off}.0"),
            (f"\\frac{{{a}}}{{{b}}}", f"\\frac{{{a * c}}}{{{b * c + off}}}"),
            (f"x^2 + {a + b}x + {a * b}", f"(x + {a})(x + {b + off})"),
            (f"{a}\\sqrt{{2}}", f"\\sqrt{{{2 * a * a + off}}}"),
            (f"({a}, {b})", f"\\left({a}, {b + off} \\right)"),
        ][number % 5]
        words = " ".join(draw.choices(WORDS, k=REASONING_WORDS))
        yield pair(number, "math", f"{words}\n\nIt is $\\boxed{{{said}}}$.", ground_truth=truth)


ADD = "Add them.\n\n```python\ndef add(a, b):\n    total = a + b\n    return total\n```\n"


def code(count: int, tests: int) -> Iterator[tuple[Query, Response]]:
    """Yield programs, each with so many asserts."""
    asserts = [CodeTest(kind="assert", code=f"assert add({i}, 2) == {i + 2}") for i in range(tests)]
    for number in range(count):
        yield pair(number, "code", ADD, language="python", entry_point="add", tests=asserts)
