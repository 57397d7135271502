"""The many ways in which models mark their reasoning, normalised to think and answer.

An unclosed reasoning block has no answer: what follows a think tag that was never closed is no result.
"""

import re
from typing import NamedTuple

from stillhouse.models.engine import Completion

_OPEN, _CLOSE = "<think>", "</think>"
_ANSWER = re.compile(r"\A\s*<answer>(.*)</answer>\s*\Z", re.DOTALL)


class Parts(NamedTuple):
    """The two parts of a completion, stripped; either may be empty."""

    think: str
    answer: str


def split(completion: Completion, reasoning: str) -> Parts:
    """Split a completion by the teacher's reasoning format.

    Formats: `none` (all is answer), `think_tags` (`<think>..</think>` then the answer), `open_think` (the chat template
    has opened the think block in the prompt), `answer_tags` (think tags, then `<answer>..</answer>`), `separate_field`
    (the endpoint returns the reasoning apart).
    """
    text = completion.text
    if reasoning == "none":
        return Parts("", text.strip())
    if reasoning == "separate_field":
        return Parts((completion.reasoning or "").strip(), text.strip())
    body = text.lstrip()
    if body.startswith(_OPEN):
        body = body.removeprefix(_OPEN)
    elif reasoning != "open_think" and _OPEN not in body and _CLOSE not in body:
        return Parts("", _unwrap(text, reasoning))
    think, closed, answer = body.partition(_CLOSE)
    if not closed:
        return Parts(think.strip(), "")
    return Parts(think.strip(), _unwrap(answer, reasoning))


def _unwrap(answer: str, reasoning: str) -> str:
    if reasoning == "answer_tags":
        match = _ANSWER.match(answer)
        return match.group(1).strip() if match else ""
    return answer.strip()
