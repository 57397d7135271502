"""Runs the loop of one teacher over all queries, and writes its responses and what they were made with."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from stillhouse import layout
from stillhouse.files import partial as partial_file
from stillhouse.files import write_json
from stillhouse.generate.asked import asked_categories, asked_queries
from stillhouse.generate.formats import FormatCheck
from stillhouse.generate.loop import Loop, Walk
from stillhouse.generate.tally import WalkTally
from stillhouse.generate.view import View
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.models.engine import OneRequestError
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.params.base import ParamsError
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_teacher
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.progress import Progress
from stillhouse.records import Query, Response
from stillhouse.tables.write import TableWriter
from stillhouse.verify.grade import Grader
from stillhouse.verify.open import opened_grader

TOLD_UNANSWERED = 10  # queries without an answer that are printed; all are in unanswered.jsonl


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
    totals = asked_categories(run.spec)
    queries = partial(asked_queries, run.spec)
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
                most_unanswered=most_unanswered(runtime.max_unanswered, totals.total()),
                format_check=FormatCheck(run.teacher, run.spec.reasoning),
            )
            tally = await write_attempts(run, loop, model, totals)
            return finish(run, model, grader, tally)


def most_unanswered(share: float, queries: int) -> int:
    """Return how many of the queries may have no answer; unless the share is 0, one always may."""
    return max(int(share * queries), 1 if share else 0)


async def write_attempts(
    run: Generation, loop: Loop, model: Model, totals: Counter[str]
) -> WalkTally:
    """Run the loop over all queries, and write every attempt and the queries without one.

    Args:
        run: The parameters.
        loop: The loop.
        model: The teacher.
        totals: The number of queries of each category.

    Returns:
        the counts.
    """
    tally = WalkTally(run.spec.price)
    unanswered: list[dict[str, str]] = []
    view = View(loop, tally, model, totals)
    with (
        TableWriter(layout.attempts(run.teacher), Response) as attempts,
        Progress(run.title, totals.total(), view.figures) as progress,
    ):

        def finished(walk: Walk) -> None:
            tally.add(walk)
            if walk.error is not None:
                unanswered.append(
                    unanswered_line(run.title, walk.query, walk.error, len(unanswered))
                )
            for response in walk.responses:
                attempts.write(response)
            progress.advance()

        await loop.run(asked_queries(run.spec), finished)
        tally.ungradable.require_none_of_machine(run.title)
        attempts.finish()
    if unanswered:
        unanswered.sort(key=lambda line: line["query_id"])
        lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in unanswered)
        with partial_file(layout.unanswered(run.teacher)) as file:
            file.write_text("".join(lines), encoding="utf-8")
    return tally


def unanswered_line(title: str, query: Query, error: OneRequestError, told: int) -> dict[str, str]:
    """Return what is written of a query without an answer, and print it while few have been printed.

    Args:
        title: The name of the run.
        query: The query.
        error: Why it has no answer.
        told: The number of such queries before it.
    """
    if told < TOLD_UNANSWERED:
        print(f"{title}: query {query.id} has no answer: {error}", file=sys.stderr, flush=True)
    elif told == TOLD_UNANSWERED:
        print(f"{title}: more queries have no answer", file=sys.stderr, flush=True)
    return {"query_id": query.id, "reason": error.kind, "error": str(error)}


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
    engine = model.engine
    failed = sorted(engine.failed_tries.items()) if isinstance(engine, OpenAIEngine) else []
    effort = {
        "failed_tries": dict(failed),
        "asked": model.asked,
        "journal_hits": model.hits,
        "latency": tally.latency(),
    }
    return metrics, effort


def judge_cost(judge: Teacher, grader: Grader) -> float | None:
    """Return the US dollars that the judge's answers have cost so far; null where it has no price."""
    if judge.price is None:
        return None
    return judge.price.cost(grader.judge_prompt_tokens, grader.judge_completion_tokens)
