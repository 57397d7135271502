"""What a program uses without the command line: grade answers, and read a released set."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.errors import StillhouseError
from stillhouse.extras import missing_extra

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset


def grade(
    rows: Iterable[Mapping[str, Any]], *, isolation: str = "bubblewrap", workers: int | None = None
) -> list[dict[str, Any]]:
    """Grade answers by the rules of the pipeline, without a judge.

    A script that calls this needs `if __name__ == "__main__":`, since grading starts worker processes.

    Args:
        rows: one mapping per answer, with the fields of a line of `stillhouse grade`: `id`, `category`, `prompt`,
            `response`, and `ground_truth`, `tests` or `constraints`.
        isolation: `bubblewrap`, or `rlimits`, which protects neither files nor network from the code of answers.
        workers: worker processes; None: one per core.

    Returns:
        One dict per row, in their order: `id`, `score` (0 to 1, None if ungradable), `state` (`pass`, `fail` or
        `ungradable`), `reason`, `verifier`, `evidence`, `answer`.

    Raises:
        StillhouseError: a library of the extra `verify` is not installed, or code cannot be isolated.
    """
    try:
        from stillhouse.cli.answers import DEFAULTS, grade_rows
        from stillhouse.verify.grade import Grader
    except ModuleNotFoundError as error:
        raise StillhouseError(missing_extra(error) or str(error)) from error
    code = DEFAULTS.code.model_copy(update={"isolation": isolation})
    limits = DEFAULTS.model_copy(update={"code": code})

    async def run() -> list[dict[str, Any]]:
        grader = Grader(limits, None, workers=workers or os.cpu_count() or 1)
        try:
            return [found async for found in grade_rows(rows, grader)]
        finally:
            await grader.close()

    # In a thread, since a notebook has an event loop of its own, in which no other can run.
    with ThreadPoolExecutor(1, "stillhouse-grade") as thread:
        return thread.submit(asyncio.run, run()).result()


def read_release(folder: str | Path, config: str = "data") -> "Dataset":
    """Return a table of a released set, as a pyarrow data set that is read when it is used.

    Args:
        folder: the folder of one repository (`stillhouse pull` makes one), or of one teacher in it.
        config: `data` (the training set), `all_attempts`, `rejected` or `rejected_queries`.

    Returns:
        A data set with the columns that docs/reference/release.md lists; `.to_table()` and `.to_batches()` read it.

    Raises:
        StillhouseError: the folder has no such table.
    """
    from pyarrow.dataset import dataset

    shards = sorted(Path(folder, config).glob("*.parquet"))
    if not shards:
        there = sorted({path.parent.name for path in Path(folder).glob("*/*.parquet")})
        raise StillhouseError(
            f"{folder}: no table {config!r} here; there are: {', '.join(there) or 'none'}"
        )
    return dataset(shards, format="parquet")
