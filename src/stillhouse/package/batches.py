"""Joins the sorted tables of a run to released rows, batch by batch in bounded memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillhouse.package.rows import (
    ALL_ATTEMPTS_SCHEMA,
    ANSWER_FIELDS,
    DATA_SCHEMA,
    REJECTED_QUERIES_SCHEMA,
    REJECTED_SCHEMA,
    parallel_schema,
)
from stillhouse.records import Example
from stillhouse.schemas import arrow_schema
from stillhouse.tables.streams import Follower, JoinError, read_batches

# Returns the benchmark item that a chat (turns of role and content) overlaps, or None.
Overlaps = Callable[[Sequence[Mapping[str, str]]], str | None]

CONTAMINATED = "contaminated"  # the queries stage's reason for an overlap with a benchmark
_RESPONSE = [
    "id",
    "query_id",
    "teacher",
    "attempt",
    "seed",
    "finish_reason",
    "completion_tokens",
    "think",
    "answer",
    "fingerprint",
]
_QUERY = [
    "category",
    "source",
    "license",
    "messages",
    "ground_truth",
    "language",
    "setup",
    "entry_point",
    "tests",
    "constraints",
]
_SHARED = ["source_license" if name == "license" else name for name in _QUERY]  # in `Example`


@dataclass(frozen=True)
class TeacherTables:
    """The tables of one teacher that a release is built from."""

    aligned: Path
    responses: Path
    verdicts: Path
    perplexity: Path
    decisions: Path


def data_batches(aligned: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `data` from a table of `Example`.

    Raises:
        JoinError: a chat does not end with the user's turn.
        TableError: the table is missing or corrupt.
    """
    own = arrow_schema(Example).names
    for batch in read_batches(aligned):
        columns = {
            "tokens" if name == "completion_tokens" else name: batch.column(name) for name in own
        }
        columns["messages"] = _with_answer(batch, aligned)
        yield _record_batch(columns, DATA_SCHEMA)


def assistant_turns(think: pa.Array, answer: pa.Array) -> pa.Array:
    """Return `records.assistant_text` of each row."""
    whole = pc.binary_join_element_wise("<think>\n", think, "\n</think>\n\n", answer, "")
    return pc.if_else(pc.equal(think, ""), answer, whole)


def _with_answer(batch: pa.RecordBatch, aligned: Path) -> pa.ListArray:
    """Return the chats with the assistant's turn appended to each."""
    chats = batch.column("messages")
    offsets = chats.offsets.to_numpy()
    first, ends = int(offsets[0]), offsets[1:] - offsets[0]
    turns = chats.values.slice(first, int(ends[-1]))
    roles, contents = turns.field("role"), turns.field("content")
    empty = np.diff(offsets) == 0
    last_role = roles.take(pa.array(np.where(empty, 0, ends - 1), mask=empty))
    wrong = pc.indices_nonzero(pc.fill_null(pc.not_equal(last_role, "user"), True))
    if len(wrong):
        row = wrong[0].as_py()
        raise JoinError(
            f"{aligned}: row {batch.column('id')[row].as_py()}: the last message must be the user's (the answer is "
            f"added here), found {last_role[row].as_py() or 'no message'}"
        )
    rows = batch.num_rows
    answers = assistant_turns(batch.column("think"), batch.column("answer"))
    # All turns come first, then all answers; `order` moves each answer behind the last turn of its chat.
    order = pa.array(np.insert(np.arange(len(turns)), ends, len(turns) + np.arange(rows)))
    roles = pa.concat_arrays([roles, pa.array(["assistant"] * rows)]).take(order)
    contents = pa.concat_arrays([contents, answers]).take(order)
    chat = pa.StructArray.from_arrays([roles, contents], names=["role", "content"])
    ends = np.concatenate([[0], ends + np.arange(1, rows + 1)])
    return pa.ListArray.from_arrays(pa.array(ends, type=pa.int32()), chat)


