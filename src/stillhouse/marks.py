"""The marks by which models part reasoning from answer, and the control tokens that belong in neither."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple


class ThinkMarks(NamedTuple):
    """The marks of one format.

    `open` and `close` list alternatives. `answer_open` and `answer_close` are around the answer, which has none
    without them if `answer_required`. `prompt_opens`: the prompt has opened the block, so that a text without any mark
    is reasoning. `required`: a finished completion has a mark; without one, the format is not the model's.
    """

    open: tuple[str, ...]
    close: tuple[str, ...]
    answer_open: str | None = None
    answer_close: str | None = None
    answer_required: bool = False
    prompt_opens: bool = False
    required: bool = True

    @property
    def all(self) -> tuple[str, ...]:
        """All marks of the format."""
        around_answer = (mark for mark in (self.answer_open, self.answer_close) if mark)
        return (*self.open, *self.close, *around_answer)


MarkPreset = Literal[
    "think_tags",
    "open_think",
    "answer_tags",
    "thought_marks",
    "bracket_think",
    "kimi_think",
    "seed_think",
    "mm_think",
    "thought_tags",
    "thinking_tags",
    "granite_sentences",
]
_THINK, _END_THINK = ("<think>",), ("</think>",)
PRESETS: dict[str, ThinkMarks] = {
    "think_tags": ThinkMarks(_THINK, _END_THINK, required=False),
    "open_think": ThinkMarks(_THINK, _END_THINK, prompt_opens=True),
    "answer_tags": ThinkMarks(_THINK, _END_THINK, "<answer>", "</answer>", answer_required=True),
    "thought_marks": ThinkMarks(
        ("<|begin_of_thought|>",),
        ("<|end_of_thought|>",),
        "<|begin_of_solution|>",
        "<|end_of_solution|>",
    ),
    "bracket_think": ThinkMarks(("[THINK]",), ("[/THINK]",)),
    "kimi_think": ThinkMarks(("◁think▷",), ("◁/think▷",)),
    "seed_think": ThinkMarks(("<seed:think>",), ("</seed:think>",)),
    "mm_think": ThinkMarks(("<mm:think>",), ("</mm:think>",)),
    "thought_tags": ThinkMarks(("<thought>",), ("</thought>",)),
    "thinking_tags": ThinkMarks(("<thinking>",), ("</thinking>",)),
    "granite_sentences": ThinkMarks(
        ("Here is my thought process:", "Here's my thought process:"),
        ("Here is my response:", "Here's my response:"),
    ),
}
HARMONY_CHANNEL = "<|channel|>"
# Sentences are marks only where a teacher's format says so: they occur in ordinary answers.
SENTENCES = PRESETS["granite_sentences"].all
# A turn of some published sets and endpoints ends with its control token.
TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<|return|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<end_of_turn>",
)
# Control tokens that open and end turns, by the family of chat formats: a row with one of them in a text is dropped.
# Trainers of other projects encode texts with the control tokens on, so that such a text ends a turn or opens one.
# Marks of reasoning are not among them.
CONTROL_TOKENS: dict[str, tuple[str, ...]] = {
    "ChatML": ("<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>"),
    "Llama 3": (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|python_tag|>",
        "<|finetune_right_pad_id|>",
    ),
    "harmony": (
        "<|start|>",
        "<|end|>",
        "<|message|>",
        "<|channel|>",
        "<|constrain|>",
        "<|return|>",
        "<|call|>",
        "<|startoftext|>",
    ),
    "Gemma": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "DeepSeek": (
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜User｜>",
        "<｜Assistant｜>",
        "<｜▁pad▁｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁outputs▁begin｜>",
        "<｜tool▁outputs▁end｜>",
        "<｜tool▁sep｜>",
        "<|EOT|>",
    ),
    "Mistral": (
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_CALLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
    ),
}
ALL_CONTROL_TOKENS = tuple(token for family in CONTROL_TOKENS.values() for token in family)
# Also what Arrow's RE2 reads. A control token has a name of three characters or more: `<|x|>` is mathematics.
STRAY_PATTERN = (
    r"</?(?:think|answer|thought|thinking|seed:[a-z_]+|mm:think|tool_call|start_of_turn|end_of_turn)>"
    r"|<[|｜][A-Za-z][A-Za-z0-9_▁ ]{2,38}[|｜]>"
    r"|\[/?THINK\]"
    r"|◁/?think▷"
)


def stray_mark(texts: Iterable[str], own: ThinkMarks | None = None) -> str | None:
    """Return the first mark or control token in reasoning or answer, where none belongs; null if there is none.

    `own` are the marks of the teacher's format, which count too if they are none of the known ones.
    """
    found = map(_stray(own).search, texts)
    return next((match.group() for match in found if match), None)


def find_control_token(texts: Iterable[str], tokens: tuple[str, ...]) -> str | None:
    """Return the first of the control tokens that is in the texts; null if there is none."""
    search = _any_of(tokens).search
    return next((found.group() for found in map(search, texts) if found), None)


def any_of_pattern(tokens: Iterable[str]) -> str:
    """Return a pattern, for Python and Arrow, that finds any of the tokens; without tokens it finds nothing."""
    return "|".join(map(re.escape, tokens)) or r"[^\s\S]"


@cache
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(any_of_pattern(tokens))


@cache
def _stray(own: ThinkMarks | None) -> re.Pattern[str]:
    return re.compile("|".join([STRAY_PATTERN, *map(re.escape, own.all if own else ())]))
