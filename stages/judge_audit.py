"""The judge of this run, measured on golden questions whose answers are known to be right or wrong."""

import asyncio
from pathlib import Path

from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_teacher
from stillhouse.params.stage import load_stage
from stillhouse.progress import Progress
from stillhouse.stage import stage_command
from stillhouse.verify.judge_audit import Judged, answers_of, ask_all, load_questions, summary


@stage_command
def main() -> None:
    """Write metrics/judge_audit.json: what the judge accepts, right and wrong, by kind."""
    figures = summary(asyncio.run(judged()))
    write_json(Path("metrics/judge_audit.json"), {k: f.as_dict() for k, f in figures.items()})


async def judged() -> list[Judged]:
    """Ask the judge; the questions are few and short, and their replies stay in the journal."""
    params = load_stage()
    judge_id = params.read(str, "verify.judge.model")
    threshold = params.read(float, "verify.threshold")
    spec = params.teacher(judge_id)
    if spec.sampling is None:
        raise ParamsError(f"params.yaml: verify.judge.model: {judge_id} is a replay; name a model")
    questions = load_questions()
    with Journal.open() as journal:
        room = ModelRoom(journal)
        try:
            judge = room.model(judge_id, spec, load_teacher(judge_id).runtime, "judge")
            with Progress("judge_audit", answers_of(questions)) as progress:
                return await ask_all(judge, questions, threshold, progress.advance)
        finally:
            await room.close()


if __name__ == "__main__":
    main()
