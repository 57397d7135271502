"""Opens the judge of a run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_teacher
from stillhouse.params.stage import StageParams
from stillhouse.params.teacher import Teacher


def judge_of(params: StageParams) -> tuple[str, Teacher]:
    """Return the id of the run's judge and its parameters, for a stage that asks it.

    Raises:
        ParamsError: the judge is a replay, which answers nothing new.
    """
    judge_id = params.read(str, "verify.judge.model")
    spec = params.teacher(judge_id)
    if spec.sampling is None:
        raise ParamsError(f"params.yaml: verify.judge.model: {judge_id} is a replay; name a model")
    return judge_id, spec


@asynccontextmanager
async def opened_judge(judge_id: str, spec: Teacher) -> AsyncIterator[Model]:
    """Open the journal and a judge, and close both at the end.

    Args:
        judge_id: its id among the teachers, which gives its endpoint or device.
        spec: the parameters that decide its answers.
    """
    runtime = load_teacher(judge_id).runtime
    with Journal.open() as journal:
        async with ModelRoom(journal) as room:
            yield room.model(judge_id, spec, runtime, "judge")
