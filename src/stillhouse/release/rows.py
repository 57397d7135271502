"""The rows of a released data set: their columns, what each column means, and how they come from stage tables.

A release has two configurations. `default` holds one accepted response per query; `attempts` holds every attempt of the
teacher with its verdict and what became of it, so that nobody has to trust the filter.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.records import (
    SCHEMAS,
    Decision,
    Example,
    Perplexity,
    Response,
    Row,
    Verdict,
    assistant_text,
)
from stillhouse.tables import BATCH_ROWS, read_table, shard_paths

# Column -> its meaning, in the order of the released files.
EXAMPLE_COLUMNS = {
    "id": "content hash of the row",
    "query_id": "content hash of the query; the same in the data sets of all teachers of the run",
    "category": "math, code, science, if, multiturn or other: a property of the source",
    "source": "id of the query source",
    "source_license": "licence of the query source",
    "messages": "the whole chat, the teacher's answer as its last turn",
    "ground_truth": "reference answer, where the query has one",
    "language": "programming language of a code query",
    "tests": "tests of a code query",
    "constraints": "checkable instructions of an `if` query",
    "teacher": "id of the teacher in the run",
    "model": "model that the teacher is",
    "model_revision": "commit or content hash of the model",
    "attempt": "which attempt was accepted, from 0",
    "seed": "seed of the request",
    "finish_reason": "always `stop`: truncated responses are not released",
    "tokens": "tokens of the response",
    "think": "reasoning part; empty for a teacher without one",
    "answer": "answer part: the only part that was graded",
    "verify_score": "score of the verifier, 0 to 1",
    "verifier": "verifier that decided",
    "perplexity": "perplexity of the response under the scorer model",
    "fingerprint": "hash of all facts of the engine; spelled out in provenance.json",
}
ATTEMPT_COLUMNS = {
    "id": "content hash of the attempt",
    "query_id": "content hash of the query",
    "attempt": "number of the attempt, from 0",
    "seed": "seed of the request",
    "finish_reason": "`stop`, or `length` where the response was cut off",
    "tokens": "tokens of the response",
    "think": "reasoning part",
    "answer": "answer part",
    "state": "verdict: pass, fail or ungradable (trouble of the machinery, never a wrong answer)",
    "verify_score": "score of the verifier, 0 to 1; null where ungradable",
    "verify_reason": "why it did not pass",
    "verifier": "verifier that decided",
    "perplexity": "perplexity under the scorer model; null where not measured",
    "kept": "whether the filter kept it",
    "drop_reason": "why the filter dropped it",
}

_EXAMPLE_NAMES = {"tokens": "completion_tokens"}
EXAMPLE_SCHEMA = pa.schema(
    [
        SCHEMAS[Example].field(_EXAMPLE_NAMES.get(name, name)).with_name(name)
        for name in EXAMPLE_COLUMNS
    ]
)
ATTEMPT_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "query_id": pa.string(),
        "attempt": pa.int32(),
        "seed": pa.int64(),
        "finish_reason": pa.string(),
        "tokens": pa.int64(),
        "think": pa.string(),
        "answer": pa.string(),
        "state": pa.string(),
        "verify_score": pa.float64(),
        "verify_reason": pa.string(),
        "verifier": pa.string(),
        "perplexity": pa.float64(),
        "kept": pa.bool_(),
        "drop_reason": pa.string(),
    }
)


class ReleaseRowError(StillhouseError):
    """A stage table cannot become released rows; the message names table and row."""


def example_batches(aligned: Path) -> Iterator[pa.RecordBatch]:
    """Yield the `default` rows of a table of `Example`, in the table's order (by id), in bounded memory.

    Raises:
        ReleaseRowError: a chat does not end with the user's turn.
        TableError: there is no table.
    """
    for shard in shard_paths(aligned):
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = {
                    name: batch.column(_EXAMPLE_NAMES.get(name, name)) for name in EXAMPLE_COLUMNS
                }
                columns["messages"] = pa.array(
                    _chats(batch, shard), type=EXAMPLE_SCHEMA.field("messages").type
                )
                yield pa.RecordBatch.from_arrays(list(columns.values()), schema=EXAMPLE_SCHEMA)


def _chats(batch: pa.RecordBatch, shard: Path) -> Iterator[list[dict[str, str]]]:
    names = ("id", "messages", "think", "answer")
    for row_id, chat, think, answer in zip(
        *(batch.column(name).to_pylist() for name in names), strict=True
    ):
        if not chat or chat[-1]["role"] != "user":
            raise ReleaseRowError(
                f"{shard}: row {row_id}: the last message must be the user's (the answer is added here), found "
                f"{chat[-1]['role'] if chat else 'no message'}"
            )
        yield [*chat, {"role": "assistant", "content": assistant_text(think, answer)}]


def attempt_batches(
    responses: Path, verdicts: Path, perplexity: Path, decisions: Path
) -> Iterator[pa.RecordBatch]:
    """Yield the `attempts` rows: four tables with the same key order, merged in bounded memory.

    Raises:
        ReleaseRowError: a verdict, perplexity or decision belongs to no response.
        TableError: a table is missing or corrupt.
    """
    verdict_of = _Follower(verdicts, Verdict)
    perplexity_of = _Follower(perplexity, Perplexity)
    decision_of = _Follower(decisions, Decision)
    rows: list[dict[str, Any]] = []
    for response in read_table(responses, Response):
        verdict: Verdict | None = verdict_of.at(response.id)
        surprise: Perplexity | None = perplexity_of.at(response.id)
        decision: Decision | None = decision_of.at(response.id)
        rows.append(
            {
                "id": response.id,
                "query_id": response.query_id,
                "attempt": response.attempt,
                "seed": response.seed,
                "finish_reason": response.finish_reason,
                "tokens": response.completion_tokens,
                "think": response.think,
                "answer": response.answer,
                "state": verdict.state if verdict else None,
                "verify_score": verdict.score if verdict else None,
                "verify_reason": verdict.reason if verdict else None,
                "verifier": verdict.verifier if verdict else None,
                "perplexity": surprise.perplexity if surprise else None,
                "kept": decision.kept if decision else False,
                "drop_reason": decision.reason if decision else None,
            }
        )
        if len(rows) == BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(rows, schema=ATTEMPT_SCHEMA)
            rows = []
    for follower in (verdict_of, perplexity_of, decision_of):
        follower.finish()
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=ATTEMPT_SCHEMA)


class _Follower:
    """Reads a table keyed by response_id beside the table of responses, row by row."""

    def __init__(self, folder: Path, row_type: type[Row]) -> None:
        self._folder = folder
        self._rows: Iterator[Any] = iter(read_table(folder, row_type))
        self._next: Any = next(self._rows, None)

    def at(self, response_id: str) -> Any:
        """Return the row of this response, or None; ids must come in ascending order."""
        if self._next is None or self._next.response_id > response_id:
            return None
        if self._next.response_id < response_id:
            self.finish()
        found, self._next = self._next, next(self._rows, None)
        return found

    def finish(self) -> None:
        if self._next is not None:
            raise ReleaseRowError(
                f"{self._folder}: row {self._next.response_id} belongs to no response of this teacher; the tables come "
                "from different runs: run `dvc repro`"
            )


def row_groups(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Gather batches into tables of about `size` bytes, one row group each."""
    gathered: list[pa.RecordBatch] = []
    gathered_bytes = 0
    for batch in batches:
        gathered.append(batch)
        gathered_bytes += batch.nbytes
        if gathered_bytes >= size:
            yield pa.Table.from_batches(gathered)
            gathered, gathered_bytes = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered)
