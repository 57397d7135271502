"""Where the final answer of a text stands, and which of the offered options it names."""

import re

from stillhouse.verify.notation import SYMBOLS

MAX_BOXES = 50  # looked at from the end
MAX_BOX_CHARS = 2000  # twice of what is parsed; a longer box is no final answer
TAIL_CHARS = 400  # without a marked final answer only the last paragraph can hold one
SHORT_CHARS = 100  # a marked line up to this length is nothing but the answer

_MARKED = re.compile(
    r"(?:final\s+answer|the\s+answer|answer)\s*(?:\*\*)?\s*(?:is|:|=)\s*:?\s*(?:\*\*)?|^####",
    re.IGNORECASE | re.MULTILINE,
)
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


def final_answer(answer: str) -> tuple[str, bool]:
    r"""Return the text of the final answer, and whether the answer marks it as such.

    It is the content of the last `\boxed{}`, else what follows the last "answer is", "Answer:" or "####", else the last
    paragraph.
    """
    boxed = last_boxed(answer)
    if boxed is not None:
        return boxed, True
    marks = list(_MARKED.finditer(answer))
    if marks:
        rest = answer[marks[-1].end() :].strip()
        line = rest.splitlines()[0].strip() if rest else ""
        # The formula may stand on lines of its own after the mark.
        text = rest if line.startswith(("$$", "\\[")) else line
        text = text[:TAIL_CHARS].strip().strip("*").rstrip(".").strip()
        if text:
            return text, len(text) <= SHORT_CHARS
    # A longer stretch would offer numbers from the working as answers.
    return re.split(r"\n\s*\n", answer.strip())[-1][-TAIL_CHARS:], False


def last_boxed(text: str) -> str | None:
    """Return the content of the last complete box, braces balanced."""
    starts = [found.end() for found in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]
    for start in reversed(starts[-MAX_BOXES:]):
        depth = 1
        for i in range(start, min(len(text), start + MAX_BOX_CHARS)):
            if text[i] in "{}" and text[i - 1] != "\\":
                depth += 1 if text[i] == "{" else -1
            if depth == 0:
                return text[start:i].strip()
    return None


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
