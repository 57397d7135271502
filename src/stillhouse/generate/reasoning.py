"""The many ways in which models mark their reasoning, normalised to think and answer.

The first end mark ends the reasoning, and what follows is the answer. An unclosed block has no answer: what follows a
think tag that was never closed is no result. Neither has a completion that opens a second block after the first, since
it does not say which text outside the blocks is the answer. A second end mark alone is text of the answer. What the
completion has around its parts is stored beside them (`records.frame_of`), so that nothing is lost where a model kept
to no format. A student's
completion is split as `think_tags`, the format of the turns that it was trained on.

| format | the completion |
|---|---|
| `none` | is the answer |
| `think_tags` | `<think>..</think>`, then the answer; without any tag all is answer (Qwen3 told not to think) |
| `open_think` | thoughts, `</think>`, the answer: the chat template opened the block (DeepSeek-R1) |
| `answer_tags` | `<think>..</think><answer>..</answer>` (AM-Thinking) |
| `thought_marks` | the thought, then the solution, between begin and end marks (Sky-T1, OpenThoughts) |
| `harmony` | messages in the channels analysis, commentary and final (gpt-oss) |
| `separate_field` | is the answer; the endpoint returned the reasoning apart |
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from stillhouse.models.engine import Completion
from stillhouse.params.teacher import Reasoning

_OPEN, _CLOSE = "<think>", "</think>"
_ANSWER = re.compile(r"\A\s*<answer>(.*)</answer>\s*\Z", re.DOTALL)
_BEGIN_THOUGHT, _END_THOUGHT = "<|begin_of_thought|>", "<|end_of_thought|>"
_SOLUTION = re.compile(r"\A\s*<\|begin_of_solution\|>(.*?)<\|end_of_solution\|>\s*\Z", re.DOTALL)
# One message of gpt-oss: a header that names the channel (and what else: a recipient, a constraint), then its text up
# to the mark that ends it. The last one may lack that mark: the engine stops at it and does not return it. Possessive,
# because a header without an end would otherwise cost quadratic time.
_MESSAGE = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w++)[^<]*+(?:<\|constrain\|>[^<]*+)?<\|message\|>(?P<text>.*?)"
    r"(?:<\|end\|>|<\|return\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
_FINAL = "final"


class Parts(NamedTuple):
    """The two parts of a completion, stripped; either may be empty."""

    think: str
    answer: str


def split(completion: Completion, reasoning: Reasoning) -> Parts:
    """Split a completion by the teacher's reasoning format (the table above)."""
    text = completion.text
    match reasoning:
        case "none":
            return Parts("", text.strip())
        case "separate_field":
            return Parts((completion.reasoning or "").strip(), text.strip())
        case "harmony":
            return _harmony(text)
        case "thought_marks":
            return _between(text, _BEGIN_THOUGHT, _END_THOUGHT, _solution, opened=False)
        case "answer_tags":
            return _between(text, _OPEN, _CLOSE, _tagged, opened=False)
        case "think_tags" | "open_think":
            return _between(text, _OPEN, _CLOSE, str.strip, opened=reasoning == "open_think")


def _between(
    text: str, begin: str, end: str, answer_of: Callable[[str], str], opened: bool
) -> Parts:
    """Split at the first end mark; no answer where a block opens after it.

    `opened` says that the prompt has opened the block.
    """
    body = text.lstrip()
    if body.startswith(begin):
        body = body.removeprefix(begin)
    elif not opened and begin not in body and end not in body:
        return Parts("", answer_of(text))
    think, closed, rest = body.partition(end)
    return Parts(think.strip(), answer_of(rest) if closed and begin not in rest else "")


def _tagged(text: str) -> str:
    match = _ANSWER.match(text)
    return match.group(1).strip() if match else ""


def _solution(text: str) -> str:
    match = _SOLUTION.match(text)
    if match:
        return match.group(1).strip()
    return "" if "<|begin_of_solution|>" in text or "<|end_of_solution|>" in text else text.strip()


def _harmony(text: str) -> Parts:
    messages = [(m["channel"], m["text"].strip()) for m in _MESSAGE.finditer(text)]
    if not messages:
        return Parts(text.strip(), "") if "<|channel|>" in text else Parts("", text.strip())
    think = "\n\n".join(said for channel, said in messages if channel != _FINAL and said)
    answers = [said for channel, said in messages if channel == _FINAL]
    return Parts(think, answers[-1] if answers else "")
