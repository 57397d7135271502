"""Exports a release in the layout of the paper's data sets, for loaders that expect that layout.

The export has one JSON Lines file per category. Each line is `{"system": ..., "conversations": [...]}`. Turns are
`{"from": "human" | "assistant", "value", "info"}`. The info of the last human turn has source, category, ground_truth,
test_case and instruction_constrain. The info of the last assistant turn has think_content, answer_content,
verify_score, ppl and model_name. Earlier turns have no info (arXiv 2505.14464; the field names are the published ones).
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.files import partial
from stillhouse.package.rows import DATA_SCHEMA
from stillhouse.tables.read import BATCH_ROWS

# The system prompt that asks a model for the form of this layout; the wording is our own.
SYSTEM = (
    "Think first, then answer. Write the reasoning between <think> and </think>, and after it the answer between "
    "<answer> and </answer>."
)
_ROLES = {"user": "human", "assistant": "assistant"}


class ExportError(StillhouseError):
    """A release cannot be exported; the message names the file or row."""


def export_paper_layout(folder: Path, out: Path) -> dict[str, int]:
    """Write `out/<category>.jsonl` from the training set of a release, in its order. `out` is created atomically.

    Args:
        folder: the folder of one repository, or of one teacher in it.
        out: the folder to create.

    Returns:
        The number of written rows, by category.

    Raises:
        ExportError: `out` exists, or the training set is missing or unreadable.
    """
    if out.exists():
        raise ExportError(f"{out}: exists already; remove it or choose another folder")
    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise ExportError(
            f"{folder}: no training set here (data/*.parquet); name a folder such as data/release/<teacher>"
        )
    counts: Counter[str] = Counter()
    with partial(out) as new, ExitStack() as stack:
        new.mkdir()
        files: dict[str, IO[str]] = {}
        for shard in shards:
            for row in _rows(shard):
                category = row["category"]
                if category not in files:
                    path = new / f"{category}.jsonl"
                    files[category] = stack.enter_context(path.open("w", encoding="utf-8"))
                line = json.dumps(paper_row(row), ensure_ascii=False, allow_nan=False)
                files[category].write(line + "\n")
                counts[category] += 1
    return dict(sorted(counts.items()))


def paper_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `data` in the paper's layout."""
    turns = [
        {"from": _ROLES[turn["role"]], "value": turn["content"], "info": None}
        for turn in row["messages"]
        if turn["role"] in _ROLES
    ]
    constraints = [
        {"id": c["id"], "kwargs": {k: v for k, v in c["kwargs"].items() if v is not None}}
        for c in row["constraints"]
    ]
    system = "\n\n".join(t["content"] for t in row["messages"] if t["role"] == "system")
    turns[-2]["info"] = {
        "source": row["source"],
        "category": row["category"],
        "ground_truth": row["ground_truth"],
        "test_case": row["tests"] or None,
        "instruction_constrain": constraints or None,
    }
    turns[-1]["value"] = f"<think>{row['think']}</think><answer>{row['answer']}</answer>"
    turns[-1]["info"] = {
        "think_content": row["think"],
        "answer_content": row["answer"],
        "verify_score": row["verify_score"],
        "ppl": row["perplexity"],
        "model_name": row["model"],
    }
    return {"system": system or SYSTEM, "conversations": turns}


def _rows(shard: Path) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            if not file.schema_arrow.equals(DATA_SCHEMA):
                raise ExportError(f"{shard}: not a training set of this version of stillhouse")
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ExportError(f"{shard}: unreadable ({' '.join(str(error).split())})") from None
