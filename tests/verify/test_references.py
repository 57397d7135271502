"""A query may have several references: an answer is right if it matches one of them."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.benchmark.grade import StudentGrader
from stillhouse.benchmark.items import Item
from stillhouse.models.engine import Completion
from stillhouse.params.files import parse
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import Check, Query, State, Verdict, ground_truth_of, references_of
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.facts import Facts
from stillhouse.verify.grade import Grader, judge_requests
from stillhouse.verify.references import deciding
from tests.verify.verify_builder import ScriptedJudge, make_query, make_response, make_verify


@given(st.lists(st.text(min_size=1), min_size=1))
def test_references_come_back(references: list[str]) -> None:
    if len(set(references)) > 1 or not references[0].startswith('{"any_of":['):
        assert references_of(ground_truth_of(references)) == list(dict.fromkeys(references))


@pytest.mark.parametrize(
    "text", ["7", '["a", "b"]', "[1, 2]", '{"any_of": 1}', '{"any_of":[', '{"any_of":[]}', ""]
)
def test_one_reference_is_never_taken_for_several(text: str) -> None:
    assert ground_truth_of([text]) == text
    assert references_of(text) == [text]


def test_the_written_form_is_plain_json() -> None:
    assert ground_truth_of(["1/2", "0.5", "1/2"]) == '{"any_of":["1/2","0.5"]}'


def graded(
    query: Query, answers: list[str], judge: Any = None, verify: Verify | None = None
) -> list[Verdict]:
    async def run() -> list[Verdict]:
        grader = Grader(verify or make_verify(), judge, workers=1)
        try:
            return [await grader.grade(query, make_response(query, text)) for text in answers]
        finally:
            await grader.close()

    return asyncio.run(run())


@pytest.mark.parametrize("category", ["math", "science"])
def test_any_of_them_passes_and_another_fails(category: str) -> None:
    query = make_query(category, ground_truth=ground_truth_of(["12", "21"]))
    found = graded(query, ["It is 12.", "It is 21.", "It is 13."])
    assert [verdict.state for verdict in found] == ["pass", "pass", "fail"]
    assert [verdict.checks[0].answer for verdict in found] == ["12", "21", "13"]


def test_the_judge_reads_all_of_them() -> None:
    query = make_query("math", ground_truth=ground_truth_of(["12", "21"]))
    verify = make_verify()
    verify = verify.model_copy(update={"judge": verify.judge.model_copy(update={"math": "any_no"})})
    judge = ScriptedJudge("yes")
    (verdict,) = graded(query, ["It is 13."], judge, verify)
    assert verdict.verifier == "judge_math"
    (request,) = judge.requests
    assert "Reference: Any one of these:\n- 12\n- 21\n" in request.messages[-1].content
    assert judge_requests(verify, query, "It is 13.") == [request]


def check(state: State, reason: Reason | None) -> Check:
    score = {"pass": 1.0, "fail": 0.0, "ungradable": None}[state]
    return make_check("made", "1", score, reason, "")


PASS, FAIL = check("pass", None), check("fail", "wrong_answer")
UNREAD, TROUBLE = check("ungradable", "unread"), check("ungradable", "timeout")


@pytest.mark.parametrize(
    ("checks", "decides"),
    [
        ([FAIL, PASS], PASS),
        ([TROUBLE, PASS], PASS),
        ([FAIL, TROUBLE, UNREAD], TROUBLE),
        ([FAIL, UNREAD], UNREAD),
        ([FAIL, None, UNREAD], None),
        ([FAIL, FAIL], FAIL),
        ([None], None),
    ],
)
def test_a_fail_needs_every_reference_to_be_compared(
    checks: list[Check | None], decides: Check | None
) -> None:
    assert deciding(checks) is decides


def test_a_student_is_graded_alike() -> None:
    item = Item("1", "own", "Which?", ground_truth_of(["12", "21"]))

    async def scores() -> list[float]:
        grader = StudentGrader(10.0, 1)
        try:
            return [
                (await grader.grade(item, completion(text))).strict
                for text in ("It is 21.", "It is 13.")
            ]
        finally:
            await grader.close()

    assert asyncio.run(scores()) == [1.0, 0.0]


def completion(text: str) -> Completion:
    return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)


def test_one_reference_keeps_its_id_and_several_have_another_key() -> None:
    one, two = (make_query("math", ground_truth=text) for text in ("12", ground_truth_of("ab")))
    assert one.id == two.id
    judge = parse(
        Teacher,
        {
            "label": "made",
            "engine": "openai",
            "model": "made",
            "revision": "none",
            "license": "mit",
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
        },
        "spec",
    )
    facts = Facts(make_verify(), judge)
    keys = {facts.key(query, make_response(query, "It is 12.")) for query in (one, two)}
    assert len(keys) == 2
