"""Ask one teacher every query, again and again until an answer is verified or a stop rule ends it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click

from stillhouse.files import write_json
from stillhouse.generate.loop import Loop, Walk
from stillhouse.generate.tally import Tally
from stillhouse.generate.view import View
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.params.base import ParamsError
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_teacher
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.params.verify import Verify
from stillhouse.progress import Progress
from stillhouse.records import Query, Response
from stillhouse.stage import stage_command
from stillhouse.tables.table import TableWriter, column_counts, read_table
from stillhouse.verify.facts import Facts
from stillhouse.verify.grade import Grader
from stillhouse.verify.stored import Stored

QUERIES = Path("data/queries/curated")


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/responses/TEACHER: every attempt, accepted or not."""
    params = load_stage()
    with Journal.open() as journal:
        asyncio.run(generate(teacher, params, journal))


def queries() -> Iterator[Query]:
    """Return the queries as a stream, in the order of their ids."""
    return read_table(QUERIES, Query)


async def generate(teacher: str, params: StageParams, journal: Journal) -> None:
    """Run the loop over all queries and write what the stage makes."""
    verify = params.section(Verify, "verify")
    rules = params.section(Generate, "generate")
    spec = params.teacher(teacher)
    runtime = load_teacher(teacher).runtime
    if spec.price is None and rules.needs_price:
        raise ParamsError(
            f"conf/teachers/{teacher}.yaml: teacher.price is missing, and params.yaml limits cost under generate"
        )
    room = ModelRoom(journal)
    model = room.model(teacher, spec, runtime, "teacher", queries)
    judge_id = verify.judge.model
    judge_spec = params.teacher(judge_id)
    judge = room.model(judge_id, judge_spec, load_teacher(judge_id).runtime, "judge")
    grader = Grader(
        verify,
        judge,
        room.reward(verify.reward),
        stored=Stored(journal, Facts(verify, judge_spec)),
    )
    run_seed = params.read(int, "run.seed")

    def judge_cost() -> float | None:
        if judge_spec.price is None:
            return None
        return judge_spec.price.cost(grader.judge_prompt_tokens, grader.judge_completion_tokens)

    loop = Loop(
        teacher,
        spec,
        model,
        grader.grade,
        rules,
        run_seed=run_seed,
        budget=runtime.budget,
        judge_cost=judge_cost,
    )
    tally = Tally(spec.price)
    totals = column_counts(QUERIES, "category")
    view = View(loop, tally, model, totals)
    out = Path("data/responses") / teacher
    try:
        with (
            TableWriter(out / "attempts", Response) as attempts,
            Progress(f"generate {teacher}", totals.total(), view.figures) as progress,
        ):

            def finished(walk: Walk) -> None:
                tally.add(walk)
                for response in walk.responses:
                    attempts.write(response)
                progress.advance()

            await loop.run(queries(), finished)
            tally.ungradable.require_none_of_machine(f"generate {teacher}")
            attempts.finish()
        write_json(out / "teacher.json", spec.model_dump())
        write_json(out / "judge.json", judge_spec.model_dump())
        write_json(out / "fingerprint.json", fingerprint(model, tally))
        metrics = tally.metrics()
        metrics["judge"] = {
            "requests": grader.judge_replies,
            "prompt_tokens": grader.judge_prompt_tokens,
            "completion_tokens": grader.judge_completion_tokens,
            "cost": (cost := judge_cost()) and round(cost, 6),
        }
        if isinstance(model.engine, ReplayEngine):
            metrics["unmatched"] = model.engine.write_unmatched(out / "unmatched.jsonl")
        write_json(Path("metrics/generate") / f"{teacher}.json", metrics)
        # Apart from the rest: how much came from the journal differs between two runs with the same result.
        effort = {"asked": model.asked, "journal_hits": model.hits, "latency": tally.latency()}
        write_json(Path("metrics/effort") / f"{teacher}.json", effort)
    finally:
        await grader.close()
        await room.close()


def fingerprint(model: Model, tally: Tally) -> dict[str, object]:
    """Return all facts of the engine: those in the journal's key, and what answers were made on, by the rows' hash."""
    return {"hash": model.fingerprint_hash, **model.fingerprint, "made_on": tally.made_on}


if __name__ == "__main__":
    main()
