"""Opens a grader that stores its verdicts in the journal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stillhouse.models.build import ModelRoom
from stillhouse.params.load import load_teacher
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.verify.facts import Facts
from stillhouse.verify.grade import Grader
from stillhouse.verify.stored import Stored


@asynccontextmanager
async def opened_grader(room: ModelRoom, verify: Verify, judge: Teacher) -> AsyncIterator[Grader]:
    """Open a grader that asks the run's judge, and close it at the end.

    Args:
        room: has the models and the journal with the stored verdicts.
        verify: the parameters of grading.
        judge: the parameters of the judge that `verify` names.
    """
    judge_id = verify.judge.model
    grader = Grader(
        verify,
        room.model(judge_id, judge, load_teacher(judge_id).runtime, "judge"),
        room.reward(verify.reward),
        price=judge.price,
        stored=Stored(room.journal, Facts(verify, judge)),
    )
    try:
        yield grader
    finally:
        await grader.close()
