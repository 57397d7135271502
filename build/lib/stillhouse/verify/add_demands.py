"""Adds demands to the queries of a run that need constraints and have none."""

from collections import Counter

from stillhouse.models.judge import opened_judge
from stillhouse.params.teacher import Teacher
from stillhouse.progress import Progress
from stillhouse.records import Query
from stillhouse.verify.demands import lacks_constraints, write_all_demands


async def add_demands(
    queries: list[Query], judge_id: str, judge: Teacher
) -> tuple[list[Query], Counter[str]]:
    """Let a judge write demands where constraints are missing; return all queries, and counts as `write_all_demands`.

    Args:
        queries: all queries of the run.
        judge_id: the id of the judge.
        judge: its parameters, with a sampling.

    Raises:
        EngineError: the judge failed for a reason other than a single query.
    """
    assert judge.sampling is not None
    async with opened_judge(judge_id, judge) as model:
        with Progress("demands", sum(map(lacks_constraints, queries))) as progress:
            return await write_all_demands(
                model, queries, judge.sampling.max_tokens, progress.advance
            )
