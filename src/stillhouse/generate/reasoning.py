"""The many ways in which models mark their reasoning, normalised to think and answer.

The first end mark ends the reasoning, and what follows is the answer. An unclosed block has no answer: what follows a
think tag that was never closed is no result. Neither has a completion that opens a second block after the first, since
it does not say which text outside the blocks is the answer. A second end mark alone is text of the answer. What the
completion has around its parts is stored beside them (`records.frame_of`), so that nothing is lost where a model kept
to no format; the control token that ends a turn is part of that, and so are characters of no width and the token of a
text's begin before the first mark. A student's completion is split as `think_tags`, the format of the turns that it was
trained on.

| format | the completion |
|---|---|
| `none` | is the answer |
| `think_tags` | `<think>..</think>`, then the answer; without any tag all is answer (Qwen3 told not to think) |
| `open_think` | thoughts, `</think>`, the answer: the chat template opened the block (DeepSeek-R1) |
| `answer_tags` | `<think>..</think><answer>..</answer>` (AM-Thinking) |
| `thought_marks` | the thought, then the solution, between begin and end marks (Sky-T1, OpenThoughts-114k) |
| `bracket_think` | `[THINK]..[/THINK]`, then the answer (Magistral) |
| `kimi_think`, `seed_think`, `mm_think` | `◁think▷`, `<seed:think>`, `<mm:think>` likewise (Kimi, Seed-OSS, MiniMax) |
| `thought_tags`, `thinking_tags` | `<thought>`, `<thinking>` likewise |
| `granite_sentences` | "Here is my thought process:", thoughts, "Here is my response:", the answer (Granite 3.2) |
| `harmony` | messages in the channels analysis, commentary and final (gpt-oss) |
| `separate_field` | is the answer; the endpoint returned the reasoning apart |
| `{open, close}` | any other pair of marks, as `think_tags` |
"""

import re
from typing import NamedTuple

from stillhouse.marks import HARMONY_CHANNEL, TURN_ENDS, ThinkMarks
from stillhouse.models.engine import Completion
from stillhouse.params.teacher import Reasoning, marks_of

_BEFORE_MARK = re.compile(
    r"(?:[\s\ufeff\u200b-\u200d\u2060]|<s>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)*+"
)
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
    if reasoning == "harmony":
        return _harmony(completion.text)
    text = _without_turn_end(completion.text)
    if reasoning == "separate_field":
        return Parts((completion.reasoning or "").strip(), text)
    marks = marks_of(reasoning)
    return Parts("", text) if marks is None else _by_marks(text, marks)


def _without_turn_end(text: str) -> str:
    text = text.strip()
    end = next((end for end in TURN_ENDS if text.endswith(end)), "")
    return text.removesuffix(end).rstrip()


def _by_marks(text: str, marks: ThinkMarks) -> Parts:
    """Split at the first end mark; no answer where a block opens after it."""
    before = _BEFORE_MARK.match(text)
    body = text[before.end() :] if before else text
    opened = next((mark for mark in marks.open if body.startswith(mark)), None)
    if opened is not None:
        body = body.removeprefix(opened)
    elif not marks.prompt_opens and not any(mark in text for mark in (*marks.open, *marks.close)):
        return Parts("", _inside(text, marks))
    else:
        body = text
    ends = [(body.index(mark), mark) for mark in marks.close if mark in body]
    if not ends:
        return Parts(body.strip(), "")
    at, close = min(ends)
    think, rest = body[:at].strip(), body[at + len(close) :]
    return Parts(think, "" if any(mark in rest for mark in marks.open) else _inside(rest, marks))


def _inside(text: str, marks: ThinkMarks) -> str:
    """Return the answer inside its own marks, if the format has any."""
    text = text.strip()
    begin, end = marks.answer_open, marks.answer_close
    if begin is None or end is None:
        return text
    if text.startswith(begin) and text.removeprefix(begin).endswith(end):
        return text.removeprefix(begin).removesuffix(end).strip()
    return "" if marks.answer_required or begin in text or end in text else text


def _harmony(text: str) -> Parts:
    messages = [(m["channel"], m["text"].strip()) for m in _MESSAGE.finditer(text)]
    if not messages:
        return Parts(text.strip(), "") if HARMONY_CHANNEL in text else Parts("", text.strip())
    think = "\n\n".join(said for channel, said in messages if channel != _FINAL and said)
    answers = [said for channel, said in messages if channel == _FINAL]
    return Parts(think, answers[-1] if answers else "")
