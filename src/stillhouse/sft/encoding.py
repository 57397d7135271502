"""Examples as token ids and labels: what a student is trained on.

The prompt and the answer are tokenised apart, because that is what a student sees when it answers: the prompt's tokens
stand before the first token of the answer is drawn. Tokenising the whole text could merge across the border.
Contents are data, as they are for the model that is asked (`models/chat.py`): a control token that is named in a
message is encoded as ordinary text. Control tokens of the template, and the reasoning marks, are encoded as such.
Only the last answer and its stop token are in the loss (paper section 4.1: multi-turn samples are trained on the final
response only).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from stillhouse.files import partial
from stillhouse.models.chat import REASONING_MARKS, ChatTokenizer
from stillhouse.models.weights import resolve
from stillhouse.params.student import StudentText
from stillhouse.records import Example, assistant_text
from stillhouse.sft.gates import (
    IGNORED,
    StudentError,
    Turn,
    check_labels,
    set_template,
)

SCHEMA = pa.schema({"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())})
# Of the examples that are encoded together: the memory is a multiple of their text, the tokenizer uses all cores.
BATCH_ROWS = 256
BATCH_CHARACTERS = 2_000_000
_THINK_CLOSE = REASONING_MARKS[1]


class Encoded(NamedTuple):
    """Token ids of one conversation, and the same ids with -100 wherever there is no loss."""

    input_ids: list[int]
    labels: list[int]

    @property
    def loss_tokens(self) -> int:
        """The number of tokens in the loss."""
        return len(self.labels) - self.labels.count(IGNORED)


class Counts(msgspec.Struct, frozen=True):
    """What was encoded: rows, their tokens, and tokens in the loss."""

    rows: int
    tokens: int
    loss_tokens: int


class Encoder:
    """Encodes examples with a tokenizer; `turn` is what `check_template` has returned for it."""

    def __init__(self, tokenizer: Any, turn: Turn) -> None:
        self.tokenizer = tokenizer
        self.turn = turn
        self._chat = ChatTokenizer.of(tokenizer)

    def encode(self, examples: Iterable[Example]) -> Iterator[tuple[Example, Encoded]]:
        """Yield each example with its token ids and labels, in bounded memory.

        Raises:
            StudentError: the template renders the prompt differently once the answer is there, the loss would not hold
                the whole answer and exactly one stop token, or a check of the labels fails.
        """
        for batch in _batches(examples):
            texts = [text for example in batch for text in self._texts(example)]
            ids = self._chat.encode_all(texts)
            for example, prompt, rest in zip(batch, ids[::2], ids[1::2], strict=True):
                yield example, self._labelled(example, prompt, rest)

    def _texts(self, example: Example) -> tuple[str, str]:
        """Return the prompt, and what the template writes after it once the answer is there."""
        as_data = self._chat.as_data
        turns = [{"role": m.role, "content": as_data(m.content)} for m in example.messages]
        think, answer = as_data(example.think), as_data(example.answer)
        last = {
            "role": "assistant",
            "content": assistant_text(think, answer, self.turn.turn_format),
        }
        render = self.tokenizer.apply_chat_template
        prompt = render(turns, tokenize=False, add_generation_prompt=True)
        whole = render([*turns, last], tokenize=False)
        if not whole.startswith(prompt) or not whole.endswith(self.turn.tail):
            raise StudentError(
                f"example {example.id}: the chat template renders the conversation differently once the answer is "
                "there; use a prefix-preserving template"
            )
        rest = whole[len(prompt) :]
        _refuse_missing(example, [think, _THINK_CLOSE, answer] if think else [answer], rest)
        return prompt, rest

    def _labelled(self, example: Example, prompt: list[int], rest: list[int]) -> Encoded:
        stops = rest.count(self.turn.stop_id)
        if stops != 1:
            raise StudentError(
                f"example {example.id}: the stop token {self.turn.stop_token!r} occurs {stops} times after the prompt, "
                "once was expected; the template must end the answer with it and write it nowhere else in the turn"
            )
        loss_length = rest.index(self.turn.stop_id) + 1
        labels = [
            *[IGNORED] * len(prompt),
            *rest[:loss_length],
            *[IGNORED] * (len(rest) - loss_length),
        ]
        input_ids = [*prompt, *rest]
        check_labels(input_ids, labels, len(prompt), self.turn, example.id)
        return Encoded(input_ids, labels)


def load_encoder(text: StudentText, *, allow_header_in_marks: bool = True) -> Encoder:
    """Return the encoder of a student.

    Args:
        text: its tokenizer, template and form of turns.
        allow_header_in_marks: as in `check_template`; it decides no token.

    Raises:
        StudentError: there is no such template, or it fails a gate.
        WeightsError: the model cannot be found.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve(text.model, text.revision))
    turn = set_template(tokenizer, text.chat_template, allow_header_in_marks=allow_header_in_marks)
    return Encoder(tokenizer, turn._replace(turn_format=text.turn_format))


def write_encoded(
    path: Path,
    examples: Iterable[Example],
    encoder: Encoder,
    max_length: int,
    *,
    leave_out_long: bool = False,
) -> Counts:
    """Write examples, in the order given, as an Arrow stream file; the file appears whole or not at all.

    Args:
        path: the file, with the columns input_ids and labels.
        examples: the examples.
        encoder: the student's.
        max_length: the largest number of tokens of an example.
        leave_out_long: whether longer examples are left out. Stage `fit` has left out those of the teachers; in a
            control of shuffled answers a long answer may have come to a long prompt.

    Raises:
        StudentError: an example fails a check or is too long, or there is none.
    """
    rows = tokens = loss_tokens = 0
    with partial(path) as new:
        with pa.OSFile(str(new), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
            batch: list[dict[str, list[int]]] = []
            for example, encoded in encoder.encode(examples):
                if len(encoded.input_ids) > max_length:
                    if leave_out_long:
                        continue
                    raise StudentError(
                        f"example {example.id} has {len(encoded.input_ids)} tokens, more than recipe.max_length "
                        f"{max_length}; the ids of stage fit are those of another run: run `dvc repro`"
                    )
                rows += 1
                tokens += len(encoded.input_ids)
                loss_tokens += encoded.loss_tokens
                batch.append(encoded._asdict())
                if len(batch) == BATCH_ROWS:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
                    batch = []
            if batch:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
        if not rows:
            raise StudentError(
                "no example to train on: the ids of stage fit are in no row of the aligned set; run `dvc repro`"
            )
    return Counts(rows, tokens, loss_tokens)


def _batches(examples: Iterable[Example]) -> Iterator[Sequence[Example]]:
    """Yield examples in groups of at most `BATCH_ROWS`, and of about `BATCH_CHARACTERS` where they are long."""
    batch: list[Example] = []
    characters = 0
    for example in examples:
        batch.append(example)
        characters += len(example.think) + len(example.answer)
        characters += sum(len(message.content) for message in example.messages)
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _refuse_missing(example: Example, parts: Sequence[str], rendered: str) -> None:
    """Check that the parts of the answer are in a rendered turn, in their order; space around a part may change."""
    at = 0
    for part in parts:
        found = rendered.find(part.strip(), at)
        if found < 0:
            what = "reasoning" if part == parts[0] and len(parts) > 1 else "answer"
            raise StudentError(
                f"example {example.id}: the chat template does not render the whole {what} into the assistant's turn, "
                "so that the student would not be trained on it; use a template that writes the content as it is"
            )
        at = found + len(part.strip())
