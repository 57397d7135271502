"""Runs the loop of one teacher over all queries, and writes its responses and what they were made with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.generate.formats import FormatCheck
from stillhouse.generate.loop import Loop, Walk
from stillhouse.generate.tally import WalkTally
from stillhouse.generate.view import View
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.params.base import ParamsError
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_teacher
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.progress import Progress
from stillhouse.records import Query, Response
from stillhouse.tables.read import column_counts, read_table
from stillhouse.tables.write import TableWriter
from stillhouse.verify.grade import Grader
from stillhouse.verify.open import opened_grader


@dataclass(frozen=True)
class Generation:
    """The parameters of a run of one teacher. `judge` has those of the judge that `verify` names."""

    teacher: str
    spec: Teacher
    judge: Teacher
    rules: Generate
    verify: Verify
    run_seed: int

    @property
    def title(self) -> str:
        """What progress and errors call the run."""
        return f"generate {self.teacher}"


def queries() -> Iterator[Query]:
    """Return the queries as a stream, in the order of their ids."""
    return read_table(layout.CURATED_QUERIES, Query)


async def generate(run: Generation, journal: Journal) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask a teacher all queries and write data/responses/TEACHER.

    Returns:
        the metrics, and what differs between two runs with the same result: how much came from the journal.

    Raises:
        ParamsError: the parameters limit cost, and the teacher has no price.
        BudgetError, EngineError, FormatError, JournalError: as `Loop.run`.
        UngradedError: answers could not be graded for trouble of the machine.
    """
    if run.spec.price is None and run.rules.needs_price:
        raise ParamsError(
            f"conf/teachers/{run.teacher}.yaml: teacher.price is missing, and params.yaml limits cost under generate"
        )
    runtime = load_teacher(run.teacher).runtime
    async with ModelRoom(journal) as room:
        model = room.model(run.teacher, run.spec, runtime, "teacher", queries)
        async with opened_grader(room, run.verify, run.judge) as grader:
            loop = Loop(
                run.teacher,
                run.spec,
                model,
                grader.grade,
                run.rules,
                run_seed=run.run_seed,
                budget=runtime.budget,
                judge_cost=lambda: judge_cost(run.judge, grader),
                format_check=FormatCheck(run.teacher, run.spec.reasoning),
            )
            tally = await write_attempts(run, loop, model)
            return finish(run, model, grader, tally)


async def write_attempts(run: Generation, loop: Loop, model: Model) -> WalkTally:
    """Run the loop over all queries and write every attempt, accepted or not; return the counts."""
    tally = WalkTally(run.spec.price)
    totals = column_counts(layout.CURATED_QUERIES, "category")
    view = View(loop, tally, model, totals)
    with (
        TableWriter(layout.attempts(run.teacher), Response) as attempts,
        Progress(run.title, totals.total(), view.figures) as progress,
    ):

        def finished(walk: Walk) -> None:
            tally.add(walk)
            for response in walk.responses:
                attempts.write(response)
            progress.advance()

        await loop.run(queries(), finished)
        tally.ungradable.require_none_of_machine(run.title)
        attempts.finish()
    return tally


def finish(
    run: Generation, model: Model, grader: Grader, tally: WalkTally
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write what the responses were made with, and return the results of `generate`."""
    teacher = run.teacher
    write_json(layout.teacher_record(teacher), run.spec.model_dump())
    write_json(layout.judge_record(teacher), run.judge.model_dump())
    # The facts of the engine in the journal's key, and what answers were made on, by the fingerprints in the rows.
    made_by = {"hash": model.fingerprint_hash, **model.fingerprint, "made_on": tally.made_on}
    write_json(layout.fingerprint(teacher), made_by)
    metrics = tally.metrics()
    metrics["judge"] = {
        "requests": grader.judge_replies,
        "prompt_tokens": grader.judge_prompt_tokens,
        "completion_tokens": grader.judge_completion_tokens,
        "cost": (cost := judge_cost(run.judge, grader)) and round(cost, 6),
    }
    if isinstance(model.engine, ReplayEngine):
        metrics["unmatched"] = model.engine.write_unmatched(layout.unmatched(teacher))
    effort = {"asked": model.asked, "journal_hits": model.hits, "latency": tally.latency()}
    return metrics, effort


def judge_cost(judge: Teacher, grader: Grader) -> float | None:
    """Return the US dollars that the judge's answers have cost so far; null where it has no price."""
    if judge.price is None:
        return None
    return judge.price.cost(grader.judge_prompt_tokens, grader.judge_completion_tokens)
