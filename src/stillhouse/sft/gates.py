"""Checks of a chat template before anyone trains on it.

A template that drops the reasoning, re-renders earlier turns, or leaves the stop token out of the loss, gives a healthy
loss curve and a broken student. So these are gates: they run on the real tokenizer before the first step, and stop the
run. TRL's checks are used where it has them. It has none for reasoning, for turns of users after an answer, and for the
prompt that generation starts from.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError

from stillhouse.errors import StillhouseError
from stillhouse.records import TurnFormat, assistant_text

IGNORED = -100  # torch's label for "not in the loss"

# Two turns with reasoning, in the form that students are trained on. The white space inside the texts must stay.
_THOUGHTS = ("first thought.\n\nIt goes on", "second thought.\n\nIt goes on")
_ANSWERS = ("first answer\nin two lines", "second answer\nin two lines")
_PROBE = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": assistant_text(_THOUGHTS[0], _ANSWERS[0])},
    {"role": "user", "content": "second question"},
    {"role": "assistant", "content": assistant_text(_THOUGHTS[1], _ANSWERS[1])},
]
_ASSISTANT_TURNS = (1, 3)
# What a template raises that cannot render a conversation, or has a fault.
_TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, LookupError)
_HELP = "conf/chat_templates/README.md says how a template is made"


class StudentError(StillhouseError):
    """A student cannot be trained as configured; the message names the template, file or key and the remedy."""


class Turn(NamedTuple):
    """How an assistant turn is written and ends.

    `stop_token` is the token that the student must learn to emit; `tail` is all that the template writes after the
    last answer: the stop token, and perhaps a line break that is not in the loss. `header` is what the template's
    marks hold before the answer although the prompt ends with it; it is never in the loss here. `turn_format` is the
    student's.
    """

    stop_token: str
    stop_id: int
    tail: str
    header: str = ""
    turn_format: TurnFormat = "think_tags"


def set_template(
    tokenizer: Any, chat_template: str | None, *, allow_header_in_marks: bool = False
) -> Turn:
    """Give a tokenizer the chat template of a student, and check that it is fit to train on.

    Args:
        tokenizer: a transformers tokenizer; its chat template is replaced.
        chat_template: a file, or None for TRL's training template of this tokenizer.
        allow_header_in_marks: as in `check_template`.

    Raises:
        StudentError: there is no such template, or it fails a check.
    """
    load_template(tokenizer, None if chat_template is None else Path(chat_template))
    name = chat_template or "null (TRL's for this tokenizer)"
    return check_template(tokenizer, name, allow_header_in_marks=allow_header_in_marks)


def load_template(tokenizer: Any, path: Path | None) -> None:
    """Give a tokenizer the chat template in a file, or TRL's training template for it where `path` is None.

    Raises:
        StudentError: the file cannot be read, or TRL has no training template for this tokenizer.
    """
    if path is None:
        tokenizer.chat_template = _training_template(tokenizer)
        return
    try:
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudentError(
            f"chat template {path}: {error}; name an existing file in `student.chat_template`"
        ) from None


def check_template(tokenizer: Any, name: str, *, allow_header_in_marks: bool = False) -> Turn:
    """Return how the tokenizer's template ends an assistant turn, having checked that it is fit to train on.

    Args:
        tokenizer: a transformers tokenizer whose chat template marks assistant turns with `{% generation %}`.
        name: what messages call the template (its path).
        allow_header_in_marks: accept marks that begin before the answer, with what the prompt ends with.

    Raises:
        StudentError: the template drops reasoning, earlier turns change when a turn is added, assistant turns are not
            marked, or the marks do not hold the answer and its stop token.
    """
    from trl.chat_template_utils import (
        has_generation_markers,
        is_chat_template_stop_token_trained,
    )

    rendered = _render(tokenizer, _PROBE, name)
    if _ANSWERS[-1] not in rendered:
        raise StudentError(
            f"chat template {name}: it does not write the assistant's answer as it is; {_HELP}"
        )
    if _THOUGHTS[-1] not in rendered:
        raise StudentError(
            f"chat template {name}: it drops or changes the reasoning in an answer, so a student would be trained "
            "without it; write `message['content']` whole, and remove the code that splits it at </think>"
        )
    if not has_generation_markers(tokenizer.chat_template):
        raise StudentError(
            f"chat template {name}: no token is inside `{{% generation %}}` marks, so nothing would be in the loss; "
            "put the marks around the assistant's content and its stop token"
        )
    if not is_chat_template_stop_token_trained(tokenizer):
        raise StudentError(
            f"chat template {name}: the `{{% generation %}}` marks do not end with a control token of the tokenizer, "
            "so the student would never learn to stop; move `{% endgeneration %}` behind the stop token"
        )
    answers = _marked_runs(tokenizer)
    stop_id = _last_visible(tokenizer, answers[0])
    stop_token = tokenizer.convert_ids_to_tokens(stop_id)
    _check_prefixes(tokenizer, name, stop_token)
    header = _check_marks(tokenizer, name, answers, stop_id)
    if header and not allow_header_in_marks:
        raise StudentError(
            f"chat template {name}: the `{{% generation %}}` marks begin with {header!r}, which the prompt ends with; "
            "it is never in the loss here, but trainers that follow the marks would train on it. Set "
            "student.allow_header_in_marks to true to accept that"
        )
    tail = rendered[rendered.rindex(_ANSWERS[-1]) + len(_ANSWERS[-1]) :]
    return Turn(stop_token, stop_id, tail, header)


def check_labels(
    input_ids: list[int], labels: list[int], prompt_tokens: int, turn: Turn, row: str
) -> None:
    """Check one example: the loss covers the last answer and its stop token, and nothing else.

    Raises:
        StudentError: it does not; `row` names the example.
    """
    in_loss = [position for position, label in enumerate(labels) if label != IGNORED]
    if len(in_loss) < 2:
        raise StudentError(
            f"example {row}: no token of the answer is in the loss; the template dropped it or it is empty"
        )
    contiguous = in_loss == list(range(prompt_tokens, prompt_tokens + len(in_loss)))
    if not contiguous or any(labels[i] != input_ids[i] for i in in_loss):
        raise StudentError(
            f"example {row}: the loss covers tokens outside the last answer (it starts at token {prompt_tokens})"
        )
    if input_ids[in_loss[-1]] != turn.stop_id:
        raise StudentError(
            f"example {row}: the loss ends before the stop token {turn.stop_token!r}; the template must end every "
            "assistant turn with it"
        )


def _training_template(tokenizer: Any) -> str:
    """Return TRL's training template for a tokenizer, or its own template where that is fit for training."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except (*_TEMPLATE_FAULTS, AttributeError):  # AttributeError: the tokenizer has no template
        template = None
    if not isinstance(template, str):
        raise StudentError(
            "student.chat_template is null, but TRL knows no training template for the chat template of this tokenizer "
            "(base models often have another one than their Instruct models, or none); name a file, such as "
            f"conf/chat_templates/chatml.jinja for tokenizers with <|im_start|> and <|im_end|>; {_HELP}"
        )
    return template


