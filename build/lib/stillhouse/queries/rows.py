"""From a plain row of a file, a Hub data set or an embedded set to a checked `Query`.

A row has the columns of `Query`; a plain `prompt` may stand for `messages`. A row that could never be answered or
verified stops the run: silently skipped rows would be missed by nobody.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.params.queries import Source
from stillhouse.queries.text import nfc
from stillhouse.records import (
    CONSTRAINT_KWARGS,
    ROLES,
    CodeTest,
    Constraint,
    Message,
    Query,
    Trace,
    ground_truth_of,
    query_id,
)

COLUMNS = frozenset(
    {
        "prompt",
        "messages",
        "ground_truth",
        "language",
        "setup",
        "entry_point",
        "tests",
        "constraints",
        "instruction_id_list",
        "kwargs",
        "solution",
        "license",
    }
)
# What an answer is checked against, by category; for `if` queries without constraints the judge writes demands.
_NEEDS = {"math": "ground_truth", "science": "ground_truth", "code": "tests"}


class QueriesError(StillhouseError):
    """A query source is missing or broken; the message names source, row, what was found, and the remedy."""


def query_of_row(
    row: Mapping[str, Any], source: Source, columns: Mapping[str, str], number: int
) -> Query:
    """Return the query that a row holds.

    `columns` maps names of `COLUMNS` to the row's own, and is complete: foreign data sets have columns of the same
    names and another meaning. Empty, it stands for a row with the columns of `Query`. A row's own licence goes before
    the source's; where `columns` names its column, each row must have one.

    Raises:
        QueriesError: no text, no ground truth for its category, no licence where there should be one, or a value of
            the wrong type.
    """
    where = f"query source {source.id!r}: row {number}"
    mapping = columns or {name: name for name in COLUMNS}
    values = {name: row.get(mapping[name]) if name in mapping else None for name in COLUMNS}
    messages = _messages(values, where, row)
    needed = _NEEDS.get(source.category)
    if needed and values[needed] in (None, "", []):
        raise QueriesError(
            f"{where}: no {needed!r}, which category {source.category!r} needs to be verified "
            f"(columns there: {', '.join(sorted(row))}); name its column under `columns`, or drop the row"
        )
    if "license" in columns and not values["license"]:
        raise QueriesError(
            f"{where}: no licence in {columns['license']!r}, which `columns` names as its column "
            f"(columns there: {', '.join(sorted(row))}); mend the row, or leave `license` out of `columns`"
        )
    try:
        tests = [msgspec.convert(_without_nulls(t), CodeTest) for t in values["tests"] or []]
        query = Query(
            id=query_id(messages),
            category=source.category,
            source=source.id,
            license=_text(values["license"]) or source.license,
            messages=messages,
            ground_truth=_ground_truth(values["ground_truth"]),
            language=msgspec.convert(values["language"], _LANGUAGE),
            setup=_text(values["setup"]),
            entry_point=_text(values["entry_point"]),
            tests=tests,
            constraints=constraints_of(values),
            solution=msgspec.convert(values["solution"], Trace | None),
            verifier=source.verifier,
        )
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise QueriesError(f"{where}: {error}; mend the row") from None
    if source.category == "code":
        _check_code(query, where)
    return query


_LANGUAGE = Query.__annotations__["language"]


def _messages(values: Mapping[str, Any], where: str, row: Mapping[str, Any]) -> list[Message]:
    """Return the conversation up to its last user turn, normalised."""
    turns = values["messages"]
    if turns is None and values["prompt"] is not None:
        turns = [{"role": "user", "content": values["prompt"]}]
    try:
        messages = [_message(turn) for turn in turns or []]
    except (KeyError, TypeError, ValueError) as error:
        raise QueriesError(
            f"{where}: messages must be a list of {{role, content}} with roles system, user, assistant: {error}"
        ) from None
    while messages and messages[-1].role != "user":
        messages.pop()
    if not messages or not messages[-1].content:
        raise QueriesError(
            f"{where}: no text of a question (columns there: {', '.join(sorted(row))}); "
            "name the column with the `prompt` or the `messages` under `columns`, or drop the row"
        )
    return messages


def _message(turn: Mapping[str, Any]) -> Message:
    role = turn["role"] if "role" in turn else turn["from"]
    content = turn["content"] if "content" in turn else turn["value"]
    if role not in ROLES:
        raise ValueError(f"found the role {role!r}")
    if not isinstance(content, str):
        raise TypeError(f"content must be text, found {type(content).__name__}")
    content.encode()  # a lone surrogate is no text, and no table can hold it: UnicodeEncodeError is a ValueError
    return msgspec.convert({"role": ROLES[role], "content": nfc(content)}, Message)


def _text(value: object) -> str | None:
    """Return a reference as text; a number in a JSON row is a fair way to write one."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value.encode()
        return nfc(value) if value.strip() else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"text or a number was expected, found {value!r}")


