"""Examples as token ids and labels: what a student is trained on.

The prompt and the answer are tokenised apart, because that is what a student sees when it answers: the prompt's tokens
stand before the first token of the answer is drawn. Tokenising the whole text could merge across the border.
Only the last answer and its stop token are in the loss (paper section 4.1: multi-turn samples are trained on the final
response only). An example longer than the limit is left out whole: a truncated answer teaches to stop anywhere.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from stillhouse.files import partial
from stillhouse.records import Example, assistant_text
from stillhouse.sft.gates import IGNORED, StudentError, Turn, check_labels

SCHEMA = pa.schema({"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())})
BATCH_ROWS = 256


class Encoded(NamedTuple):
    """Token ids of one conversation, and the same ids with -100 wherever there is no loss."""

    input_ids: list[int]
    labels: list[int]


class Counts(msgspec.Struct, frozen=True):
    """What was encoded: rows kept, rows dropped for their length, tokens kept, and tokens in the loss."""

    rows: int
    dropped: int
    tokens: int
    loss_tokens: int


def encode(tokenizer: Any, example: Example, turn: Turn) -> Encoded:
    """Return an example as token ids and labels.

    Raises:
        StudentError: the template does not render the answer behind the prompt, or a check of the labels fails.
    """
    turns = [{"role": m.role, "content": m.content} for m in example.messages]
    content = assistant_text(example.think, example.answer, turn.turn_format)
    answer = {"role": "assistant", "content": content}
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*turns, answer], tokenize=False)
    if not whole.startswith(prompt) or not whole.endswith(turn.tail):
        raise StudentError(
            f"example {example.id}: the chat template renders the conversation differently once the answer is there; "
            "use a prefix-preserving template"
        )
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    rest_ids = tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
    if turn.stop_id not in rest_ids:
        raise StudentError(f"example {example.id}: the stop token {turn.stop_token!r} is missing")
    loss_length = len(rest_ids) - rest_ids[::-1].index(turn.stop_id)
    labels = [
        *[IGNORED] * len(prompt_ids),
        *rest_ids[:loss_length],
        *[IGNORED] * (len(rest_ids) - loss_length),
    ]
    input_ids = [*prompt_ids, *rest_ids]
    check_labels(input_ids, labels, len(prompt_ids), turn, example.id)
    return Encoded(input_ids, labels)


def write_encoded(
    path: Path, examples: Iterable[Example], tokenizer: Any, turn: Turn, max_length: int
) -> Counts:
    """Write examples, in the order given, as an Arrow stream file; the file appears whole or not at all.

    Raises:
        StudentError: an example fails a check, or none is within `max_length` tokens.
    """
    rows = dropped = tokens = loss_tokens = 0
    with partial(path) as new:
        with pa.OSFile(str(new), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as writer:
            batch: list[dict[str, list[int]]] = []
            for example in examples:
                encoded = encode(tokenizer, example, turn)
                if len(encoded.input_ids) > max_length:
                    dropped += 1
                    continue
                rows += 1
                tokens += len(encoded.input_ids)
                loss_tokens += sum(label != IGNORED for label in encoded.labels)
                batch.append(encoded._asdict())
                if len(batch) == BATCH_ROWS:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
                    batch = []
            if batch:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
        if not rows:
            raise StudentError(
                f"no example to train on: {dropped} are longer than recipe.max_length {max_length} tokens, none is "
                "left; raise max_length, or look at metrics/align.json for why there are so few"
            )
    return Counts(rows, dropped, tokens, loss_tokens)
