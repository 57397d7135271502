import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stillhouse.generate import view as view_module
from stillhouse.generate.loop import LoopAttempt, Stop, Walk
from stillhouse.generate.tally import WalkTally
from stillhouse.generate.view import View
from stillhouse.models.engine import OneRequestError, UnansweredError
from stillhouse.params.teacher import Price
from stillhouse.records import Category, Message, Query, Response
from tests.doubles.scripted_engine import said


def walk(
    name: str,
    category: Category,
    stop: Stop,
    *answers: str,
    latency: float = 1.0,
    ungradable: tuple[str, ...] = (),
    error: OneRequestError | None = None,
) -> Walk:
    """Return a walk over answers. One that ends with - was cut, with ! filtered. Tokens are 5 and the words."""
    query = Query(
        id=name,
        category=category,
        source="s",
        license="mit",
        messages=[Message(role="user", content=name)],
    )
    attempts = []
    for number, text in enumerate(answers):
        finish = {"-": "length", "!": "content_filter"}.get(text[-1], "stop")
        completion = said(text, finish)
        completion = msgspec.structs.replace(completion, latency_seconds=latency * (number + 1))
        response = Response(
            id=f"{name}{number}",
            query_id=name,
            teacher="t",
            attempt=number,
            seed=number,
            think="",
            answer=text,
            frame=["", ""],
            finish_reason=completion.finish_reason,
            prompt_tokens=5,
            completion_tokens=completion.completion_tokens,
            fingerprint="f",
        )
        attempts.append(LoopAttempt(completion, response, "<think>" in text))
    return Walk(query, attempts, stop, list(ungradable), error)


FAILED = UnansweredError("http://h/v1: HTTP 500: grammar", "HTTP 500")
WALKS = [
    walk("a", "math", "accepted", "4"),
    walk("b", "math", "accepted", "cut off -", "it is 4"),
    walk(
        "c", "math", "max_attempts", "no", "<think>no", "no!", ungradable=("too_complex", "unread")
    ),
    walk("d", "code", "accepted", "def f -", "def f(): ..."),
    walk("e", "code", "failed", ungradable=("judge_unavailable",), error=FAILED),
]


def tally(walks: list[Walk], price: Price | None = None) -> WalkTally:
    found = WalkTally(price)
    for one in walks:
        found.add(one)
    return found


def test_the_metrics_count_what_happened():
    metrics = tally(WALKS, Price(prompt=1e6, completion=1e6)).metrics()
    assert metrics == {
        "queries": 5,
        "attempts": 8,
        "accepted": 3,
        "unanswered": 1,
        "truncated": 2,
        "truncation_rate": 0.25,
        "stray_marks": 1,
        "attempts_by_finish": {"content_filter": 1, "length": 2, "stop": 5},
        "errors_by_reason": {"HTTP 500": 1},
        "prompt_tokens": 40,
        "completion_tokens": 16,
        "cost": 56.0,
        "queries_by_attempts": {"0": 1, "1": 1, "2": 2, "3": 1},
        "ungradable": 3,
        "ungradable_by_kind": {
            "content": {"too_complex": 1, "unread": 1},
            "machine": {"judge_unavailable": 1},
        },
        "queries_by_stop": {"accepted": 3, "failed": 1, "max_attempts": 1},
        "accepted_by_attempt": {"0": 1, "1": 2},
        "by_attempt": {
            "0": {"asked": 4, "accepted": 1, "truncated": 2, "pass_rate": 0.25},
            "1": {"asked": 3, "accepted": 2, "truncated": 0, "pass_rate": 0.6667},
            "2": {"asked": 1, "accepted": 0, "truncated": 0, "pass_rate": 0.0},
        },
        "by_category": {
            "math": {
                "queries": 3,
                "attempts": 6,
                "accepted": 2,
                "by_attempt": {
                    "0": {"asked": 3, "accepted": 1, "truncated": 1, "pass_rate": 0.3333},
                    "1": {"asked": 2, "accepted": 1, "truncated": 0, "pass_rate": 0.5},
                    "2": {"asked": 1, "accepted": 0, "truncated": 0, "pass_rate": 0.0},
                },
            },
            "code": {
                "queries": 2,
                "attempts": 2,
                "accepted": 1,
                "by_attempt": {
                    "0": {"asked": 1, "accepted": 0, "truncated": 1, "pass_rate": 0.0},
                    "1": {"asked": 1, "accepted": 1, "truncated": 0, "pass_rate": 1.0},
                },
            },
        },
    }


def test_the_order_of_the_walks_changes_no_metric():
    price = Price(prompt=0.1, completion=0.7)
    expected = tally(WALKS, price).metrics()
    for seed in range(5):
        shuffled = random.Random(seed).sample(WALKS, len(WALKS))
        assert tally(shuffled, price).metrics() == expected


def test_no_walk_at_all_has_no_rates():
    metrics = tally([]).metrics()
    assert (metrics["queries"], metrics["truncation_rate"], metrics["cost"]) == (0, None, None)


def test_latency_quantiles():
    walks = [walk(f"q{n}", "math", "accepted", "4", latency=float(n)) for n in range(1, 101)]
    assert tally(walks).latency() == {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert tally([]).latency() is None


class Clock:
    """A double of the `time` module."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_the_view_shows_rates_of_the_last_minute(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(view_module, "time", clock)
    loop: Any = SimpleNamespace(tokens=0, cost=None, in_flight=0)
    model: Any = SimpleNamespace(asked=0, hits=0, engine=None)
    found = WalkTally()
    view = View(loop, found, model, Counter(math=103, code=2))
    assert view.figures().line.endswith("to go -")
    for one in WALKS[:3]:
        found.add(one)
    loop.tokens, loop.cost, loop.in_flight, model.hits, model.asked = 6000, 1.5, 8, 1000, 6
    clock.now = 30.0
    figures = view.figures()
    assert figures.line == (
        "accepted 67%, ungradable 2 content, 1 content_filter, 200 tok/s, 8 in flight, asked 6, "
        "from the journal 1,000, 6,000 tokens, $1.50, to go 17 min 00 s"  # 102 queries at 3 in 30 s
    )
    assert figures.table == [
        ("category", "queries", "walked", "accepted", "to go"),
        ("code", "2", "0", "-", "-"),
        ("math", "103", "3", "67%", "16 min 40 s"),
    ]
    for one in WALKS[3:]:
        found.add(one)
    clock.now = 60.0
    view.figures()
    clock.now = 119.0
    view.figures()
    found.add(walk("f", "math", "accepted", "4"))
    clock.now = 120.0
    figures = view.figures()
    assert figures.table[1] == ("code", "2", "2", "50%", "done")
    # Of the last minute: one walked in 60 s, 99 left.
    assert figures.table[2][-1] == "1 h 39 min"