def _check_prefixes(tokenizer: Any, name: str, stop_token: str) -> None:
    """Check that an answer follows the prompt that generation starts from, and that later turns change neither.

    What stands behind the stop token may change: some templates end the whole text with a token of its own.
    """
    for count in _ASSISTANT_TURNS:
        prompt = _render(tokenizer, _PROBE[:count], name, add_generation_prompt=True)
        whole = _render(tokenizer, _PROBE[: count + 1], name)
        _refuse_other_prefix(name, count, prompt, whole)
        before, stop, _ = whole.removeprefix(prompt).partition(stop_token)
        answered = prompt + before + stop
        for longer in range(count + 2, len(_PROBE) + 1):
            _refuse_other_prefix(
                name, count + 1, answered, _render(tokenizer, _PROBE[:longer], name)
            )
    if not _tools_keep_prefixes(tokenizer):
        raise StudentError(
            f"chat template {name} is not prefix-preserving: it renders a call of a tool differently once the tool has "
            "answered. Render every turn independently of what follows"
        )


def _refuse_other_prefix(name: str, count: int, shorter: str, longer: str) -> None:
    if not longer.startswith(shorter):
        raise StudentError(
            f"chat template {name} is not prefix-preserving: after turn {count} it renders {shorter[-60:]!r}, "
            f"which is not how turn {count + 1} begins; a student trained on it would see other prompts when it "
            "answers. Render every turn independently of what follows"
        )


def _tools_keep_prefixes(tokenizer: Any) -> bool:
    """Return TRL's verdict on calls of tools; True for a template that renders none."""
    from trl.chat_template_utils import is_chat_template_prefix_preserving, supports_tool_calling

    try:
        return not supports_tool_calling(tokenizer) or is_chat_template_prefix_preserving(tokenizer)
    except _TEMPLATE_FAULTS:
        return True


def _check_marks(tokenizer: Any, name: str, answers: list[list[int]], stop_id: int) -> str:
    """Return what the marks hold before the answers, having checked that they hold the answers and the stop token."""
    expected = [_PROBE[count]["content"] for count in _ASSISTANT_TURNS]
    held = [
        tokenizer.decode(run[: run.index(stop_id)] if stop_id in run else run) for run in answers
    ]
    prompt = _render(tokenizer, _PROBE[:1], name, add_generation_prompt=True)
    headers = set()
    for found, wanted in zip(map(_normalised, held), map(_normalised, expected), strict=False):
        if found.endswith(wanted) and found.removesuffix(wanted) in prompt:
            headers.add(found.removesuffix(wanted))
    ends_alike = all(stop_id in run for run in answers)
    if len(held) != len(expected) or len(headers) != 1 or not ends_alike:
        raise StudentError(
            f"chat template {name}: the `{{% generation %}}` marks hold {held!r} where the answers are "
            f"{expected!r}; put them around the assistant's content and its stop token, nothing else"
        )
    return headers.pop()


def _normalised(text: str) -> str:
    """Drop the white space around reasoning marks and at the ends, which families write differently."""
    return re.sub(r"\s*(</?think>)\s*", r"\1", text).strip()


def _render(
    tokenizer: Any, turns: list[dict[str, str]], name: str, add_generation_prompt: bool = False
) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except _TEMPLATE_FAULTS as error:
        raise StudentError(
            f"chat template {name}: it cannot render a conversation of {len(turns)} turns: {error}; {_HELP}"
        ) from None
    return text


def _marked_runs(tokenizer: Any) -> list[list[int]]:
    """Return the token ids inside generation marks, one list per stretch."""
    encoded = tokenizer.apply_chat_template(
        _PROBE, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    runs: list[list[int]] = []
    before = 0
    for token, marked in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        if marked and not before:
            runs.append([])
        if marked:
            runs[-1].append(token)
        before = marked
    return runs


def _last_visible(tokenizer: Any, run: list[int]) -> int:
    """Return the last token that is not white space."""
    return next(token for token in reversed(run) if tokenizer.decode([token]).strip())
