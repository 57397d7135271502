"""From a plain row of a file, a Hub data set or an embedded set to a checked `Query`.

A row has the columns of `Query`; a plain `prompt` may replace `messages`, and `choices` are added to it. A row that
could never be answered or verified is a rejection with a typed reason (`faults.RowReason`) and what was found.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stillhouse.known_layouts import is_release_row
from stillhouse.queries.cells import encodable, folded_name, is_blank, text_of, unpacked
from stillhouse.queries.choices import with_choices
from stillhouse.queries.constraints import constraints_of, refuse_uncheckable
from stillhouse.queries.faults import EVIDENCE_CHARS, RowFaultError, shown
from stillhouse.queries.naming import with_name
from stillhouse.queries.origins import Origin
from stillhouse.queries.origins import QueriesError as QueriesError
from stillhouse.queries.references import ground_truth, is_missing
from stillhouse.queries.tests_layouts import ReadTests, read_tests
from stillhouse.queries.text import nfc
from stillhouse.records import (
    ROLES,
    CodeTest,
    Constraint,
    Message,
    Query,
    Rejected,
    Trace,
    query_id,
)
from stillhouse.where import MISSING, lookup

COLUMNS = frozenset(
    {
        "prompt",
        "messages",
        "choices",
        "ground_truth",
        "language",
        "setup",
        "entry_point",
        "starter_code",
        "tests",
        "constraints",
        "instruction_id_list",
        "kwargs",
        "solution",
        "license",
    }
)
# What an answer is checked against, by category; for `if` queries without constraints the judge writes demands.
_NEEDS_REFERENCE = ("math", "science")
_LANGUAGES: dict[str, Literal["python", "cpp"]] = {
    **dict.fromkeys(("python", "python3", "py", "py3", "pypy3"), "python"),
    **dict.fromkeys(("cpp", "c++", "c++11", "c++14", "c++17", "c++20", "cxx"), "cpp"),
}


def query_of_row(
    row: Mapping[str, Any],
    origin: Origin,
    columns: Mapping[str, str],
    number: int,
    constants: Mapping[str, Any] | None = None,
) -> Query | Rejected:
    """Return the query that a row holds, or the row's rejection.

    `columns` maps names of `COLUMNS` to the row's own (see `cells.lookup`), and is complete: foreign data sets have
    columns of the same names and another meaning. Empty, it means a row with the columns of `Query`. A row's own
    licence goes before the source's; where `columns` names its column, each row must have one.

    Args:
        row: the row.
        origin: what holds for all rows of its source.
        columns: the names of its columns.
        number: its place in the source, from 1.
        constants: values that all rows have, by names of `COLUMNS`.
    """
    mapping = columns or {name: name for name in COLUMNS}
    values = dict.fromkeys(COLUMNS) | dict(constants or {})
    for name, own in mapping.items():
        if name not in (constants or {}):
            value = lookup(row, own)
            values[name] = None if value is MISSING else value
    try:
        if "license" in columns and is_blank(values["license"]):
            raise RowFaultError("no_license", f"nothing in {columns['license']!r}")
        query = _query(values, origin, complete=not is_release_row(row))
        msgspec.json.encode(query)  # as the table will hold it
        return query
    except UnicodeEncodeError as error:
        return rejected_row(origin, number, "invalid_value", f"no Unicode text: {error.reason}")
    except RowFaultError as fault:
        missing = fault.reason.startswith("no_")
        there = f" (columns there: {', '.join(sorted(map(str, row)))})" if missing else ""
        return rejected_row(origin, number, fault.reason, fault.evidence + there)


def rejected_row(origin: Origin, number: int, reason: str, evidence: str) -> Rejected:
    """Return the rejection of a row that is no query."""
    plain = encodable_part(evidence)
    return Rejected(query=None, reason=reason, evidence=plain, source=origin.id, row=number)


def encodable_part(evidence: str) -> str:
    """Return the beginning of what was found; a lone surrogate, which no table can hold, becomes a question mark."""
    cut = 2 * EVIDENCE_CHARS
    return evidence[:cut].encode("utf-8", "replace").decode()


def _query(values: dict[str, Any], origin: Origin, complete: bool) -> Query:
    """Return the query of a row's values; `complete`: a question may get the name that its tests call."""
    reference = values["ground_truth"]
    checked = origin.verifier is None
    if not is_blank(values["choices"]):
        prompt = text_of(values["prompt"], "no_text")
        if prompt is None:
            raise RowFaultError("no_text", "`choices` need a `prompt`")
        values["prompt"], reference = with_choices(prompt, values["choices"], reference)
    # A foreign data set may have a column of such a name with another meaning, where the category does not need it.
    code = ReadTests()
    if origin.category == "code" or (not checked and not is_blank(values["tests"])):
        code = _code(values)
    programming = origin.category == "code" or not checked
    messages = _messages(values)
    if code.tests and complete:
        setup, name = text_of(values["setup"], "invalid_value"), _entry_point(values, code)
        content = with_name(messages[-1].content, code.tests, setup, name)
        messages[-1] = Message(role="user", content=content)
    return Query(
        id=query_id(messages),
        category=origin.category,
        source=origin.id,
        license=text_of(values["license"], "invalid_value") or origin.license,
        messages=messages,
        ground_truth=_ground_truth(reference, origin),
        language=_language(code.language),
        setup=text_of(values["setup"], "invalid_value") if programming else None,
        entry_point=_entry_point(values, code) if programming else None,
        tests=_converted(code.tests),
        constraints=_constraints(values, checked) if origin.category == "if" or not checked else [],
        solution=_solution(values["solution"]),
        verifier=origin.verifier,
    )


