"""Stage package: writes and lints the Hub repository folder of every teacher."""

import dataclasses
from pathlib import Path

from pydantic import TypeAdapter

from stillhouse.params import (
    Generate,
    Id,
    Package,
    Queries,
    Run,
    Teacher,
    Verify,
    load_recorded,
    load_stage,
)
from stillhouse.release.package import ReleaseFacts, ReleaseTables, write_release
from stillhouse.stage import read_json, stage_command, write_metrics

LOCKS = Path("requirements")


@stage_command
def main() -> None:
    """Write data/release/<teacher> for every teacher of the run."""
    params = load_stage()
    run, package = params.section(Run, "run"), params.section(Package, "package")
    verify = params.section(Verify, "verify")
    teacher_ids = TypeAdapter(list[Id]).validate_python(params.value("teacher_ids"))
    written = {}
    for teacher in teacher_ids:
        responses = Path("data/responses") / teacher
        tables = ReleaseTables(
            aligned=Path("data/aligned") / teacher,
            responses=responses / "attempts",
            verdicts=Path("data/verdicts") / teacher,
            perplexity=Path("data/perplexity") / teacher,
            decisions=Path("data/filtered") / teacher / "decisions",
        )
        per_teacher = ("generate", "verify", "perplexity", "filter")
        metrics = {name: read_json(Path(f"metrics/{name}/{teacher}.json")) for name in per_teacher}
        metrics |= {name: read_json(Path(f"metrics/{name}.json")) for name in ("queries", "align")}
        facts = ReleaseFacts(
            run=run,
            package=package,
            queries=params.section(Queries, "queries"),
            generate=params.section(Generate, "generate"),
            verify=verify,
            teacher_ids=teacher_ids,
            teacher_id=teacher,
            teacher=load_recorded(Teacher, responses / "teacher.json"),
            judge=load_recorded(Teacher, responses / "judge.json"),
            fingerprint=read_json(responses / "fingerprint.json"),
            metrics=metrics,
            locks=sorted(LOCKS.glob("*.txt")),
        )
        stats = write_release(Path("data/release") / teacher, tables, facts)
        written[teacher] = dataclasses.asdict(stats)
    write_metrics(Path("metrics/package.json"), written)


if __name__ == "__main__":
    main()
