"""Stored verdicts: an answer is graded once, and again as soon as anything that matters to it has changed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stillhouse.journal.journal import Journal
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params.files import parse
from stillhouse.params.teacher import Price, Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import Constraint, Message, Query, Response, Verdict
from stillhouse.verify import checks, demands, facts, judge
from stillhouse.verify.code import check as code
from stillhouse.verify.code import sandbox
from stillhouse.verify.facts import Facts
from stillhouse.verify.grade import Grader
from stillhouse.verify.pool import Pool
from stillhouse.verify.rules import ifeval, math
from stillhouse.verify.stored import Stored
from tests.verify.verify_builder import (
    ScriptedJudge,
    code_query,
    golden,
    make_query,
    make_response,
    make_verify,
)

JUDGE = parse(
    Teacher,
    {
        "label": "made judge",
        "engine": "openai",
        "model": "made",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
    },
    "spec",
)
MATH = make_query("math", ground_truth="7")
CODE = code_query(golden("code")[0])
CPP = make_query("code", language="cpp", tests=CODE.tests)
RULES = make_query("if", constraints=[Constraint(id="punctuation:no_comma")])
DEMAND = make_query(
    "if", constraints=[Constraint(id=demands.DEMAND, kwargs={"demand": "It is short."})]
)
CHAT = make_query("other", "How do I make tea?")
SCIENCE = make_query("science", "Why?", ground_truth="Air scatters blue light")
QUERIES = {
    "math": MATH,
    "python": CODE,
    "cpp": CPP,
    "rules": RULES,
    "demand": DEMAND,
    "chat": CHAT,
    "science": SCIENCE,
}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as opened:
        yield opened


def graded(
    journal: Journal,
    work: Callable[[Grader], Awaitable[Any]],
    judge: Any = None,
    verify: Verify | None = None,
    price: Price | None = None,
) -> Any:
    async def run() -> Any:
        params = verify or make_verify()
        stored = Stored(journal, Facts(params, None if judge is None else JUDGE))
        grader = Grader(params, judge, workers=1, price=price, stored=stored)
        try:
            return await work(grader)
        finally:
            await grader.close()

    return asyncio.run(run())


def verdicts(
    pairs: list[tuple[Query, Response]],
) -> Callable[[Grader], Awaitable[list[Verdict]]]:
    async def work(grader: Grader) -> list[Verdict]:
        return [await grader.grade(*pair) for pair in pairs]

    return work


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was graded")

    for name in ("run", "run_sandboxed"):
        monkeypatch.setattr(Pool, name, refuse)


def test_the_second_time_verdicts_are_looked_up(
    journal: Journal, request: pytest.FixtureRequest
) -> None:
    asked = [
        (MATH, make_response(MATH, "It is 7.")),
        (MATH, make_response(MATH, "It is 8.")),
        (RULES, make_response(RULES, "No comma here")),
        (CHAT, make_response(CHAT, "Boil water.")),
        (CHAT, make_response(CHAT, "")),
        (CHAT, make_response(CHAT, "Boil", "length")),
    ]
    price = Price(prompt=1e6, completion=2e6)
    first = graded(journal, verdicts(asked), ScriptedJudge("4"), price=price)
    assert {verdict.state for verdict in first} == {"pass", "fail"}
    assert first[3].cost == 9.0  # three questions of one token each way
    request.getfixturevalue("no_workers")
    silent = ScriptedJudge("0")
    assert graded(journal, verdicts(asked), silent, price=price) == first

    async def known(grader: Grader) -> Any:
        found = grader.known(asked)
        return found, grader.judge_replies, grader.judge_prompt_tokens

    assert graded(journal, known, silent, price=price) == (first, 4, 4)
    assert silent.requests == []
    groups = {group["model"]: group["answers"] for group in journal.stats()["groups"]}
    assert groups == {"math_rule": 1, "math_rule+judge_math": 1, "ifeval": 1, "judge_reward": 1}


def test_another_teachers_same_answer_has_the_same_verdict_under_its_own_name(
    journal: Journal, request: pytest.FixtureRequest
) -> None:
    response = make_response(MATH, "It is 7.")
    (first,) = graded(journal, verdicts([(MATH, response)]))
    request.getfixturevalue("no_workers")
    other = msgspec.structs.replace(response, id="other", teacher="other", attempt=3, think="Hm.")
    (second,) = graded(journal, verdicts([(MATH, other)]))
    assert second == msgspec.structs.replace(first, response_id="other")


def test_a_threshold_is_applied_to_what_is_stored(
    journal: Journal, request: pytest.FixtureRequest
) -> None:
    asked = [(CHAT, make_response(CHAT, "Boil water."))]
    (high,) = graded(journal, verdicts(asked), ScriptedJudge("3"))
    request.getfixturevalue("no_workers")
    (low,) = graded(journal, verdicts(asked), ScriptedJudge("3"), make_verify(threshold=0.5))
    assert [(v.state, v.score, v.reason) for v in (high, low)] == [
        ("fail", 0.75, "low_mark"),
        ("pass", 0.75, None),
    ]


class AwayThenBack:
    """A judge double that cannot be reached at first."""

    def __init__(self) -> None:
        self.away = True

    async def complete(self, request: Request) -> Completion:
        if self.away:
            raise EngineError("connection refused")
        return Completion(text="4", finish_reason="stop", prompt_tokens=1, completion_tokens=1)


def test_trouble_of_the_machine_is_not_stored(journal: Journal) -> None:
    asked = [(CHAT, make_response(CHAT, "Boil water."))]
    double = AwayThenBack()
    (away,) = graded(journal, verdicts(asked), double)
    assert (away.state, away.reason) == ("ungradable", "judge_unavailable")
    assert journal.stats()["answers"] == 0
    double.away = False
    (back,) = graded(journal, verdicts(asked), double)
    assert back.state == "pass"
    assert journal.stats()["answers"] == 1


def test_content_is_stored(journal: Journal, request: pytest.FixtureRequest) -> None:
    asked = [(CHAT, make_response(CHAT, "Tea."))]
    (first,) = graded(journal, verdicts(asked), ScriptedJudge("great"))
    assert first.reason == "judge_noncompliant"
    request.getfixturevalue("no_workers")
    silent = ScriptedJudge("4")
    assert graded(journal, verdicts(asked), silent) == [first]
    assert silent.requests == []


def changed_keys(change: Callable[[], tuple[Verify, Teacher | None]]) -> set[str]:
    """Return for which queries a change gives another key."""

    def keys(verify: Verify, spec: Teacher | None) -> dict[str, bytes]:
        found = Facts(verify, spec)
        return {
            name: found.key(query, make_response(query, "It is 7."))
            for name, query in QUERIES.items()
        }

    before = keys(make_verify(), JUDGE)
    after = keys(*change())
    return {name for name in QUERIES if before[name] != after[name]}


JUDGED = {"math", "science", "demand", "chat"}
CODES = {"python", "cpp"}


@pytest.mark.parametrize(
    ("target", "name", "regraded"),
    [
        (math, "VERSION", {"math"}),
        (code, "VERSION", CODES),
        (ifeval, "VERSION", {"rules", "demand"}),
        (demands, "VERSION", {"demand"}),
        (judge, "VERSION", JUDGED),
        (facts, "GRADING_VERSION", set(QUERIES)),
    ],
)
def test_a_version_is_a_reason_to_grade_again_what_it_is_of(
    target: Any, name: str, regraded: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def change() -> tuple[Verify, Teacher]:
        monkeypatch.setattr(target, name, "another")
        return make_verify(), JUDGE

    assert changed_keys(change) == regraded


def test_what_is_installed_matters_to_what_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_compiler() -> tuple[Verify, Teacher]:
        monkeypatch.setattr(facts, "_compiler", lambda: "g++ 99")
        return make_verify(), JUDGE

    assert changed_keys(with_compiler) == {"cpp"}
    monkeypatch.undo()

    def with_interpreter() -> tuple[Verify, Teacher]:
        monkeypatch.setattr(sandbox, "interpreter_version", lambda: "3.99")
        return make_verify(), JUDGE

    assert changed_keys(with_interpreter) == CODES
    monkeypatch.undo()

    def with_mpmath() -> tuple[Verify, Teacher]:
        installed = facts.version
        monkeypatch.setattr(
            facts, "version", lambda name: "99" if name == "mpmath" else installed(name)
        )
        return make_verify(), JUDGE

    assert changed_keys(with_mpmath) == {"math"}


def test_parameters_and_the_judge_matter_where_they_speak() -> None:
    verify = make_verify()
    limits = verify.code.model_copy(update={"test_seconds": 1.0})
    assert changed_keys(lambda: (verify.model_copy(update={"code": limits}), JUDGE)) == CODES
    seconds = verify.model_copy(update={"item_cpu_seconds": 1.0})
    assert changed_keys(lambda: (seconds, JUDGE)) == set(QUERIES)
    other = JUDGE.model_copy(update={"model": "another"})
    assert changed_keys(lambda: (verify, other)) == JUDGED
    assert changed_keys(lambda: (verify, None)) == JUDGED
    label = JUDGE.model_copy(update={"label": "renamed", "license": "apache-2.0"})
    assert changed_keys(lambda: (verify, label)) == set()
    assert changed_keys(lambda: (make_verify(threshold=0.1), JUDGE)) == set()
    for name in ("math", "science"):
        never = verify.judge.model_copy(update={name: "never"})
        policy = verify.model_copy(update={"judge": never})
        assert changed_keys(lambda policy=policy: (policy, JUDGE)) == {name}


def test_query_and_answer_are_in_the_key() -> None:
    found = Facts(make_verify(), JUDGE)
    response = make_response(CODE, "x")
    system = Message(role="system", content="Be brief.")
    queries = [
        CODE,
        *(
            msgspec.structs.replace(CODE, **change)
            for change in (
                {"setup": "import math"},
                {"entry_point": "sub"},
                {"tests": CODE.tests[:1]},
                {"language": "cpp"},
                {"ground_truth": "7"},
                {"messages": [system, *CODE.messages]},
                {"category": "math"},
            )
        ),
    ]
    keys = [found.key(query, response) for query in queries]
    keys += [found.key(CODE, make_response(CODE, text)) for text in ("y", "x ", "", "\ud800")]
    keys.append(found.key(CODE, make_response(CODE, "x", "length")))
    assert len(set(keys)) == len(keys)
    unread = msgspec.structs.replace(CODE, source="other", license="mit", id="0" * 32)
    assert found.key(unread, response) == keys[0]


def test_the_facts_name_all_that_the_verdict_depends_on() -> None:
    found = Facts(make_verify(), JUDGE).of(MATH)
    assert found["rule"] == math.VERSION
    assert found["grading"] == checks.GRADING_VERSION
    assert all(found["packages"].values())
    assert set(found["packages"]) == {"mpmath"}
    of_code = Facts(make_verify(), JUDGE).of(CPP)
    assert of_code["limits"]["isolation"] == "bubblewrap"
    assert of_code["interpreter"].startswith("3.")
    assert "g++" in of_code["compiler"]
    assert all(Facts(make_verify(), JUDGE).of(RULES)["packages"].values())


def test_a_verdict_of_an_older_layout_is_read(journal: Journal) -> None:
    # As it was written before a check had the field `answer`.
    old = (
        b'{"checks":[{"verifier":"math_rule","version":"3","state":"pass","score":1.0,'
        b'"reason":null,"evidence":"7 against 7"}],"judge_replies":1}'
    )
    response = make_response(MATH, "It is 7.")
    stored = Stored(journal, Facts(make_verify(), None))
    key = stored.key(MATH, response)
    asyncio.run(journal.put(key, old, purpose="verdict", model="math_rule"))
    found = stored.get(key)
    assert found is not None
    assert (found.checks[0].answer, found.checks[0].score, found.judge_replies) == (None, 1.0, 1)
    (verdict,) = graded(journal, verdicts([(MATH, response)]))
    assert (verdict.state, verdict.checks) == ("pass", found.checks)


def test_the_extracted_answer_is_stored(journal: Journal) -> None:
    response = make_response(MATH, "It is 7.")
    (first,) = graded(journal, verdicts([(MATH, response)]))
    assert first.checks[0].answer == "7"
    assert graded(journal, verdicts([(MATH, response)])) == [first]
