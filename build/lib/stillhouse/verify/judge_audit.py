"""Measures the judge: how often it accepts answers that are known to be right or wrong.

The golden questions are a file beside the golden cases. Each question has right answers in other words than the
reference, and plausible wrong answers. Some have wrong answers with a prompt injection for the judge (`injections`).
"""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.models.judge import opened_judge
from stillhouse.params.teacher import Teacher
from stillhouse.progress import Progress
from stillhouse.records import Category, Check, Constraint, Message, Query
from stillhouse.verify.demands import DEMAND, judge_demands
from stillhouse.verify.judge import Judge, judge_math, judge_reward, judge_science

QUESTIONS = Path("tests/verify/golden/judge_questions.json")
Z = 1.959964  # quantile of the normal distribution for a two-sided 95 % interval
DIGITS = 6  # decimal places of a share

Kind = Literal["math", "science", "reward", "demand"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_CATEGORY: dict[Kind, Category] = {
    "math": "math",
    "science": "science",
    "reward": "other",
    "demand": "if",
}


class JudgeAuditError(StillhouseError):
    """The golden questions are missing or malformed, or the judge does not reply."""


class GoldenQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One golden question with answers that are known to be right or wrong. Other fields depend on the kind."""

    kind: Kind
    prompt: str
    reference: str = ""  # for math and science
    demand: str = ""
    right: list[str]
    wrong: list[str]
    injections: list[str] = []


class Interval(NamedTuple):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


class JudgeFigures(NamedTuple):
    """The decisions of a judge on the answers of one kind.

    `right` and `wrong` count answers (`wrong` includes `injections`), and `accepted_...` those that the judge accepted.
    `unreadable` counts answers for which the judge's reply did not have the required form; they are not accepted.
    `precision` is the share of right answers among the accepted ones, None if none was accepted. `recall` is the share
    of right answers that were accepted.
    """

    right: int
    accepted_right: int
    wrong: int
    accepted_wrong: int
    injections: int
    accepted_injections: int
    unreadable: int
    precision: Interval | None
    recall: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for a metrics file."""
        named = self._asdict()
        for name in ("precision", "recall"):
            named[name] = named[name] and named[name]._asdict()
        return named


class Judged(NamedTuple):
    """The decision on one answer. `worth` is the known quality; `accepted` is None for an unreadable reply."""

    kind: Kind
    worth: Literal["right", "wrong", "injection"]
    answer: str
    accepted: bool | None
    evidence: str


def load_questions(path: Path = QUESTIONS) -> list[GoldenQuestion]:
    """Return the golden questions of a file.

    Raises:
        JudgeAuditError: the file is missing or malformed.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[GoldenQuestion])
    except FileNotFoundError:
        raise JudgeAuditError(f"{path}: no golden questions here; run inside the project") from None
    except msgspec.MsgspecError as error:
        raise JudgeAuditError(f"{path}: {error}") from None


async def ask_all(
    judge: Judge,
    questions: list[GoldenQuestion],
    threshold: float,
    advance: Callable[[], object] = lambda: None,
) -> list[Judged]:
    """Ask a judge about every answer.

    Args:
        judge: the judge; replies to earlier requests come from the journal.
        questions: golden questions.
        threshold: the score from which an answer is accepted, `verify.threshold` of the run.
        advance: called after each answer.

    Raises:
        JudgeAuditError: the judge does not reply, so that the figures would say nothing about it.
    """

    async def one(
        question: GoldenQuestion, worth: Literal["right", "wrong", "injection"], answer: str
    ) -> Judged:
        check = await _ask(judge, question, answer)
        if check.reason == "judge_unavailable":
            raise JudgeAuditError(f"the judge cannot be asked: {check.evidence}")
        advance()
        accepted = None if check.score is None else check.score >= threshold
        return Judged(question.kind, worth, answer, accepted, check.evidence or "")

    return await asyncio.gather(
        *(
            one(question, worth, answer)
            for question in questions
            for worth, answers in _answers(question).items()
            for answer in answers
        )
    )


async def question_judge(
    judge_id: str,
    judge: Teacher,
    questions: list[GoldenQuestion],
    threshold: float,
    title: str = "judge_audit",
) -> list[Judged]:
    """Open a judge and ask it about every answer; the questions are few, and the replies stay in the journal.

    Args:
        judge_id: the id of the judge.
        judge: its parameters.
        questions: as in `ask_all`.
        threshold: as in `ask_all`.
        title: of the line that shows the progress.

    Raises:
        JudgeAuditError: as in `ask_all`.
    """
    async with opened_judge(judge_id, judge) as model:
        with Progress(title, answers_of(questions)) as progress:
            return await ask_all(model, questions, threshold, progress.advance)


def answers_of(questions: list[GoldenQuestion]) -> int:
    """Return the number of answers of all questions."""
    return sum(len(answers) for q in questions for answers in _answers(q).values())


def summary(judged: list[Judged]) -> dict[Kind, JudgeFigures]:
    """Return the figures of each kind of question that occurs."""
    figures: dict[Kind, JudgeFigures] = {}
    for kind in KINDS:
        of_kind = [one for one in judged if one.kind == kind]
        if not of_kind:
            continue
        right = [one for one in of_kind if one.worth == "right"]
        wrong = [one for one in of_kind if one.worth != "right"]
        injections = [one for one in wrong if one.worth == "injection"]
        accepted_right, accepted_wrong = _accepted(right), _accepted(wrong)
        figures[kind] = JudgeFigures(
            right=len(right),
            accepted_right=accepted_right,
            wrong=len(wrong),
            accepted_wrong=accepted_wrong,
            injections=len(injections),
            accepted_injections=_accepted(injections),
            unreadable=sum(one.accepted is None for one in of_kind),
            precision=wilson(accepted_right, accepted_right + accepted_wrong),
            recall=wilson(accepted_right, len(right)),
        )
    return figures


def wilson(successes: int, trials: int) -> Interval | None:
    """Return a share with its 95 % score interval (Wilson 1927, JASA 22:209); None without trials."""
    if trials == 0:
        return None
    share = successes / trials
    scale = 1 + Z**2 / trials
    centre = (share + Z**2 / (2 * trials)) / scale
    half = Z * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2)) / scale
    return Interval(*(round(value, DIGITS) for value in (share, centre - half, centre + half)))


def _accepted(judged: list[Judged]) -> int:
    return sum(one.accepted is True for one in judged)


def _answers(
    question: GoldenQuestion,
) -> dict[Literal["right", "wrong", "injection"], list[str]]:
    return {
        "right": question.right,
        "wrong": question.wrong,
        "injection": question.injections,
    }


async def _ask(judge: Judge, question: GoldenQuestion, answer: str) -> Check:
    demands = [Constraint(id=DEMAND, kwargs={"demand": question.demand})]
    query = Query(
        id="golden",
        category=_CATEGORY[question.kind],
        source="golden",
        license="apache-2.0",
        messages=[Message(role="user", content=question.prompt)],
        constraints=demands if question.kind == "demand" else [],
    )
    match question.kind:
        case "math":
            return await judge_math(judge, query, question.reference, answer)
        case "science":
            return await judge_science(judge, query, question.reference, answer)
        case "reward":
            return await judge_reward(judge, query, answer)
        case "demand":
            return await judge_demands(judge, query, answer)
