"""Finds the final answer in a text."""

import re

from stillhouse.verify.rules.notation import unstopped

MAX_BOXES = 50  # boxes that are read, from the end
MAX_BOX_CHARS = 2000  # twice the length that is parsed; a longer box is not a final answer
MAX_BETWEEN_CHARS = 60  # longest text between two boxes of one answer
TAIL_CHARS = 400  # end of an answer that is read if no final answer is marked
SHORT_CHARS = 100  # a marked line up to this length contains only the answer

_MARKED = re.compile(
    r"\b(?:answer|antwort|réponse|respuesta|resposta|risposta|ответ)\s{0,3}(?:\*\*)?\s{0,3}"
    r"(?:is\b|ist\b|lautet\b|est\b|es\b|è|é|:|=)\s{0,3}:?\s{0,3}(?:\*\*)?|(?:答案|答|答え|정답)\s{0,3}(?:\*\*)?(?:是|为|為|は|：|:)"
    r"\s{0,3}[：:]?\s{0,3}(?:\*\*)?|^####",
    re.IGNORECASE | re.MULTILINE,
)
_TAGGED = re.compile(r"<answer>(.{0,2000}?)</answer>", re.DOTALL | re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
# Text that may be between the boxes of one answer: a conjunction, the name of the next value, formula delimiters.
_CONNECTION = re.compile(
    r"(?:\s|\$|\\[()\[\],;]|\\q?quad\b|\*\*|[,;&.]|\band\b|\bor\b|\\text\s*\{\s*(?:,?\s*and|,?\s*or|,)\s*\}|\([a-e]\))*"
    r"(?P<name>(?:[A-Za-z]|\\[a-z]{2,9})(?:_\{?\w{1,3}\}?)?\s*(?:=|\\in)\s*)?(?:\$|\s)*"
)
_NAME_BEFORE = re.compile(r"(?:[A-Za-z]|\\[a-z]{2,9})(?:_\{?\w{1,3}\}?)?\s*=\s*\$?\s*$")


def final_answer(answer: str) -> tuple[str, bool]:
    r"""Return the text of the final answer, and whether the answer marks it as final.

    The final answer is the content of the last `\boxed{}`, otherwise of the last `<answer>`, otherwise the text after
    the last "answer is", "Answer:" or "####", otherwise the last paragraph.
    """
    boxed = last_boxed(answer)
    if boxed is not None:
        return boxed, True
    tagged = _TAGGED.findall(answer)
    if tagged:
        return tagged[-1].strip(), True
    marks = list(_MARKED.finditer(answer))
    if marks:
        rest = answer[marks[-1].end() :].strip()
        line = rest.splitlines()[0].strip() if rest else ""
        # The formula may follow on its own lines after the mark.
        text = rest if line.startswith(("$$", "\\[")) else line
        text = text[:TAIL_CHARS].strip().strip("*`")
        text = unstopped(text, ".。").strip()
        if text:
            return text, len(text) <= SHORT_CHARS
    # A longer text would include numbers from the working.
    return re.split(r"\n\s*\n", answer.strip())[-1][-TAIL_CHARS:], False


def last_boxed(text: str) -> str | None:
    """Return the content of the last complete box with balanced braces."""
    starts = [found.end() for found in _BOX.finditer(text)]
    for start in reversed(starts[-MAX_BOXES:]):
        end = _end_of_box(text, start)
        if end is not None:
            return text[start:end].strip()
    return None


def joined_boxes(text: str) -> str | None:
    r"""Return the boxes at the end of a text as one list, if only conjunctions are between them.

    The name before a box is part of it: `$x=\boxed{3}$ and $y=\boxed{4}$` is `x=3, y=4`. The result is None for fewer
    than two boxes.
    """
    boxes: list[tuple[int, int, int]] = []
    for found in list(_BOX.finditer(text))[-MAX_BOXES:]:
        if boxes and found.start() < boxes[-1][2]:
            continue  # inside another box
        end = _end_of_box(text, found.end())
        if end is not None:
            boxes.append((found.start(), found.end(), end + 1))
    items: list[str] = []
    for i in range(len(boxes) - 1, -1, -1):
        start, inside, end = boxes[i]
        named = _NAME_BEFORE.search(text[max(0, start - 30) : start])
        name = named[0].replace("$", " ") if named else ""
        items.append(name + text[inside : end - 1].strip())
        between = text[boxes[i - 1][2] : start] if i else ""
        if (
            i == 0
            or len(between) > MAX_BETWEEN_CHARS
            or not _CONNECTION.fullmatch(between)
            or ("\n" in between.strip("$ ") and not name)
        ):
            break
    items = [item for place, item in enumerate(items) if item not in items[:place]]
    return ", ".join(reversed(items)) if len(items) > 1 else None


def _end_of_box(text: str, start: int) -> int | None:
    depth = 1
    for i in range(start, min(len(text), start + MAX_BOX_CHARS)):
        if text[i] in "{}" and text[i - 1] != "\\":
            depth += 1 if text[i] == "{" else -1
        if depth == 0:
            return i
    return None
