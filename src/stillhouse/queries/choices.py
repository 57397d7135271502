"""Multiple choice: the options of a row in its prompt, and the letter of the right one as its reference.

Options are a list of texts, a list of mappings, a mapping of labels to texts, or `{"text": [...], "label": [...]}`;
each also as a JSON text. The answer is the letter, the label, the text, or the place of an option, counted from 0.
"""

import re
from collections.abc import Mapping
from typing import Any

from stillhouse.queries.cells import is_blank, text_of, unpacked
from stillhouse.queries.faults import RowFaultError, shown
from stillhouse.verify.rules.offered import Options

LETTERS = "ABCDEFGHIJ"  # the verifiers know these
_LABELLED = re.compile(r"\s*\(?([A-Ja-j]|\d{1,2})[).:]\s*(?=\S)")
_TEXT_KEYS = ("text", "value", "content", "option", "answer")
_LABEL_KEYS = ("label", "key", "letter", "id")


def with_choices(prompt: str, choices: Any, answer: Any) -> tuple[str, str | None]:
    """Return the prompt with its options, one a line, and the letter of the answer; null where the row has no answer.

    A prompt that lists its options already stays as it is.

    Args:
        prompt: the question.
        choices: the cell with the options.
        answer: the cell with the answer.

    Raises:
        RowFaultError: `invalid_choices`: fewer than 2 options or more than 10, an option without text, or an answer
            that is none of them or two of the same text.
    """
    labels, texts = _read(choices)
    if not 2 <= len(texts) <= len(LETTERS):
        raise RowFaultError("invalid_choices", f"{len(texts)} options: {shown(choices)}")
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    if len(Options(prompt).texts) != len(texts):
        prompt = f"{prompt}\n\n" + "\n".join(lines)
    return prompt, None if is_blank(answer) else _letter(answer, labels, texts)


def _letter(answer: Any, labels: list[str], texts: list[str]) -> str:
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    place: int | None = None
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        place = int(answer) if float(answer).is_integer() else None
    else:
        said = text_of(answer, "invalid_choices") or ""
        bare = said.strip(" ().:").casefold()
        names = [label.casefold() for label in labels]
        whole = [text.casefold() for text in texts]
        if bare in names:
            place = names.index(bare)
        elif said.casefold() in whole:
            place = whole.index(said.casefold())
        elif labelled := _LABELLED.match(said):  # "B) 5"
            place = names.index(labelled[1].casefold()) if labelled[1].casefold() in names else None
        elif bare.isdecimal() and len(bare) < 3:
            place = int(bare)
    if place is None or not 0 <= place < len(texts):
        raise RowFaultError("invalid_choices", f"{shown(answer)} is none of {len(texts)} options")
    if texts.count(texts[place]) > 1:
        raise RowFaultError("invalid_choices", f"two options are the right one: {shown(texts)}")
    return LETTERS[place]


def _read(choices: Any) -> tuple[list[str], list[str]]:
    """Return the labels and the texts of options."""
    choices = unpacked(choices)
    labels: list[Any] | None = None
    if isinstance(choices, Mapping):
        if isinstance(choices.get("text"), list):
            labels, texts = choices.get("label"), choices["text"]
        else:
            # Parquet gives every row of a struct all its keys, null where a row has none.
            pairs = [(key, text) for key, text in choices.items() if text is not None]
            labels, texts = [key for key, _ in pairs], [text for _, text in pairs]
    elif isinstance(choices, list) and choices and all(isinstance(c, Mapping) for c in choices):
        texts = [_first(choice, _TEXT_KEYS) for choice in choices]
        labels = [_first(choice, _LABEL_KEYS) for choice in choices]
    elif isinstance(choices, list):
        texts = choices
    else:
        raise RowFaultError("invalid_choices", f"options as {shown(choices)}")
    plain = [text_of(text, "invalid_choices") for text in texts]
    if None in plain:
        raise RowFaultError("invalid_choices", f"an option without text: {shown(choices)}")
    found = [" ".join(text.split("\n")) for text in plain if text is not None]
    if labels is None or len(labels) != len(found) or any(is_blank(label) for label in labels):
        labels, found = _cut(found)
    return [str(label) for label in labels], found


def _cut(texts: list[str]) -> tuple[list[Any], list[str]]:
    """Return the labels that texts begin with, all in order, and the rest of the texts; else letters and the texts."""
    marks = [_LABELLED.match(text) for text in texts]
    given = [mark[1].upper() for mark in marks if mark]
    if given in (list(LETTERS[: len(texts)]), [str(i + 1) for i in range(len(texts))]):
        return given, [text[mark.end() :] for text, mark in zip(texts, marks, strict=True) if mark]
    return list(LETTERS[: len(texts)]), texts


def _first(choice: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((choice[name] for name in names if choice.get(name) is not None), None)
