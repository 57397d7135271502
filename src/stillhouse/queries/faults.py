"""Why a row cannot become a query: the reasons, and the error that carries one from the place that finds it."""

from typing import Any, Literal

EVIDENCE_CHARS = 200

RowReason = Literal[
    "not_a_row",  # it is no mapping of columns
    "no_text",  # no user turn with text
    "invalid_messages",  # a turn without role or content, an unknown role, text that is no Unicode
    "no_reference",  # nothing to compare an answer with: missing, null, NaN or blank
    "sentinel_reference",  # a word that means a missing reference, such as "proof"
    "unreadable_reference",  # the verifier of the category cannot read it
    "invalid_choices",  # no options, or an answer that is none of them
    "no_tests",
    "invalid_tests",  # they cannot run: syntax, layout, language, fixtures
    "unequal_tests",  # another number of inputs than of outputs
    "no_language",
    "invalid_constraints",  # another layout, or arguments that the checker does not take
    "unknown_constraint",
    "no_license",  # `columns` names its column and the row has none
    "invalid_value",  # another column has a value of a wrong type
]


class RowFaultError(ValueError):
    """A row cannot become a query; it never leaves the package, `queries.rows` makes a rejection of it."""

    def __init__(self, reason: RowReason, evidence: str) -> None:
        super().__init__(f"{reason}: {evidence}")
        self.reason: str = reason
        self.evidence = evidence[:EVIDENCE_CHARS]


def shown(value: Any) -> str:
    """Return a value as evidence: its beginning, on one line; safe for values of any size and nesting."""
    try:
        if isinstance(value, str):
            text = repr(value[:EVIDENCE_CHARS])
        elif isinstance(value, int) and value.bit_length() > 512:
            return f"a whole number of {value.bit_length()} bits"
        elif isinstance(value, bytes):
            text = f"{len(value)} bytes"
        elif isinstance(value, list | tuple | dict) and len(value) > 20:
            text = f"a {type(value).__name__} of {len(value)} entries"
        else:
            text = repr(value)
    except (RecursionError, ValueError):
        text = f"a {type(value).__name__}"
    # A lone surrogate is no text, and no table can hold it.
    return " ".join(text.encode("utf-8", "replace").decode().split())[:EVIDENCE_CHARS]
