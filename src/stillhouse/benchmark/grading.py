r"""What counts as an answer and when it is right, for benchmark tasks of our own.

Read in two environments (ours and lighteval's), so only the standard library may come in.

The rules, in order:

1. Only the answer part is graded. Text after the last `</think>`; nothing where a think block was opened and never
   closed, and nothing where the answer was cut off at the token limit.
2. If there is a `\boxed{...}`, the last one is the answer.
3. Otherwise, for a number the last number; for a single letter the last such capital letter that stands alone; for
   other text the last non-empty line, without an "answer:" before it.
4. Numbers are compared as numbers (`1,200` is `1200.0`; `3/4` is `0.75`), other text without case, surrounding
   punctuation and repeated spaces.
"""

import re
from fractions import Fraction

_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|-?\.\d+")
_LETTER = re.compile(r"(?<![\w'])[A-Z](?![\w'])")
_LATEX_WRAP = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}")
_LABEL = re.compile(r"^.*\b(?:answer)\b\s*(?:is\b|:)\s*:?\s*", re.IGNORECASE)
_EDGES = " \t\n.,;:!*_`'\"()$"


def answer_part(text: str, finish_reason: str) -> str:
    """Return what of a completion is graded; empty where reasoning or answer was cut off."""
    if finish_reason != "stop":
        return ""
    reasoning, closed, answer = text.rpartition("</think>")
    if "<think>" in answer:
        return ""
    return answer.strip() if closed else reasoning + answer


def score(answer: str, gold: str) -> float:
    """Return 1.0 where the answer part gives the reference answer, else 0.0."""
    given = extract(answer, gold)
    return 1.0 if given is not None and _same(given, gold) else 0.0


def extract(answer: str, gold: str) -> str | None:
    """Return what the answer part gives as its final answer, of the kind that the reference is; None if nothing."""
    boxed = _last_boxed(answer)
    if boxed is not None:
        return boxed
    if _as_number(gold) is not None:
        found = _NUMBER.findall(answer)
    elif re.fullmatch("[A-Z]", gold.strip()):
        found = _LETTER.findall(answer)
    else:
        found = [_LABEL.sub("", line) for line in answer.splitlines() if line.strip()]
    return found[-1] if found else None


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth = 1
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None


def _same(given: str, gold: str) -> bool:
    number = _as_number(gold)
    if number is not None:
        return _as_number(given) == number
    return _normalised(given) == _normalised(gold)


def _normalised(text: str) -> str:
    return " ".join(_LATEX_WRAP.sub(r"\1", text).casefold().split()).strip(_EDGES)


def _as_number(text: str) -> Fraction | None:
    plain = _LATEX_WRAP.sub(r"\1", text).strip(_EDGES.replace(".", "")).rstrip(".").replace(" ", "")
    if not _NUMBER.fullmatch(plain):
        return None
    try:
        numerator, _, denominator = plain.replace(",", "").partition("/")
        return Fraction(numerator) / Fraction(denominator or "1")
    except ZeroDivisionError:
        return None
