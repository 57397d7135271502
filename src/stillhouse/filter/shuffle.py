"""A negative control: a teacher's accepted answers, each beside another query of its category.

A student that learns from them has seen the same texts and learnt nothing about which answer belongs to which question.
A comparison that cannot tell it from the student of the right answers cannot tell teachers apart either.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from stillhouse.hashing import content_hash
from stillhouse.records import Example
from stillhouse.tables.read import read_column, read_table
from stillhouse.tables.write import write_table

# What moves to another query; the rest of a row is the query's.
OF_ANSWER = (
    *("attempt", "seed", "finish_reason", "completion_tokens", "think", "answer"),
    *("verify_score", "verifier", "perplexity"),
)


def shuffle(examples: Path, out: Path, seed: int) -> None:
    """Write a table of examples with the answers permuted within each category, in bounded memory.

    A row keeps its ids, query and prompt. The only row of a category keeps its answer too.

    Args:
        examples: the table of the parallel set of one teacher.
        out: the new table.
        seed: of the run.

    Raises:
        TableError: the table is missing or corrupt.
    """
    ids, categories = (read_column(examples, name) for name in ("id", "category"))
    new_place = places(zip(ids, categories, strict=True), seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="moved-") as scratch:
        moved = Path(scratch) / "answers"
        rows = read_table(examples, Example)
        write_table(
            moved, Example, (msgspec.structs.replace(row, id=new_place[row.id]) for row in rows)
        )
        # Both tables are sorted by id, so that the rows meet.
        pairs = zip(read_table(examples, Example), read_table(moved, Example), strict=True)
        write_table(out, Example, (_with_answer(row, answer) for row, answer in pairs))


def places(rows: Iterable[tuple[str, str]], seed: int) -> dict[str, str]:
    """Return for each row the row that gets its answer.

    Args:
        rows: id and category of each row.
        seed: with the id it orders the rows of a category, each of which gives its answer to the next.
    """
    by_category: dict[str, list[str]] = {}
    for row_id, category in rows:
        by_category.setdefault(category, []).append(row_id)
    found: dict[str, str] = {}
    for ids in by_category.values():
        ids.sort(key=lambda row_id: content_hash("shuffle", str(seed), row_id))
        found |= dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    return found


def _with_answer(row: Example, answer: Example) -> Example:
    return msgspec.structs.replace(row, **{name: getattr(answer, name) for name in OF_ANSWER})