def attempt_batches(
    tables: TeacherTables, queries: Path, model: str, revision: str
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield batches of `all_attempts`, each with a batch of its rows that belong to `rejected`.

    Args:
        tables: the teacher's tables.
        queries: the curated queries.
        model: the name of the teacher's model.
        revision: the revision of that model.

    Raises:
        JoinError: a response has no verdict, decision or query, or another table has a row without a response.
        TableError: a table is missing or corrupt.
    """
    verdicts = Follower(tables.verdicts, "response_id", ["state", "score", "reason", "verifier"])
    perplexities = Follower(tables.perplexity, "response_id", ["perplexity"])
    decisions = Follower(tables.decisions, "response_id", ["kept", "reason"])
    asked = Follower(queries, "id", _QUERY, partial=True)
    released = Follower(tables.aligned, "query_id", [], partial=True)
    for batch in read_batches(tables.responses, _RESPONSE):
        ids, query_ids = batch.column("id"), batch.column("query_id")
        verdict, decision, query = verdicts.at(ids), decisions.at(ids), asked.at(query_ids)
        _refuse_null(ids, verdict.column("state"), tables.verdicts)
        _refuse_null(ids, decision.column("kept"), tables.decisions)
        _refuse_null(query_ids, query.column("category"), queries)
        columns = {name: batch.column(name) for name in _RESPONSE} | {
            "tokens": batch.column("completion_tokens"),
            **{name: query.column(name) for name in _QUERY},
            "source_license": query.column("license"),
            "prompt": query.column("messages"),
            "model": pa.repeat(model, batch.num_rows),
            "model_revision": pa.repeat(revision, batch.num_rows),
            "state": verdict.column("state"),
            "verify_score": verdict.column("score"),
            "verify_reason": verdict.column("reason"),
            "verifier": verdict.column("verifier"),
            "perplexity": perplexities.at(ids).column("perplexity"),
            "kept": decision.column("kept"),
            "drop_reason": decision.column("reason"),
        }
        attempts = _record_batch(columns, ALL_ATTEMPTS_SCHEMA)
        in_parallel = released.at(query_ids).column("query_id").is_valid().combine_chunks()
        yield attempts, _rejected(attempts, in_parallel)
    for follower in (verdicts, perplexities, decisions):
        follower.finish()


def _rejected(attempts: pa.RecordBatch, in_parallel: pa.Array) -> pa.RecordBatch:
    kept = attempts.column("kept")
    dropped = attempts.filter(pc.invert(pc.and_(kept, in_parallel)))
    by_align = dropped.column("kept")
    columns = {name: dropped.column(name) for name in dropped.schema.names} | {
        "stage": pc.if_else(by_align, "align", "filter"),
        "reason": pc.if_else(by_align, "not_answered_by_all", dropped.column("drop_reason")),
    }
    return _record_batch(columns, REJECTED_SCHEMA)


def rejected_query_batches(
    rejected: Path, overlaps: Overlaps | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `rejected_queries` from the table that the queries stage wrote.

    Rows that could not become a query have no text and no id; the card counts them. The text of a query that overlaps a
    benchmark is withheld, whatever the reason of its rejection.

    Args:
        rejected: the table.
        overlaps: finds overlaps with benchmarks; None: only rows rejected as contaminated are withheld.

    Raises:
        TableError: the table is missing or corrupt.
    """
    previous, repeats = "", 0
    for read in read_batches(rejected):
        batch = read.filter(read.column("query").is_valid())
        query = batch.column("query")
        names = query.type.names
        fields = dict(zip(names, query.flatten(), strict=True))
        ids = []
        for query_id in fields["id"].to_pylist():
            repeats = repeats + 1 if query_id == previous else 0
            previous = query_id
            ids.append(f"{query_id}-{repeats:06d}" if repeats else query_id)
        reason = batch.column("reason")
        chats, evidence = fields["messages"], batch.column("evidence")
        withheld = pc.equal(reason, CONTAMINATED)
        if overlaps is not None:
            found = [overlaps(chat) is not None for chat in chats.to_pylist()]
            withheld = pc.or_(withheld, pa.array(found, type=pa.bool_()))
        # The evidence of an overlap is reduced to the name of the benchmark item; its text is removed.
        named = pc.replace_substring_regex(evidence, r"(?s): .*", "")
        columns = {
            "id": pa.array(ids, type=pa.string()),
            "query_id": fields["id"],
            **{name: fields[name] for name in ("category", "source")},
            "source_license": fields["license"],
            "reason": reason,
            "evidence": pc.if_else(withheld, named, evidence),
            "duplicate_of": batch.column("duplicate_of"),
            "prompt": chats.take(
                pa.array(np.arange(len(chats)), mask=withheld.to_numpy(zero_copy_only=False))
            ),
        }
        yield _record_batch(columns, REJECTED_QUERIES_SCHEMA)


def parallel_batches(aligned: Mapping[str, Path]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `parallel` from each teacher's table of `Example`.

    Raises:
        JoinError: the tables do not hold the same queries.
        TableError: a table is missing or corrupt.
    """
    schema = parallel_schema(list(aligned))
    first, *others = aligned
    followers = {
        teacher: Follower(aligned[teacher], "query_id", list(ANSWER_FIELDS)) for teacher in others
    }
    for batch in read_batches(aligned[first]):
        keys = batch.column("query_id")
        answers = [_answers(batch)]
        for teacher, follower in followers.items():
            found = follower.at(keys)
            _refuse_null(keys, found.column("id"), aligned[teacher])
            answers.append(_answers(found.to_batches(max_chunksize=batch.num_rows)[0]))
        columns = {name: batch.column(name) for name in _SHARED} | {
            "query_id": keys,
            "prompt": batch.column("messages"),
            "answers": pa.StructArray.from_arrays(answers, names=list(aligned)),
        }
        yield _record_batch(columns, schema)
    for follower in followers.values():
        follower.finish()


def _answers(batch: pa.RecordBatch) -> pa.StructArray:
    return pa.StructArray.from_arrays(
        [batch.column(name) for name in ANSWER_FIELDS], names=list(ANSWER_FIELDS.values())
    )


def _refuse_null(keys: pa.Array, column: pa.ChunkedArray, folder: Path) -> None:
    if column.null_count:
        missing = keys.filter(column.is_null().combine_chunks())[0].as_py()
        raise JoinError(
            f"{folder}: no row for {missing}; the tables come from different runs: run `dvc repro`"
        )


def _record_batch(
    columns: Mapping[str, pa.Array | pa.ChunkedArray], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        column = columns[field.name]
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        arrays.append(column.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
