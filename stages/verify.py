"""The authoritative verdict on every attempt of one teacher."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from stillhouse.models.build import ModelRoom
from stillhouse.models.journal import Journal
from stillhouse.params import StageParams, Verify, load_stage, load_teacher
from stillhouse.progress import Progress
from stillhouse.records import Query, Response, Verdict
from stillhouse.stage import stage_command, write_metrics
from stillhouse.tables import read_table, write_table
from stillhouse.verify.grade import Grader

AT_ONCE = 64  # responses graded at once: enough to keep the worker pool and a judge busy


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/verdicts/TEACHER."""
    params = load_stage()
    queries = {query.id: query for query in read_table(Path("data/queries/curated"), Query)}
    responses = list(read_table(Path("data/responses") / teacher / "attempts", Response))
    with Journal.open() as journal:
        verdicts = asyncio.run(grade_all(teacher, params, queries, responses, journal))
    write_table(Path("data/verdicts") / teacher, Verdict, verdicts)
    isolation = params.section(Verify, "verify").code.isolation
    write_metrics(Path("metrics/verify") / f"{teacher}.json", metrics(queries, verdicts, isolation))


async def grade_all(
    teacher: str,
    params: StageParams,
    queries: dict[str, Query],
    responses: list[Response],
    journal: Journal,
) -> list[Verdict]:
    """Grade all responses; the judge's words come from the journal where the loop has asked before."""
    verify = params.section(Verify, "verify")
    room = ModelRoom(journal)
    judge_runtime = load_teacher(verify.judge).runtime
    judge = room.model(verify.judge, params.teacher(verify.judge), judge_runtime, "judge")
    grader = Grader(verify, judge, room.reward(verify.reward))
    verdicts: list[Verdict] = []
    stream = iter(responses)
    with Progress(f"verify {teacher}", len(responses)) as progress:

        async def worker() -> None:
            for response in stream:
                verdicts.append(await grader.grade(queries[response.query_id], response))
                progress.advance()

        try:
            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        finally:
            await grader.close()
            await room.close()
    return verdicts


def metrics(
    queries: dict[str, Query], verdicts: list[Verdict], isolation: str
) -> dict[str, object]:
    """Return counts by state, reason, verifier and category, and how often rule and judge disagree."""
    by_category: dict[str, dict[str, Counter[str]]] = {}
    for verdict in verdicts:
        counts = by_category.setdefault(
            queries[verdict.query_id].category, {"states": Counter(), "verifiers": Counter()}
        )
        counts["states"][verdict.state] += 1
        counts["verifiers"][verdict.verifier] += 1
    both = [
        v
        for v in verdicts
        if len(v.checks) == 2 and {c.state for c in v.checks} <= {"pass", "fail"}
    ]
    states = Counter(verdict.state for verdict in verdicts)
    return {
        "responses": len(verdicts),
        "pass": states["pass"],
        "fail": states["fail"],
        "ungradable": states["ungradable"],
        "reasons": dict(Counter(v.reason for v in verdicts if v.reason)),
        "verifiers": dict(Counter(v.verifier for v in verdicts)),
        "isolation": isolation,
        "rule_judge": {
            "both": len(both),
            "disagree": sum(v.checks[0].state != v.checks[1].state for v in both),
        },
        "by_category": {
            category: {
                **{state: counts["states"][state] for state in ("pass", "fail", "ungradable")},
                "verifiers": dict(counts["verifiers"]),
            }
            for category, counts in by_category.items()
        },
    }


if __name__ == "__main__":
    main()
