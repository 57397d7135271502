"""Where the final answer of a text is."""

import re

MAX_BOXES = 50  # looked at from the end
MAX_BOX_CHARS = 2000  # twice of what is parsed; a longer box is no final answer
TAIL_CHARS = 400  # without a marked final answer only the last paragraph can hold one
SHORT_CHARS = 100  # a marked line up to this length is nothing but the answer

_MARKED = re.compile(
    r"(?:final\s+answer|the\s+answer|answer)\s*(?:\*\*)?\s*(?:is|:|=)\s*:?\s*(?:\*\*)?|^####",
    re.IGNORECASE | re.MULTILINE,
)


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
