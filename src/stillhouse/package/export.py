"""Export of a release to the layout of the paper's own data sets, for loaders that expect it.

One JSON Lines file per category; each line is `{"system": ..., "conversations": [...]}`. Turns are `{"from": "human" |
"assistant", "value", "info"}`. The info of the last human turn is source, category, ground_truth, test_case and
instruction_constrain, that of the last assistant turn think_content, answer_content, verify_score, ppl and model_name;
earlier turns have none (arXiv 2505.14464; the field names are the published ones).
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
from stillhouse.tables.table import BATCH_ROWS

# What tells a model to answer in this layout's form, in words of our own.
SYSTEM = (
    "Think first, then answer. Write the reasoning between <think> and </think>, and after it the answer between "
    "<answer> and </answer>."
)
_ROLES = {"user": "human", "assistant": "assistant"}


class ExportError(StillhouseError):
    """A release cannot be exported; the message names the file or row."""


def export_paper_layout(folder: Path, out: Path) -> dict[str, int]:
    """Write `out/<category>.jsonl` from the training set of a release, in its order; `out` appears whole or not at all.

    Args:
        folder: the folder of one repository, or of one teacher in it.
        out: folder to make.

    Returns:
        The rows written, by category.

    Raises:
        ExportError: `out` exists, or there is no readable training set.
    """
    if out.exists():
        raise ExportError(f"{out}: exists already; remove it or name another folder")
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
                raise ExportError(f"{shard}: no training set of this version of stillhouse")
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ExportError(f"{shard}: unreadable ({' '.join(str(error).split())})") from None