def _ground_truth(value: object) -> str | None:
    """Return the reference, or the list of references, of a row as one text."""
    if not isinstance(value, list):
        return _text(value)
    texts = [_text(reference) for reference in value]
    if not texts or None in texts:
        raise ValueError(
            f"a list of references needs one text or number or more, and no empty one: {value!r}"
        )
    return ground_truth_of([text for text in texts if text is not None])


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in value.items() if entry is not None}


def constraints_of(row: Mapping[str, Any]) -> list[Constraint]:
    """Return the constraints of a row, which may have none.

    They are a list of {id, kwargs} in `constraints`, or, as in IFEval's own files, the ids in `instruction_id_list` and
    the arguments of each in `kwargs`. Arguments without a value, of which those files are full, are left out.

    Raises:
        ValueError: another layout, both of them, an argument that no checker takes, or a value of the wrong type.
    """
    pairs, ids, kwargs = (
        row.get(name) for name in ("constraints", "instruction_id_list", "kwargs")
    )
    if ids is None or len(ids) == 0:
        return [_constraint(pair) for pair in pairs or []]
    if pairs:
        raise ValueError(
            "constraints stand in `constraints` and in `instruction_id_list`; keep one"
        )
    if not isinstance(ids, list) or not isinstance(kwargs, list) or len(ids) != len(kwargs):
        raise ValueError(
            "`instruction_id_list` needs `kwargs`, a list with the arguments of each of its ids: found "
            f"{ids!r} and {kwargs!r}"
        )
    return [_constraint({"id": id, "kwargs": given}) for id, given in zip(ids, kwargs, strict=True)]


def _constraint(value: Any) -> Constraint:
    if not isinstance(value, Mapping) or not isinstance(value.get("kwargs") or {}, Mapping):
        raise ValueError(
            f"a constraint is a mapping with `id` and a mapping `kwargs`; found {value!r}"
        )
    kwargs = _without_nulls(value.get("kwargs") or {})
    if unknown := kwargs.keys() - CONSTRAINT_KWARGS:
        raise ValueError(
            f"constraint {value.get('id')!r} has the unknown argument {', '.join(sorted(unknown))}; "
            f"known: {', '.join(sorted(CONSTRAINT_KWARGS))}"
        )
    # Tables without a type for whole numbers that may be missing have 3.0 for 3.
    kwargs = {
        name: int(entry) if isinstance(entry, float) and entry.is_integer() else entry
        for name, entry in kwargs.items()
    }
    return msgspec.convert({"id": value.get("id"), "kwargs": kwargs}, Constraint)


def _check_code(query: Query, where: str) -> None:
    """Refuse tests that cannot be run."""
    if query.language is None:
        raise QueriesError(f"{where}: no 'language'; put python or cpp")
    for test in query.tests:
        if test.kind == "assert" and (not test.code or query.language != "python"):
            raise QueriesError(f"{where}: a test of kind assert needs `code` and language python")
        if test.kind == "stdio" and test.output is None:
            raise QueriesError(f"{where}: a test of kind stdio needs the expected `output`")
