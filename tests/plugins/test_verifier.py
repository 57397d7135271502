"""A verifier of a plugin decides alone, in the pool, and its verdicts are stored under its version."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stillhouse import plugins
from stillhouse.journal.journal import Journal
from stillhouse.params.load import load_run
from stillhouse.plugins import PluginError, Score
from stillhouse.records import Message, Query, Response, Verdict, query_id, response_id
from stillhouse.verify import pool, reward
from stillhouse.verify.code import check as code
from stillhouse.verify.custom import RESERVED, check_custom, find_verifier
from stillhouse.verify.demands import lacks_constraints
from stillhouse.verify.facts import Facts
from stillhouse.verify.grade import Grader, judge_requests
from stillhouse.verify.rules import ifeval, math, science
from stillhouse.verify.stored import Stored

VERIFY = load_run(Path(__file__).resolve().parents[2]).verify
FAST = VERIFY.model_copy(update={"item_cpu_seconds": 1.0})
MESSAGES = [Message(role="user", content="Which day?")]


def make_query(verifier: str | None = "regex", **fields: Any) -> Query:
    values = {"category": "other", "ground_truth": r"\d{4}-\d\d-\d\d"} | fields
    return Query(
        id=query_id(MESSAGES),
        source="days",
        license="mit",
        messages=MESSAGES,
        verifier=verifier,
        **values,
    )


def answered(query: Query, answer: str) -> Response:
    return Response(
        id=response_id(query.id, "t", 0, answer),
        query_id=query.id,
        teacher="t",
        attempt=0,
        seed=1,
        think="",
        answer=answer,
        frame=["", ""],
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        fingerprint="f",
    )


def grade(pairs: list[tuple[Query, str]], stored: Stored | None = None) -> list[Verdict]:
    async def run() -> list[Verdict]:
        grader = Grader(FAST, None, workers=1, stored=stored)
        try:
            return [await grader.grade(query, answered(query, text)) for query, text in pairs]
        finally:
            await grader.close()

    return asyncio.run(run())


@pytest.mark.usefixtures("examples")
def test_it_decides_in_place_of_the_category_s_rule():
    # `math` would fail both, and `if` without constraints would be left to the judge.
    right, wrong, instruction = grade(
        [
            (make_query(category="math"), "It is\n2024-02-29"),
            (make_query(category="math"), "2024-02-29 it is"),
            (make_query(category="if"), "2024-02-29"),
        ]
    )
    assert (right.state, right.verifier, right.score) == ("pass", "regex", 1.0)
    assert right.checks[0].answer == "2024-02-29"
    assert right.checks[0].version == "1"
    assert (wrong.state, wrong.reason) == ("fail", "wrong_answer")
    assert instruction.state == "pass"


@pytest.mark.usefixtures("examples")
def test_a_reference_that_is_none_is_ungradable():
    broken, missing = grade(
        [(make_query(ground_truth="("), "x"), (make_query(ground_truth=None), "x")]
    )
    assert (broken.state, broken.reason) == ("ungradable", "bad_reference")
    assert (missing.state, missing.reason) == ("ungradable", "no_reference")


@pytest.mark.usefixtures("examples")
def test_it_has_the_limits_of_every_check():
    endless = make_query(ground_truth="(a+)+b")
    stopped, after = grade([(endless, "a" * 60), (make_query(), "2024-02-29")])
    assert (stopped.state, stopped.reason) == ("ungradable", "too_complex")
    assert after.state == "pass"


@pytest.mark.usefixtures("examples")
def test_no_judge_is_asked_about_such_a_query():
    assert judge_requests(VERIFY, make_query(category="other"), "x") == []
    assert judge_requests(VERIFY, make_query(None), "x") != []
    assert not lacks_constraints(make_query(category="if"))
    assert lacks_constraints(make_query(None, category="if"))


@pytest.mark.usefixtures("examples")
def test_a_verdict_is_stored_under_version_and_file(tmp_path, monkeypatch):
    query = make_query()
    regex = plugins.find("verifier", "regex", "test")
    with Journal.open(tmp_path) as journal:

        def key() -> bytes:
            return Facts(VERIFY, None).key(query, answered(query, "2024-02-29"))

        stored = Stored(journal, Facts(VERIFY, None))
        (verdict,) = grade([(query, "2024-02-29")], stored)
        known = stored.get(key())
        assert known is not None
        assert known.checks == verdict.checks
        first = key()
        monkeypatch.setattr(regex, "version", "2")
        second = key()
        monkeypatch.setattr(regex, "file_sha256", "of an edited file")
        assert len({first, second, key()}) == 3
        assert stored.get(second) is None


@pytest.mark.usefixtures("examples")
def test_all_of_the_query_is_in_the_key():
    def key(**fields: Any) -> bytes:
        query = make_query(**fields)
        return Facts(VERIFY, None).key(query, answered(query, "x"))

    keys = {key(), key(ground_truth="a"), key(category="math"), key(verifier=None)}
    assert len(keys) == 4


def test_the_reserved_names_are_those_of_our_verifiers():
    modules = (code, ifeval, math, pool, reward, science)
    assert {"answer"} | {module.NAME for module in modules} == RESERVED


@pytest.mark.parametrize("name", ["math_rule", "judge_mine"])
def test_a_name_of_ours_is_refused(name):
    plugins.verifier(name, version="1")(a_score)
    with pytest.raises(PluginError, match="use another name"):
        find_verifier(name)


def test_an_unknown_verifier_ends_the_run_with_its_name():
    with pytest.raises(PluginError, match="no plugin registers the verifier 'nobody'"):
        grade([(make_query("nobody"), "x")])


def a_score(query: Query, answer: str) -> Any:
    return RESULTS[answer]


RESULTS: dict[str, Any] = {
    "half": Score(0.5),
    "yes": Score(True),
    "none": Score(None),
    "empty": Score(0.0, "no_final_answer", "nothing there"),
    "long": Score(1.0, evidence="e" * 9999, answer="a" * 9999),
}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("half", ("fail", 0.5, "wrong_answer")),
        ("yes", ("pass", 1.0, None)),
        ("none", ("ungradable", None, "not_comparable")),
        ("empty", ("fail", 0.0, "no_final_answer")),
        ("long", ("pass", 1.0, None)),
    ],
)
def test_what_a_score_becomes(answer, expected):
    check = check_custom(a_score, "mine", "3", make_query(), answer)
    assert (check.state, check.score, check.reason) == expected
    assert (check.verifier, check.version) == ("mine", "3")
    assert len(check.evidence or "") <= 400
    assert len(check.answer or "") <= 1000


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (True, "returned bool, a Score was expected"),
        (None, "returned NoneType"),
        (Score(1.5), "the score 1.5"),
        (Score(float("nan")), "the score nan"),
        (Score(0.0, "so_it_is"), "the reason 'so_it_is'; there are: answer_too_long"),
        (Score(None, "timeout"), "the reason 'timeout'"),  # trouble of the machine is the pool's
    ],
)
def test_what_is_no_score(monkeypatch, result, said):
    monkeypatch.setitem(RESULTS, "bad", result)
    with pytest.raises(PluginError, match=said):
        check_custom(a_score, "mine", "3", make_query(), "bad")
