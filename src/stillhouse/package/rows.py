"""Defines the configurations of a released data set: their columns with a description, and their Arrow schemas.

`data` has one accepted response per query. `all_attempts` has every attempt with its verdict and the decision of the
filter, so that users can check the filter. `rejected` has the responses and `rejected_queries` the queries that are not
in `data`, each with the reason. `parallel` has one row per query with the answers of all teachers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from stillhouse.records import Example, Query
from stillhouse.schemas import arrow_schema

Kind = Literal["data", "all_attempts", "rejected", "rejected_queries", "parallel"]
SPLIT = "train"

# Description by column, in the order of the released files. The first column is the key: it is unique and sorted.
_QUERY_COLUMNS = {
    "category": "math, code, science, if, multiturn or other: a property of the source",
    "source": "id of the query source",
    "source_license": "licence of the query source",
}
_TRUTH_COLUMNS = {
    "ground_truth": 'reference answer, where the query has one; several as `{"any_of": [...]}`',
    "language": "programming language of a code query",
    "setup": "code that is put before the answer to a code query, where it has some",
    "entry_point": "name of the function that the tests of a code query call, where the query gives it",
    "tests": "tests of a code query",
    "constraints": "checkable instructions of an `if` query",
}
_TEACHER_COLUMNS = {
    "teacher": "id of the teacher in the run",
    "model": "model that the teacher is",
    "model_revision": "commit or content hash of the model",
}
DATA_COLUMNS = {
    "id": "content hash of the row; its first 16 digits are those of the query's id",
    "query_id": "content hash of the query; the same in the data sets of all teachers of the run",
    **_QUERY_COLUMNS,
    "messages": "the whole chat, the teacher's answer as its last turn",
    **_TRUTH_COLUMNS,
    **_TEACHER_COLUMNS,
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
ALL_ATTEMPTS_COLUMNS = {
    "id": "content hash of the attempt; its first 16 digits are those of the query's id",
    "query_id": "content hash of the query",
    **_QUERY_COLUMNS,
    "prompt": "the chat that was asked, up to the user's last turn",
    **_TRUTH_COLUMNS,
    **_TEACHER_COLUMNS,
    "attempt": "number of the attempt, from 0",
    "seed": "seed of the request",
    "finish_reason": "`stop`; `length` where the response was cut off; else why it is incomplete",
    "tokens": "tokens of the response",
    "think": "reasoning part",
    "answer": "answer part; empty where the reasoning was never closed",
    "state": "verdict: pass, fail or ungradable (trouble of the machinery, never a wrong answer)",
    "verify_score": "score of the verifier, 0 to 1; null where ungradable",
    "verify_reason": "why it did not pass",
    "verifier": "verifier that decided",
    "perplexity": "perplexity under the scorer model; null where not measured",
    "kept": "whether the filter kept it",
    "drop_reason": "why the filter dropped it",
    "fingerprint": "hash of all facts of the engine",
}
REJECTED_COLUMNS = {
    "id": "content hash of the attempt; the same row of `all_attempts` has its reasoning",
    "query_id": "content hash of the query",
    **_QUERY_COLUMNS,
    "stage": "what dropped it: `filter`, or `align` (another teacher has no accepted answer)",
    "reason": "why it was dropped",
    "verify_reason": "why it did not pass verification, where it did not",
    "prompt": "the chat that was asked",
    "answer": "answer part",
    "attempt": "number of the attempt, from 0",
    "finish_reason": "`stop`; `length` where the response was cut off; else why it is incomplete",
    "tokens": "tokens of the response",
    "verify_score": "score of the verifier; null where ungradable",
    "perplexity": "perplexity under the scorer model; null where not measured",
}
REJECTED_QUERIES_COLUMNS = {
    "id": "the query's id; with a number behind it from the second row of the same text on",
    "query_id": "content hash of the query",
    **_QUERY_COLUMNS,
    "reason": "why it was dropped before any teacher was asked",
    "evidence": "what the reason rests on",
    "duplicate_of": "the query that was kept in its place",
    "prompt": "the chat; withheld where it overlaps a benchmark: a release must not spread benchmark items",
}
PARALLEL_COLUMNS = {
    "query_id": "content hash of the query",
    **_QUERY_COLUMNS,
    "prompt": "the chat that was asked",
    **_TRUTH_COLUMNS,
    "answers": "by teacher: id of the row in that teacher's data set, attempt, tokens, think, answer, verify_score, "
    "verifier, perplexity",
}
# The columns of an accepted response in `parallel`, by their names in `Example`.
ANSWER_FIELDS = {
    "id": "id",
    "attempt": "attempt",
    "completion_tokens": "tokens",
    "think": "think",
    "answer": "answer",
    "verify_score": "verify_score",
    "verifier": "verifier",
    "perplexity": "perplexity",
}

_TYPES: dict[str, pa.DataType] = {field.name: field.type for field in arrow_schema(Example)} | {
    "tokens": pa.int64(),
    "prompt": arrow_schema(Query).field("messages").type,
    "state": pa.string(),
    "verify_reason": pa.string(),
    "kept": pa.bool_(),
    "drop_reason": pa.string(),
    "stage": pa.string(),
    "reason": pa.string(),
    "evidence": pa.string(),
    "duplicate_of": pa.string(),
}


def _schema(columns: Iterable[str]) -> pa.Schema:
    return pa.schema([(name, _TYPES[name]) for name in columns])


DATA_SCHEMA = _schema(DATA_COLUMNS)
ALL_ATTEMPTS_SCHEMA = _schema(ALL_ATTEMPTS_COLUMNS)
REJECTED_SCHEMA = _schema(REJECTED_COLUMNS)
REJECTED_QUERIES_SCHEMA = _schema(REJECTED_QUERIES_COLUMNS)
_ANSWER = pa.struct(
    [(name, arrow_schema(Example).field(column).type) for column, name in ANSWER_FIELDS.items()]
)


def parallel_schema(teacher_ids: Sequence[str]) -> pa.Schema:
    """Return the schema of `parallel`. Its column `answers` has one struct per teacher."""
    answers = pa.struct([(teacher, _ANSWER) for teacher in teacher_ids])
    return pa.schema(
        [(name, answers if name == "answers" else _TYPES[name]) for name in PARALLEL_COLUMNS]
    )


COLUMNS: dict[Kind, dict[str, str]] = {
    "data": DATA_COLUMNS,
    "all_attempts": ALL_ATTEMPTS_COLUMNS,
    "rejected": REJECTED_COLUMNS,
    "rejected_queries": REJECTED_QUERIES_COLUMNS,
    "parallel": PARALLEL_COLUMNS,
}
_MAYBE_TRUTH = frozenset({"ground_truth", "language", "setup", "entry_point"})
MAY_BE_NULL: dict[Kind, frozenset[str]] = {
    "data": _MAYBE_TRUTH,
    "all_attempts": _MAYBE_TRUTH | {"verify_score", "verify_reason", "perplexity", "drop_reason"},
    "rejected": frozenset({"verify_reason", "verify_score", "perplexity"}),
    "rejected_queries": frozenset({"evidence", "duplicate_of", "prompt"}),
    "parallel": _MAYBE_TRUTH,
}
ABOUT: dict[Kind, str] = {
    "data": "one accepted, verified response per query: the set to train on",
    "all_attempts": "every attempt with its verdict and what became of it",
    "rejected": "the responses that are not in the training set, each with the reason",
    "rejected_queries": "the queries that no teacher was asked, each with the reason",
    "parallel": "one row per query with the accepted answers of all teachers side by side",
}


@dataclass(frozen=True)
class Config:
    """One configuration of a repository: `load_dataset(repo, name)` reads `<folder>/train-*.parquet`.

    `teacher` is the teacher whose rows it has; None if it has rows of all teachers or of none.
    """

    name: str
    kind: Kind
    folder: str
    teacher: str | None
    schema: pa.Schema

    @property
    def data_files(self) -> str:
        """The pattern of its shards in the front matter of the card."""
        return f"{self.folder}/{SPLIT}-*.parquet"


def kind_of(folder: str) -> Kind | None:
    """Return the kind of rows in a folder of a repository, from the folder's name; None for other folders."""
    last = folder.rsplit("/", 1)[-1]
    return next((kind for kind in COLUMNS if kind == last), None)


def schema_of(kind: Kind, teacher_ids: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of a kind of rows; `teacher_ids` are the teachers of `parallel`."""
    schemas = {
        "data": DATA_SCHEMA,
        "all_attempts": ALL_ATTEMPTS_SCHEMA,
        "rejected": REJECTED_SCHEMA,
        "rejected_queries": REJECTED_QUERIES_SCHEMA,
    }
    return schemas.get(kind) or parallel_schema(teacher_ids)
