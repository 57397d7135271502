"""The parallel sets: for each teacher the accepted answers to the queries that all teachers answered."""

from pathlib import Path

from stillhouse.files import write_json
from stillhouse.filter.align import parallel_ids, survivorship
from stillhouse.params.stage import load_stage
from stillhouse.records import Example, Query
from stillhouse.stage import stage_command
from stillhouse.tables.table import read_table, write_table


@stage_command
def main() -> None:
    """Write data/aligned/<teacher> for every teacher."""
    teachers: list[str] = load_stage().value("teacher_ids")
    accepted = {t: Path("data/filtered") / t / "accepted" for t in teachers}
    ids = {t: {row.query_id for row in read_table(path, Example)} for t, path in accepted.items()}
    parallel = parallel_ids(ids)
    for teacher, path in accepted.items():
        rows = (row for row in read_table(path, Example) if row.query_id in parallel)
        write_table(Path("data/aligned") / teacher, Example, rows)
    survivors = survivorship(read_table(Path("data/queries/curated"), Query), parallel)
    write_json(
        Path("metrics/align.json"),
        {
            "queries": sum(counts["queries"] for counts in survivors.values()),
            "kept": {teacher: len(kept) for teacher, kept in ids.items()},
            "parallel": len(parallel),
            "by_category": {category: c["parallel"] for category, c in survivors.items()},
            "survivorship": survivors,
        },
    )


if __name__ == "__main__":
    main()
