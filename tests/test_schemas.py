"""The derived Arrow schemas beside an explicit copy, so that no table's format changes by accident."""

import msgspec
import pyarrow as pa
import pytest

from stillhouse.constraint_arguments import CONSTRAINT_KWARGS
from stillhouse.records import (
    BenchmarkItem,
    Decision,
    Example,
    Perplexity,
    Query,
    Rejected,
    Response,
    Row,
    Sample,
    Verdict,
)
from stillhouse.schemas import arrow_schema
from stillhouse.sft.rows import FitLength, TrainingId

STRING_LIST = pa.list_(pa.string())
MESSAGE = pa.struct({"role": pa.string(), "content": pa.string()})
MESSAGES = pa.list_(MESSAGE)
TEST = pa.struct(
    {
        "kind": pa.string(),
        "code": pa.string(),
        "input": pa.string(),
        "output": pa.string(),
        "tolerance": pa.float64(),
    }
)
ARGUMENTS: dict[str, pa.DataType] = {
    "capital_frequency": pa.int64(),
    "capital_relation": pa.string(),
    "demand": pa.string(),
    "end_phrase": pa.string(),
    "first_word": pa.string(),
    "forbidden_words": STRING_LIST,
    "frequency": pa.int64(),
    "keyword": pa.string(),
    "keywords": STRING_LIST,
    "language": pa.string(),
    "let_frequency": pa.int64(),
    "let_relation": pa.string(),
    "letter": pa.string(),
    "nth_paragraph": pa.int64(),
    "num_bullets": pa.int64(),
    "num_highlights": pa.int64(),
    "num_paragraphs": pa.int64(),
    "num_placeholders": pa.int64(),
    "num_sections": pa.int64(),
    "num_sentences": pa.int64(),
    "num_words": pa.int64(),
    "postscript_marker": pa.string(),
    "prompt_to_repeat": pa.string(),
    "relation": pa.string(),
    "section_spliter": pa.string(),
}
CONSTRAINT = pa.struct({"id": pa.string(), "kwargs": pa.struct(ARGUMENTS)})
TRACE = pa.struct({"think": pa.string(), "answer": pa.string()})
CHECK = pa.struct(
    {
        "verifier": pa.string(),
        "version": pa.string(),
        "state": pa.string(),
        "score": pa.float64(),
        "reason": pa.string(),
        "evidence": pa.string(),
        "answer": pa.string(),
    }
)
QUERY_FIELDS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "category": pa.string(),
    "source": pa.string(),
    "license": pa.string(),
    "messages": MESSAGES,
    "ground_truth": pa.string(),
    "language": pa.string(),
    "setup": pa.string(),
    "entry_point": pa.string(),
    "tests": pa.list_(TEST),
    "constraints": pa.list_(CONSTRAINT),
    "solution": TRACE,
    "verifier": pa.string(),
}

EXPECTED: dict[type[Row], pa.Schema] = {
    BenchmarkItem: pa.schema(
        {
            "id": pa.string(),
            "task": pa.string(),
            "item_id": pa.string(),
            "prompt": pa.string(),
            "reference": pa.string(),
        }
    ),
    Query: pa.schema(QUERY_FIELDS),
    Response: pa.schema(
        {
            "id": pa.string(),
            "query_id": pa.string(),
            "teacher": pa.string(),
            "attempt": pa.int32(),
            "seed": pa.int64(),
            "think": pa.string(),
            "answer": pa.string(),
            "frame": STRING_LIST,
            "finish_reason": pa.string(),
            "prompt_tokens": pa.int64(),
            "completion_tokens": pa.int64(),
            "cost": pa.float64(),
            "fingerprint": pa.string(),
        }
    ),
    Verdict: pa.schema(
        {
            "response_id": pa.string(),
            "query_id": pa.string(),
            "state": pa.string(),
            "score": pa.float64(),
            "reason": pa.string(),
            "verifier": pa.string(),
            "cost": pa.float64(),
            "checks": pa.list_(CHECK),
        }
    ),
    Perplexity: pa.schema(
        {"response_id": pa.string(), "perplexity": pa.float64(), "tokens": pa.int64()}
    ),
    Decision: pa.schema(
        {
            "response_id": pa.string(),
            "query_id": pa.string(),
            "kept": pa.bool_(),
            "reason": pa.string(),
        }
    ),
    Rejected: pa.schema(
        {
            "query": pa.struct(QUERY_FIELDS),
            "reason": pa.string(),
            "evidence": pa.string(),
            "duplicate_of": pa.string(),
            "source": pa.string(),
            "row": pa.int64(),
        }
    ),
    Sample: pa.schema(
        {
            "id": pa.string(),
            "task": pa.string(),
            "item_id": pa.string(),
            "sample": pa.int32(),
            "teacher": pa.string(),
            "student": pa.string(),
            "seed": pa.int64(),
            "text": pa.string(),
            "score": pa.float64(),
            "score_strict": pa.float64(),
            "score_lenient": pa.float64(),
            "reason": pa.string(),
            "unread": pa.bool_(),
            "completion_tokens": pa.int64(),
            "finish_reason": pa.string(),
        }
    ),
    FitLength: pa.schema(
        {
            "id": pa.string(),
            "query_id": pa.string(),
            "teacher": pa.string(),
            "tokens": pa.int64(),
            "loss_tokens": pa.int64(),
        }
    ),
    TrainingId: pa.schema({"query_id": pa.string()}),
    Example: pa.schema(
        {
            "id": pa.string(),
            "query_id": pa.string(),
            "category": pa.string(),
            "source": pa.string(),
            "source_license": pa.string(),
            "messages": MESSAGES,
            "ground_truth": pa.string(),
            "language": pa.string(),
            "setup": pa.string(),
            "entry_point": pa.string(),
            "tests": pa.list_(TEST),
            "constraints": pa.list_(CONSTRAINT),
            "teacher": pa.string(),
            "model": pa.string(),
            "model_revision": pa.string(),
            "attempt": pa.int32(),
            "seed": pa.int64(),
            "finish_reason": pa.string(),
            "prompt_tokens": pa.int64(),
            "completion_tokens": pa.int64(),
            "think": pa.string(),
            "answer": pa.string(),
            "verify_score": pa.float64(),
            "verifier": pa.string(),
            "perplexity": pa.float64(),
            "fingerprint": pa.string(),
        }
    ),
}


@pytest.mark.parametrize("row_type", EXPECTED, ids=lambda t: t.__name__)
def test_a_derived_schema_is_the_one_that_tables_have(row_type: type[Row]) -> None:
    assert arrow_schema(row_type).equals(EXPECTED[row_type], check_metadata=True)


def test_every_row_type_but_the_nested_ones_is_in_the_copy() -> None:
    nested = {"Message", "CodeTest", "Constraint", "Trace", "Check"}
    assert {t.__name__ for t in Row.__subclasses__()} == nested | {t.__name__ for t in EXPECTED}


def test_constraint_arguments_are_typed() -> None:
    arguments = arrow_schema(Query).field("constraints").type.value_type.field("kwargs").type
    assert {field.name for field in arguments} == CONSTRAINT_KWARGS


def test_a_field_without_an_arrow_type_is_refused() -> None:
    # defined by msgspec, because a subclass of Row would count as a row type
    unknown = msgspec.defstruct("Unknown", [("things", dict[str, int])])
    with pytest.raises(TypeError, match="no Arrow type is known for dict"):
        arrow_schema(unknown)  # type: ignore[arg-type]
