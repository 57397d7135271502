"""Demands of `if` queries: written once by the judge, then judged one by one, beside what the checkers say."""

import asyncio
from typing import Any

import pytest

from stillhouse.models.engine import Completion, EngineError, RefusedError, Request
from stillhouse.records import Constraint, Query, Verdict
from stillhouse.verify.demands import (
    DEMAND,
    REPLY_TOKENS,
    demands_of,
    parse_demands,
    write_demands,
)
from stillhouse.verify.grade import Grader, judge_requests
from stillhouse.verify.judge import Judge
from tests.verify.verify_builder import ScriptedJudge, make_query, make_response, make_verify

BARE = make_query("if", "Write two lines about rain, without the letter z.")
NO_COMMA = Constraint(id="punctuation:no_comma")
TWO = [Constraint(id=DEMAND, kwargs={"demand": text}) for text in ("Two lines.", "About rain.")]


class RefusingJudge:
    """A judge double that cannot take the request, or is down."""

    def __init__(self, error: EngineError) -> None:
        self._error = error

    async def complete(self, request: Request) -> Completion:
        raise self._error


def written(judge: Judge, max_tokens: int = 8) -> Query | str:
    return asyncio.run(write_demands(judge, BARE, max_tokens))


def grade(query: Query, answer: str, judge: Judge | None) -> Verdict:
    async def run() -> Verdict:
        grader = Grader(make_verify(), judge, workers=1)
        try:
            return await grader.grade(query, make_response(query, answer))
        finally:
            await grader.close()

    return asyncio.run(run())


def with_constraints(*constraints: Constraint) -> Query:
    return make_query("if", BARE.prompt, constraints=list(constraints))


def by_demand(**replies: str) -> ScriptedJudge:
    """Reply by the first word of the demand that the last turn names."""

    def reply(turn: str) -> str:
        demand = turn.rpartition("Demand: ")[2]
        return next(said for word, said in replies.items() if demand.startswith(word))

    return ScriptedJudge(reply)


def test_the_judge_writes_what_becomes_constraints_of_the_query():
    judge = ScriptedJudge("- Two lines.\n- About rain.")
    query = written(judge)
    assert isinstance(query, Query)
    assert query.id == BARE.id
    assert query.constraints == TWO
    assert demands_of(query.constraints) == ["Two lines.", "About rain."]
    assert BARE.prompt in judge.requests[0].messages[-1].content


@pytest.mark.parametrize(("own", "allowed"), [(8, REPLY_TOKENS), (4096, 4096)])
def test_a_judge_may_write_more_than_a_verdict(own, allowed):
    judge = ScriptedJudge("- Two lines.")
    written(judge, own)
    assert judge.requests[0].max_tokens == allowed


def test_a_reply_out_of_form_gives_no_demand():
    assert written(ScriptedJudge("It should be good.")) == "judge_noncompliant"
    cut = Completion(text="- Two li", finish_reason="length", prompt_tokens=1, completion_tokens=3)
    assert parse_demands(cut) is None


def test_a_query_that_the_judge_cannot_take_has_none_and_a_broken_judge_stops_the_run():
    assert written(RefusingJudge(RefusedError("too long"))) == "judge_unavailable"
    with pytest.raises(EngineError, match="down"):
        written(RefusingJudge(EngineError("down")))


@pytest.mark.parametrize(
    ("replies", "state", "score", "reason"),
    [
        ({"Two": "yes", "About": "Yes."}, "pass", 1.0, None),
        ({"Two": "yes", "About": "no"}, "fail", 0.5, "constraints_broken"),
        ({"Two": "no", "About": "no"}, "fail", 0.0, "constraints_broken"),
        ({"Two": "yes", "About": "maybe"}, "ungradable", None, "judge_noncompliant"),
    ],
)
def test_the_score_is_the_share_of_the_demands_that_are_met(replies, state, score, reason):
    verdict = grade(with_constraints(*TWO), "Rain falls.\nIt is wet.", by_demand(**replies))
    assert (verdict.state, verdict.score, verdict.reason) == (state, score, reason)
    assert verdict.verifier == "judge_demands"


def test_without_a_judge_demands_are_ungradable():
    verdict = grade(with_constraints(*TWO), "Rain.", None)
    assert (verdict.state, verdict.reason) == ("ungradable", "no_judge")


def test_a_judge_that_is_down_is_no_fail():
    verdict = grade(with_constraints(*TWO), "Rain.", RefusingJudge(EngineError("down")))
    assert (verdict.state, verdict.reason) == ("ungradable", "judge_unavailable")


@pytest.mark.parametrize(
    ("answer", "replies", "state", "score", "reason"),
    [
        ("Rain falls.", {"Two": "yes", "About": "yes"}, "pass", 1.0, None),
        ("Rain, falls.", {"Two": "yes", "About": "yes"}, "fail", 2 / 3, "constraints_broken"),
        ("Rain falls.", {"Two": "no", "About": "yes"}, "fail", 2 / 3, "constraints_broken"),
        ("Rain, falls.", {"Two": "?", "About": "yes"}, "ungradable", None, "judge_noncompliant"),
    ],
)
def test_checkers_and_judge_share_one_mean(answer, replies, state, score, reason):
    verdict = grade(with_constraints(NO_COMMA, *TWO), answer, by_demand(**replies))
    assert (verdict.state, verdict.reason) == (state, reason)
    assert verdict.score == pytest.approx(score)
    assert [check.verifier for check in verdict.checks] == ["ifeval", "judge_demands"]
    if score is not None:
        assert verdict.verifier == "ifeval+judge_demands"


def test_what_a_plan_counts_is_what_is_asked():
    query = with_constraints(NO_COMMA, *TWO)
    judge: Any = by_demand(Two="yes", About="yes")
    grade(query, "Rain falls.", judge)
    assert judge_requests(make_verify(), query, "Rain falls.") == judge.requests