def _constraints(values: Mapping[str, Any], checked: bool) -> list[Constraint]:
    found = constraints_of(values)
    if checked:
        refuse_uncheckable(found)
    return found


def _ground_truth(reference: Any, origin: Origin) -> str | None:
    if origin.category in _NEEDS_REFERENCE:
        if is_missing(reference):
            raise RowFaultError("no_reference", f"`ground_truth` is {shown(reference)}")
        return ground_truth(reference, origin.category, checked=origin.verifier is None)
    try:
        return None if is_missing(reference) else ground_truth(reference, origin.category)
    except RowFaultError:
        if origin.verifier is not None:
            raise
        return None


def _entry_point(values: Mapping[str, Any], code: ReadTests) -> str | None:
    return code.entry_point or text_of(values["entry_point"], "invalid_value")


def _messages(values: Mapping[str, Any]) -> list[Message]:
    """Return the conversation up to its last user turn, normalised, with the starter code of its task."""
    turns = unpacked(values["messages"])
    if is_blank(turns):
        prompt = text_of(values["prompt"], "no_text")
        turns = [] if prompt is None else [{"role": "user", "content": prompt}]
    if not isinstance(turns, list):
        raise RowFaultError(
            "invalid_messages", f"a list of turns was expected, found {shown(turns)}"
        )
    messages = [_message(turn) for turn in turns]
    while messages and messages[-1].role != "user":
        messages.pop()
    if not messages or is_blank(messages[-1].content):
        raise RowFaultError("no_text", "no user turn with text in `prompt` or `messages`")
    starter = text_of(values["starter_code"], "invalid_value")
    if starter is not None and starter not in messages[-1].content:
        content = f"{messages[-1].content}\n\nBegin with this code:\n\n```\n{starter}\n```"
        messages[-1] = Message(role="user", content=content)
    return messages


def _message(turn: Any) -> Message:
    if not isinstance(turn, Mapping):
        raise RowFaultError(
            "invalid_messages", f"a turn is {shown(turn)}; {{role, content}} was expected"
        )
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if not isinstance(role, str) or folded_name(role) not in ROLES:
        raise RowFaultError(
            "invalid_messages", f"the role {shown(role)}; known: {', '.join(ROLES)}"
        )
    if not isinstance(content, str):
        raise RowFaultError("invalid_messages", f"a turn's text is {shown(content)}")
    text = nfc(encodable(content, "invalid_messages"))
    return msgspec.convert({"role": ROLES[folded_name(role)], "content": text}, Message)


def _code(values: Mapping[str, Any]) -> ReadTests:
    """Return the tests of a code query with its language."""
    starter = text_of(values["starter_code"], "invalid_value")
    if is_blank(values["tests"]):
        raise RowFaultError("no_tests", f"`tests` is {shown(values['tests'])}")
    found = read_tests(values["tests"], text_of(values["entry_point"], "invalid_value"), starter)
    language = _language(values["language"], found.language)
    if language is None:
        raise RowFaultError("no_language", "put python or cpp, for all rows under `constants`")
    if language != "python" and any(test["kind"] == "assert" for test in found.tests):
        raise RowFaultError("invalid_tests", f"asserts are Python, and the language is {language}")
    found.language = language
    return found


def _language(*names: Any) -> Literal["python", "cpp"] | None:
    name = next((name for name in names if not is_blank(name)), None)
    if name is None:
        return None
    if not isinstance(name, str) or folded_name(name) not in _LANGUAGES:
        raise RowFaultError(
            "no_language", f"the language {shown(name)}; python or cpp was expected"
        )
    return _LANGUAGES[folded_name(name)]


def _converted(tests: list[dict[str, Any]]) -> list[CodeTest]:
    try:
        return msgspec.convert(tests, list[CodeTest])
    except msgspec.ValidationError as error:
        raise RowFaultError("invalid_tests", f"{error}: {shown(tests)}") from None


def _solution(value: Any) -> Trace | None:
    """Return a worked solution: reasoning and answer, or a text, which is an answer without reasoning."""
    value = unpacked(value)
    if is_blank(value):
        return None
    if isinstance(value, str):
        return Trace(think="", answer=nfc(value))
    try:
        return msgspec.convert(value, Trace)
    except msgspec.ValidationError as error:
        raise RowFaultError("invalid_value", f"solution: {error}: {shown(value)}") from None
