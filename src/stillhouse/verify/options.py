"""Which of the offered options an answer chooses."""

import re

from stillhouse.verify.final_answer import final_answer
from stillhouse.verify.notation import SYMBOLS

_MACRO = re.compile(r"\\(?:text(?:bf|rm|it)?|math(?:bf|rm|it)|mbox)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"\(?([A-J])\)?\.?")
_LEADING = re.compile(r"\(?([A-J])(?:\)|[.:](?=\s|$)|$)")
_NAMED = re.compile(
    r"(?:answer|option|choice)(?:\s+is)?\s*:?\s*(?:\*\*)?\s*\(?([A-J])\b(?!')(?:\)|\.|\*\*|,|:|\s*$|\s+\()?"
)
_NEGATED = re.compile(
    r"\b(?:not|n't|never|neither|rather than|instead of)\s+(?:option\s+|choice\s+)?\(?[A-J]\b\)?",
    re.IGNORECASE,
)
_JOINED = re.compile(
    r"\(?\b([A-J])\)?\s*(?:,|/|&|\bor\b|\band\b)\s*(?:and\s+|or\s+)?\(?([A-J])\b\)?(?!')"
)
_OPTION = re.compile(r"^\s*\(?([A-J])[).:]\s*(\S.*?)\s*$", re.MULTILINE)


def option_letter(reference: str) -> str | None:
    """Return the letter A-J that a reference consists of, brackets and a text macro aside."""
    found = _LETTER.fullmatch(_MACRO.sub(r"\1", reference).strip())
    return found[1] if found else None


def chosen_option(answer: str, prompt: str) -> str | None:
    """Return the letter of the option that an answer chooses, by its letter or by its text; null where none."""
    answer, prompt = answer.translate(SYMBOLS), prompt.translate(SYMBOLS)
    answer = _NEGATED.sub("", answer)
    final, marked = final_answer(answer)
    if marked and _JOINED.search(final):
        return None  # two at once
    text: str = _MACRO.sub(r"\1", final).strip().strip("*$").strip()
    options: dict[tuple[str, ...], str] = {
        tuple(words(option)): letter for letter, option in _OPTION.findall(prompt)
    }
    listed = len(_OPTION.findall(answer)) > 1  # a copy of the options chooses none of them
    if not listed and (leading := _LEADING.match(text)):
        return leading[1]
    if letter := options.get(tuple(words(text))):
        return letter
    named: list[str] = _NAMED.findall(answer)
    if named:
        return named[-1]
    if not listed and (leading := _LEADING.match(answer.strip().lstrip("*"))):
        return leading[1]
    if alone := _LETTER.fullmatch(text):
        return alone[1]
    bracketed: set[str] = set(re.findall(r"\(([A-J])\)", answer))
    if len(bracketed) == 1:
        return bracketed.pop()
    return options.get(tuple(words(answer)))


def words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case, without articles and text macros."""
    return [
        word
        for word in re.findall(r"[^\W_]+", text.casefold().replace("\\text", ""))
        if word not in ("a", "an", "the")
    ]
