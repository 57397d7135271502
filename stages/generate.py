"""Ask one teacher every query, again and again until an answer is verified or the attempts are used up."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from stillhouse.distill.loop import Walk, distill
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.models.journal import Journal
from stillhouse.params import Generate, Run, StageParams, Verify, load_stage, load_teacher
from stillhouse.progress import Progress
from stillhouse.records import Query, Response
from stillhouse.stage import stage_command, write_json, write_metrics
from stillhouse.tables import read_table, write_table
from stillhouse.verify.grade import Grader


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/responses/TEACHER: every attempt, accepted or not."""
    params = load_stage()
    judge_id = params.section(Verify, "verify").judge
    queries = list(read_table(Path("data/queries/curated"), Query))
    with Journal.open() as journal:
        walks, model = asyncio.run(generate(teacher, params, queries, journal))
    out = Path("data/responses") / teacher
    responses = (response for walk in walks for response in walk.responses)
    write_table(out / "attempts", Response, responses)
    write_json(out / "teacher.json", params.teacher(teacher).model_dump())
    write_json(out / "judge.json", params.teacher(judge_id).model_dump())
    write_json(out / "fingerprint.json", {"hash": model.fingerprint_hash, **model.fingerprint})
    write_metrics(Path("metrics/generate") / f"{teacher}.json", metrics(walks))
    # Apart from the rest: how much came from the journal differs between two runs with the same result.
    effort = {"asked": model.asked, "journal_hits": model.hits}
    write_metrics(Path("metrics/effort") / f"{teacher}.json", effort)


async def generate(
    teacher: str, params: StageParams, queries: list[Query], journal: Journal
) -> tuple[list[Walk], Model]:
    """Run the loop over all queries."""
    verify = params.section(Verify, "verify")
    spec = params.teacher(teacher)
    room = ModelRoom(journal)
    walks: list[Walk] = []
    model = room.model(teacher, spec, load_teacher(teacher).runtime, "teacher", queries)
    judge_runtime = load_teacher(verify.judge).runtime
    judge = room.model(verify.judge, params.teacher(verify.judge), judge_runtime, "judge")
    grader = Grader(verify, judge, room.reward(verify.reward))
    try:
        with Progress(f"generate {teacher}", len(queries)) as progress:

            def finished(walk: Walk) -> None:
                walks.append(walk)
                accepted = sum(w.accepted for w in walks)
                progress.advance(
                    f"accepted {accepted}, asked {model.asked}, from the journal {model.hits}"
                )

            await distill(
                queries,
                teacher,
                model,
                grader.grade,
                reasoning=spec.reasoning,
                max_attempts=params.section(Generate, "generate").max_attempts,
                run_seed=params.section(Run, "run").seed,
                finished=finished,
            )
    finally:
        await grader.close()
        await room.close()
    return walks, model


def metrics(walks: list[Walk]) -> dict[str, object]:
    """Return the counts of the stage, none of which depends on what the journal held."""
    responses = [response for walk in walks for response in walk.responses]
    by_category: dict[str, Counter[str]] = {}
    for walk in walks:
        counts = by_category.setdefault(
            walk.query.category, Counter(queries=0, attempts=0, accepted=0)
        )
        counts.update(queries=1, attempts=len(walk.responses), accepted=int(walk.accepted))
    last_attempts = Counter(str(len(walk.responses) - 1) for walk in walks if walk.accepted)
    return {
        "queries": len(walks),
        "attempts": len(responses),
        "accepted": sum(walk.accepted for walk in walks),
        "unanswered": sum(not walk.responses for walk in walks),
        "truncated": sum(r.finish_reason == "length" for r in responses),
        "prompt_tokens": sum(r.prompt_tokens for r in responses),
        "completion_tokens": sum(r.completion_tokens for r in responses),
        "accepted_by_attempt": dict(last_attempts),
        "by_category": {category: dict(counts) for category, counts in by_category.items()},
    }


if __name__ == "__main__":
    main()
