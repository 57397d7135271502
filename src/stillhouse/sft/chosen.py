"""The rows that a student is trained on: the ids that stage `fit` writes, and the examples that they choose."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stillhouse.files import write_json
from stillhouse.records import Example
from stillhouse.sft.gates import StudentError
from stillhouse.sft.rows import TrainingId
from stillhouse.tables.read import read_column, read_table
from stillhouse.tables.write import write_table

BUDGET = "budget.json"


class StepBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of the budget that is no choice of rows: the optimizer steps, null for those of the recipe."""

    max_steps: int | None


def write_ids(folder: Path, query_ids: Iterable[str], budget: StepBudget) -> None:
    """Write the ids of one teacher and student, and the budget beside them; an older folder is replaced."""
    write_table(folder, TrainingId, (TrainingId(query_id=query_id) for query_id in query_ids))
    write_json(folder / BUDGET, msgspec.to_builtins(budget))


def read_budget(folder: Path) -> StepBudget:
    """Return the budget beside the ids in a folder.

    Raises:
        StudentError: there is none, or it is damaged.
    """
    try:
        return msgspec.json.decode((folder / BUDGET).read_bytes(), type=StepBudget)
    except (OSError, msgspec.MsgspecError) as error:
        raise StudentError(f"{folder / BUDGET}: {error}; run `dvc repro` for stage fit") from None


def chosen_examples(examples: Path, ids: Path) -> Iterator[Example]:
    """Yield the examples of the ids, in the order of both tables.

    Args:
        examples: table of Example, sorted by query.
        ids: table of TrainingId.

    Raises:
        StudentError: an id has no example.
        TableError: a table is missing or corrupt.
    """
    wanted = read_column(ids, "query_id")
    next_id = next(wanted, None)
    for example in read_table(examples, Example):
        if example.query_id == next_id:
            yield example
            next_id = next(wanted, None)
    if next_id is not None:
        raise StudentError(
            f"{ids}: query {next_id} has no row in {examples}; they come from different runs: run `dvc repro`"
        )
