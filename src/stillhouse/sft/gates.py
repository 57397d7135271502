"""Checks of a chat template before anyone trains on it.

A template that re-renders earlier turns, or that leaves the stop token out of the loss, gives a healthy loss curve and
a broken student. So these are gates: they run on the real tokenizer before the first step, and stop the run.
"""

from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.errors import StillhouseError
from stillhouse.records import TurnFormat

IGNORED = -100  # torch's label for "not in the loss"

# Two plain turns. The texts are such that no template has reason to trim or reformat them.
_PROBE = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "second question"},
    {"role": "assistant", "content": "second answer"},
]


class StudentError(StillhouseError):
    """A student cannot be trained as configured; the message names the template, file or key and the remedy."""


class Turn(NamedTuple):
    """How an assistant turn is written and ends.

    `stop_token` is the token that the student must learn to emit; `tail` is all that the template writes after the
    last answer: the stop token, and perhaps a line break that is not in the loss. `turn_format` is the student's.
    """

    stop_token: str
    stop_id: int
    tail: str
    turn_format: TurnFormat = "think_tags"


def load_template(tokenizer: Any, path: Path) -> None:
    """Give a tokenizer the chat template in a file.

    Raises:
        StudentError: the file cannot be read.
    """
    try:
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudentError(
            f"chat template {path}: {error}; name an existing file in `student.chat_template`"
        ) from None


def check_template(tokenizer: Any, name: str) -> Turn:
    """Return how the tokenizer's template ends an assistant turn, having checked that it is fit to train on.

    Args:
        tokenizer: a transformers tokenizer whose chat template marks assistant turns with `{% generation %}`.
        name: what messages call the template (its path).

    Raises:
        StudentError: earlier turns change when a turn is added, assistant turns are not marked, or the stop token is
            not inside the marks.
    """
    check_prefixes(tokenizer, name)
    answers = _marked_runs(tokenizer)
    if not answers:
        raise StudentError(
            f"chat template {name}: no token is inside `{{% generation %}}` marks, so nothing would be in the loss; "
            "put the marks around the assistant's content and its stop token"
        )
    expected = [turn["content"] for turn in _PROBE if turn["role"] == "assistant"]
    contents = [tokenizer.decode(run[:-1]).strip() for run in answers]
    stop_ids = {run[-1] for run in answers}
    stop_id = answers[-1][-1]
    if len(stop_ids) != 1 or stop_id not in _special_ids(tokenizer):
        raise StudentError(
            f"chat template {name}: the `{{% generation %}}` marks end with {tokenizer.decode([stop_id])!r}, which is "
            "not a special token, so the student would never learn to stop; move `{% endgeneration %}` behind the "
            "stop token (and before any line break)"
        )
    if contents != expected:
        raise StudentError(
            f"chat template {name}: the `{{% generation %}}` marks hold {contents!r} where the answers are "
            f"{expected!r}; put them around the assistant's content and its stop token, nothing else"
        )
    rendered = _render(tokenizer, _PROBE)
    tail = rendered[rendered.rindex(expected[-1]) + len(expected[-1]) :]
    return Turn(tokenizer.convert_ids_to_tokens(stop_id), stop_id, tail)


def check_prefixes(tokenizer: Any, name: str) -> None:
    """Check that adding a turn leaves all before it as it was, and that generation starts where training starts.

    Raises:
        StudentError: it does not.
    """
    for count in range(1, len(_PROBE)):
        longer = _render(tokenizer, _PROBE[: count + 1])
        opens_answer = _PROBE[count]["role"] == "assistant"
        shorter = _render(tokenizer, _PROBE[:count], add_generation_prompt=opens_answer)
        if not longer.startswith(shorter):
            raise StudentError(
                f"chat template {name} is not prefix-preserving: after turn {count} it renders {shorter[-60:]!r}, "
                f"which is not how turn {count + 1} begins; a student trained on it would see other prompts when it "
                "answers. Render every turn independently of what follows"
            )


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


def _render(
    tokenizer: Any, turns: list[dict[str, str]], add_generation_prompt: bool = False
) -> str:
    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return text


def _marked_runs(tokenizer: Any) -> list[list[int]]:
    """Return the token ids inside generation marks, one list per stretch."""
    if "generation" not in tokenizer.chat_template:
        return []
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


def _special_ids(tokenizer: Any) -> set[int]:
    added = tokenizer.added_tokens_decoder
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
