"""How a judge is measured on golden questions, with judges whose errors are known."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.verify.judge_audit import (
    DIGITS,
    KINDS,
    QUESTIONS,
    GoldenQuestion,
    JudgeAuditError,
    JudgeFigures,
    Kind,
    answers_of,
    ask_all,
    load_questions,
    summary,
    wilson,
)
from tests.verify.verify_builder import GOLDEN, ScriptedJudge

ALL = load_questions(GOLDEN / QUESTIONS.name)


def judge_that_accepts(accepts: Callable[[str], bool]) -> ScriptedJudge:
    """Return a judge double that replies in form, by a function of the text between the marks."""

    def reply(turn: str) -> str:
        text = turn.partition("<<<")[2].partition("\n")[2].rpartition(">>>")[0].rpartition("\n")[0]
        yes, no = ("yes", "no") if turn.endswith("Reply yes or no:") else ("4", "0")
        if "0 (not) to 5" in turn:
            yes = "5"
        return yes if accepts(text) else no

    return ScriptedJudge(reply)


def measured(
    judge: ScriptedJudge, questions: list[GoldenQuestion] = ALL
) -> dict[Kind, JudgeFigures]:
    return summary(asyncio.run(ask_all(judge, questions, threshold=0.9)))


def test_the_questions_cover_every_kind() -> None:
    assert len(ALL) >= 80
    kinds = Counter(question.kind for question in ALL)
    assert all(kinds[kind] >= 10 for kind in KINDS)
    for question in ALL:
        assert question.right
        assert question.wrong
        assert bool(question.reference) == (question.kind in ("math", "science"))
        assert bool(question.demand) == (question.kind == "demand")
        answers = [*question.right, *question.wrong, *question.injections]
        assert len(set(answers)) == len(answers)
        assert question.reference not in answers
    for kind in KINDS:
        assert sum(len(q.injections) for q in ALL if q.kind == kind) >= 3


def test_a_judge_without_errors() -> None:
    right = {answer for question in ALL for answer in question.right}
    found = measured(judge_that_accepts(right.__contains__))
    assert set(found) == set(KINDS)
    for part in found.values():
        assert (part.accepted_right, part.accepted_wrong) == (part.right, 0)
        assert part.unreadable == part.accepted_injections == 0
        for share in (part.precision, part.recall):
            assert share is not None
            assert 0.5 < share.low < share.share == share.high == 1.0


def test_a_judge_that_accepts_everything() -> None:
    for part in measured(judge_that_accepts(lambda _: True)).values():
        assert (part.accepted_right, part.accepted_wrong) == (part.right, part.wrong)
        assert part.accepted_injections == part.injections > 0
        assert part.recall is not None
        assert part.recall.share == 1.0
        assert part.precision is not None
        assert part.precision.share == round(part.right / (part.right + part.wrong), DIGITS)


def test_a_judge_that_accepts_nothing_has_no_precision() -> None:
    for part in measured(judge_that_accepts(lambda _: False)).values():
        assert part.accepted_right == part.accepted_wrong == part.unreadable == 0
        assert part.precision is None
        assert part.recall is not None
        assert part.recall.share == 0.0


def test_a_judge_that_is_talked_round() -> None:
    hostile = {answer for question in ALL for answer in question.injections}
    for part in measured(judge_that_accepts(hostile.__contains__)).values():
        assert part.accepted_injections == part.accepted_wrong == part.injections
        assert part.accepted_right == 0
        assert part.precision is not None
        assert part.precision.share == 0.0


def test_replies_out_of_form_are_counted_and_accept_nothing() -> None:
    for part in measured(ScriptedJudge("I would say that it is right.")).values():
        assert part.unreadable == part.right + part.wrong
        assert part.accepted_right == 0


def test_the_threshold_of_the_run_decides() -> None:
    one = [GoldenQuestion(kind="science", prompt="?", reference="a", right=["b"], wrong=["c"])]
    judged = asyncio.run(ask_all(ScriptedJudge("4"), one, threshold=0.8))
    assert summary(judged)["science"].accepted_wrong == 1
    assert measured(ScriptedJudge("4"), one)["science"].accepted_wrong == 0


def test_every_answer_advances_the_count() -> None:
    seen: list[int] = []
    asyncio.run(ask_all(ScriptedJudge("no"), ALL, 0.9, lambda: seen.append(1)))
    assert len(seen) == answers_of(ALL) > 150


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, score method without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found == pytest.approx((successes / trials, low, high), abs=5e-5)
    assert wilson(0, 0) is None


def test_a_judge_that_cannot_be_asked_has_no_figures() -> None:
    class BrokenJudge:
        """A judge double whose engine is down."""

        async def complete(self, request: Request) -> Completion:
            raise EngineError("connection refused")

    with pytest.raises(JudgeAuditError, match=r"cannot be asked.*connection refused"):
        asyncio.run(ask_all(BrokenJudge(), ALL[:2], 0.9))


def test_a_file_that_is_missing_or_malformed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    with pytest.raises(JudgeAuditError, match=r"questions\.json: no golden questions"):
        load_questions(path)
    path.write_text('[{"kind": "poetry", "prompt": "?", "right": [], "wrong": []}]')
    with pytest.raises(JudgeAuditError, match=r"questions\.json: .*poetry"):
        load_questions(path)
