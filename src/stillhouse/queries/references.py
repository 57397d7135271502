"""The reference answer of a row, as the verifier of its category will read it."""

import re
from collections.abc import Callable
from typing import Any

from stillhouse.queries.cells import is_blank, text_of, unpacked
from stillhouse.queries.faults import RowFaultError, shown
from stillhouse.records import Category, ground_truth_of
from stillhouse.verify.formula import FormulaError, parse
from stillhouse.verify.rules.final_answer import last_boxed
from stillhouse.verify.rules.math import MAX_FINAL_CHARS
from stillhouse.verify.rules.notation import clean
from stillhouse.verify.rules.options import option_letter

# What public sets have in place of an answer. Whole cells only: a question may have the answer "0" or "no".
SENTINELS = frozenset(
    {
        *("proof", "notfound", "not found", "answer not found", "no answer", "no final answer"),
        *("nan", "null", "none", "n/a", "n.a.", "not available", "not applicable", "tbd", "todo"),
        *("see solution", "see explanation", "see proof", "<answer>"),
    }
)
_FORMULA = re.compile(r"\\[A-Za-z]|[\d=^_]")
_SOMETHING = re.compile(r"\w|\\[A-Za-z]|[∅∞]")


def ground_truth(value: Any, category: Category, checked: bool = True) -> str | None:
    """Return the reference, or the list of references, of a cell as one text; null where there is none.

    Of several references, those are kept that the verifier can read.

    Args:
        value: a text, a number or a list of these.
        category: of the query; math and science have readers.
        checked: whether the verifier of the category will grade the answers.

    Raises:
        RowFaultError: `sentinel_reference`, or `unreadable_reference`.
    """
    cells = value if isinstance(value, list) else [value]
    found = [text_of(cell, "unreadable_reference") for cell in cells]
    texts = [text for text in found if text is not None]
    if not texts:
        return None
    if len(texts) < len(cells):
        raise RowFaultError("unreadable_reference", f"an empty one of several: {shown(value)}")
    if not checked or (reader := _READERS.get(category)) is None:
        return ground_truth_of(texts)
    read = [text for text in texts if text.strip(" .").casefold() not in SENTINELS]
    if not read:
        raise RowFaultError("sentinel_reference", shown(texts[0]))
    faults = {text: fault for text in read if (fault := reader(text)) is not None}
    readable = [text for text in read if text not in faults]
    if not readable:
        raise RowFaultError("unreadable_reference", faults[read[0]])
    return ground_truth_of(readable)


def is_missing(value: Any) -> bool:
    """Return whether a cell holds no reference, in a list neither."""
    value = unpacked(value) if isinstance(value, str) and value.strip() == "[]" else value
    return is_blank(value) or (isinstance(value, list) and all(map(is_blank, value)))


def _math_fault(reference: str) -> str | None:
    """Return why the rule of maths cannot compare an answer with a reference; null where it can.

    A text without any sign of a formula is compared as words.
    """
    boxed = last_boxed(reference)
    text = reference.strip() if boxed is None else boxed
    if not _SOMETHING.search(text):
        return f"nothing to compare: {shown(text)}"
    if len(text) > MAX_FINAL_CHARS:
        return f"{len(text)} characters, at most {MAX_FINAL_CHARS} are read: {shown(text)}"
    if option_letter(text):
        return None
    try:
        parse(clean(text), frozenset())
    except (FormulaError, RecursionError) as error:
        return f"not read: {error} in {shown(text)}" if _FORMULA.search(text) else None
    return None


def _science_fault(reference: str) -> str | None:
    """Return why nobody can compare an answer with a reference: the rule reads any words, and the judge does."""
    return None if _SOMETHING.search(reference) else f"nothing to compare: {shown(reference)}"


_READERS: dict[Category, Callable[[str], str | None]] = {
    "math": _math_fault,
    "science": _science_fault,
}
