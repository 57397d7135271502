"""Packaging against the bare Parquet writer: 1,000,000 synthetic rows through `write_release`, in bounded memory.

The ratio is (time in which pyarrow alone writes the same released rows, already in memory, with the same settings) over
(time of `write_release` without its lint). A teacher's responses have 3,300 tokens on average in the paper; here they
are scaled down by `SCALE`, so that inputs and outputs fit a small disk. Lint, which reads all rows again, is given
beside it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from _release_tables import write_run
from _result import write_result

from stillhouse.package import write as package
from stillhouse.package.facts import RunFacts, TeacherFacts
from stillhouse.package.shards import FORMAT
from stillhouse.params.files import parse
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_run
from stillhouse.params.package import Package
from stillhouse.params.queries import Queries
from stillhouse.params.run import Run
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify

GOAL = 0.6
MEMORY_GOAL_GB = 1.5
PAPER_TOKENS = 3300
SCALE = 8
COUNTS: dict[str, Any] = dict.fromkeys(
    [
        "queries",
        "answered",
        "passed",
        "kept",
        "attempts",
        "responses",
        "pass",
        "fail",
        "ungradable",
        "loaded",
    ],
    0,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="folder for the tables (about 6 GB)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _package(arguments.child, arguments.rows)
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        root = Path(scratch)
        write_run(root, arguments.rows, PAPER_TOKENS // SCALE)
        # A process of its own, so that its memory is that of packaging alone.
        command = [sys.executable, __file__, "--child", str(root), "--rows", str(arguments.rows)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        facts = json.loads(done.stdout.splitlines()[-1])
        bare = _bare_write_seconds(root / "release")
    memory = facts["peak_memory_gb"]
    write_result(
        "package",
        bare / facts["package_seconds"],
        GOAL,
        rows=arguments.rows,
        mean_tokens=PAPER_TOKENS // SCALE,
        scaled_down_by=SCALE,
        bare_write_seconds=round(bare, 1),
        memory_goal_gb=MEMORY_GOAL_GB,
        memory_within_goal=memory < MEMORY_GOAL_GB,
        **facts,
    )


def _package(root: Path, rows: int) -> None:
    """Package the tables below `root` and print the figures."""
    lint_seconds = 0.0

    def timed(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal lint_seconds
            started = time.monotonic()
            found = function(*args, **kwargs)
            lint_seconds += time.monotonic() - started
            return found

        return run

    package.lint_rows, package.lint_files = timed(package.lint_rows), timed(package.lint_files)
    own = package.TeacherTables(
        *(root / name for name in ("aligned", "responses", "verdicts", "perplexity", "decisions"))
    )
    tables = package.RunTables(root / "queries", root / "rejected", {"synthetic": own})
    started = time.monotonic()
    package.write_release(root / "release", tables, _facts(rows))
    seconds = time.monotonic() - started
    files = list((root / "release").rglob("*.parquet"))
    print(
        json.dumps(
            {
                "package_seconds": round(seconds - lint_seconds, 1),
                "lint_seconds": round(lint_seconds, 1),
                "released_gb": round(sum(path.stat().st_size for path in files) / 1e9, 2),
                "peak_memory_gb": round(
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2
                ),
            }
        )
    )


def _bare_write_seconds(release: Path) -> float:
    """Return the seconds that pyarrow needs for writing the released rows again from memory, reading not counted."""
    seconds = 0.0
    for shard in sorted(release.rglob("*.parquet")):
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            copy = shard.with_suffix(".copy")
            writer = pq.ParquetWriter(copy, file.schema_arrow, **FORMAT)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                started = time.monotonic()
                writer.write_table(table, row_group_size=table.num_rows)
                seconds += time.monotonic() - started
            started = time.monotonic()
            writer.close()
            seconds += time.monotonic() - started
            copy.unlink()
    return seconds


def _facts(rows: int) -> RunFacts:
    run = load_run(Path(__file__).parents[1])
    teacher = parse(
        Teacher,
        {
            "label": "Synthetic",
            "engine": "replay",
            "model": "synthetic",
            "revision": "none",
            "license": "apache-2.0",
            "replay": {"kind": "solutions"},
            "tokenizer": {"model": "synthetic", "revision": "0" * 40},
        },
        "benchmark",
    )
    per_teacher = {
        "generate": COUNTS,
        "verify": COUNTS
        | {"by_category": {}, "isolation": None, "rule_judge": {"both": 0, "disagree": 0}},
        "perplexity": {"mean": 2.5, "median": 2.5, "p95": 2.5},
        "filter": COUNTS,
    }
    sections: dict[str, tuple[Any, type]] = {
        "run": (run.run, Run),
        "package": (run.package, Package),
        "queries": (run.queries, Queries),
        "generate": (run.generate, Generate),
        "verify": (run.verify, Verify),
        "perplexity": (run.perplexity, PerplexityScorer),
        "filter": (run.filter, Filter),
    }
    return RunFacts(
        **{name: section for name, (section, _) in sections.items()},
        benchmark_tasks=[],
        student_ids=[],
        compared_ids=["synthetic"],
        teachers={"synthetic": TeacherFacts(spec=teacher, fingerprint={}, metrics=per_teacher)},
        judge=None,
        queries_metrics=COUNTS
        | {"rejected": {}, "rows_rejected": {}, "by_source": {}, "contamination": {}},
        align_metrics={
            "parallel": rows,
            "survivorship": {},
            "verifier_errors": {},
            "wrong_rows": {},
            "without": {"parallel": {}, "costliest": []},
        },
        contamination={"compared": {}, "not_compared": []},
        audit=None,
        judge_audit=None,
        locks=[],
        inputs={},
    )


if __name__ == "__main__":
    main()
