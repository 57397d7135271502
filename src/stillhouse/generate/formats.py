"""Checks a teacher's first answers against its reasoning format, before the rest is paid.

Where the two do not fit, all thoughts or all answers would be lost at full price: thoughts would be graded and released
as the answer, or dropped with the field that they came in.
"""

import re
from collections import Counter
from typing import get_args

from stillhouse.errors import StillhouseError
from stillhouse.generate.reasoning import split
from stillhouse.marks import HARMONY_CHANNEL, SENTENCES, STRAY_PATTERN, MarkPreset
from stillhouse.models.engine import Completion
from stillhouse.params.teacher import Reasoning, ReasoningFormat, ReasoningMarks, marks_of

SAMPLE = 20  # finished answers that are looked at
_OPENED_BY_PROMPT: MarkPreset = "open_think"
# In the order in which they are preferred where two read the same number of answers: of formats that share a mark, the
# one that demands more is first.
_PREFERRED: tuple[ReasoningFormat, ...] = ("separate_field", "harmony", "answer_tags")
_LAST: tuple[ReasoningFormat, ...] = (_OPENED_BY_PROMPT, "think_tags", "none")
_CANDIDATES: tuple[ReasoningFormat, ...] = (
    *_PREFERRED,
    *(preset for preset in get_args(MarkPreset) if preset not in _PREFERRED + _LAST),
    *_LAST,
)
_MARK = re.compile(STRAY_PATTERN)
_FIELD = "a reasoning field, which this setting does not read"
_NO_FIELD = "no reasoning field, which this setting reads"
_NO_MARK = "none of the marks of this setting"


class FormatError(StillhouseError):
    """A teacher's answers have another reasoning format than its file says."""


class FormatCheck:
    """Looks at the first `SAMPLE` finished answers of a teacher, in the order in which they come."""

    def __init__(self, teacher: str, reasoning: Reasoning) -> None:
        self._teacher, self._reasoning = teacher, reasoning
        self._sample: list[Completion] = []

    def add(self, completion: Completion) -> None:
        """Look at one more answer; one that was cut at the token limit says nothing.

        Raises:
            FormatError: the sample is complete, and more than half of it has another format.
        """
        if len(self._sample) < SAMPLE and completion.finish_reason == "stop":
            self._sample.append(completion)
            if len(self._sample) == SAMPLE:
                self.require_fitting()

    def require_fitting(self) -> None:
        """Check the answers that have been added: a run may end before the sample is complete.

        Raises:
            FormatError: more than half of them have another format, or none has the reasoning field that is read.
        """
        sample = self._sample
        faults = Counter(_fault(completion, self._reasoning) for completion in sample)
        del faults[None]
        if self._reasoning == "separate_field" and not any(map(_field, sample)):
            # Some models think only about hard questions, so that one answer with the field is enough.
            faults[_NO_FIELD] = len(sample) - faults.total()
        wrong = faults.total()
        if 2 * wrong > len(sample):
            raise FormatError(self._message(wrong, faults.most_common(1)[0][0] or ""))

    def _message(self, wrong: int, fault: str) -> str:
        fitting = _fitting(self._sample, self._reasoning)
        file = f"conf/teachers/{self._teacher}.yaml"
        if fitting is None:
            remedy = (
                f"No format that stillhouse knows reads them. Look at an answer, and name its marks in {file}, under "
                '`teacher`, as in\n  reasoning: {open: "<my_thoughts>", close: "</my_thoughts>"}\n'
                "or let the server leave control tokens out of the text."
            )
        else:
            remedy = f"Set in {file}, under `teacher`:\n  reasoning: {fitting}"
        if fault == _NO_MARK:
            remedy += (
                "\nIf the marks are special tokens, the server has removed them: let it keep them "
                "(`skip_special_tokens: false`), or return the reasoning apart (`reasoning: separate_field`)."
            )
        return (
            f"teacher {self._teacher}: `reasoning: {_shown(self._reasoning)}` does not fit its answers: {wrong} of the "
            f"first {len(self._sample)} finished ones have, for the most part, {fault}. {remedy}\n"
            "Nothing more is asked for now; a model's answers so far are in the journal."
        )


def _fault(completion: Completion, reasoning: Reasoning) -> str | None:
    """Return what one answer has that the format does not read, or lacks; null if it fits."""
    marks, text = marks_of(reasoning), completion.text
    if reasoning != "separate_field" and _field(completion):
        return _FIELD
    own: tuple[str, ...] = marks.all if marks else ()
    parts = split(completion, reasoning)
    foreign = [mark for part in parts for mark in _MARK.findall(part) if mark not in own]
    begun = text.lstrip().startswith(SENTENCES) and not set(SENTENCES) & set(own)
    if foreign or begun:
        return f"the mark {foreign[0] if foreign else SENTENCES[0]}"
    if reasoning == "harmony":
        required: tuple[str, ...] = (HARMONY_CHANNEL,)
    elif marks is None or not marks.required:
        required = ()
    else:
        required = (marks.answer_open,) if marks.answer_required and marks.answer_open else own
    return None if not required or any(mark in text for mark in required) else _NO_MARK


def _fitting(sample: list[Completion], current: Reasoning) -> ReasoningFormat | None:
    """Return the format that reads the reasoning of the most answers, and of more than half; null if there is none."""
    best: ReasoningFormat | None = None
    most = len(sample) // 2
    for candidate in _CANDIDATES:
        reads = sum(_reads(completion, candidate) for completion in sample)
        if candidate != current and reads > most:
            best, most = candidate, reads
    return best


def _reads(completion: Completion, candidate: ReasoningFormat) -> bool:
    if _fault(completion, candidate) is not None:
        return False
    if candidate == _OPENED_BY_PROMPT and completion.text.lstrip().startswith("<think>"):
        return False
    parts = split(completion, candidate)
    return bool(parts.answer) and (bool(parts.think) or candidate == "none")


def _field(completion: Completion) -> bool:
    return bool((completion.reasoning or "").strip())


def _shown(reasoning: Reasoning) -> str:
    if isinstance(reasoning, ReasoningMarks):
        return "{" + f'open: "{reasoning.open}", close: "{reasoning.close}"' + "}"
    return reasoning
