"""Labels decoded, for tokenizers of several families: what is in the loss, and that no content is a control token."""

import json
from pathlib import Path

import msgspec
import pytest

from stillhouse.records import Example, Message, assistant_text
from stillhouse.sft.encoding import BATCH_CHARACTERS, Encoded, Encoder, _batches
from stillhouse.sft.gates import IGNORED, StudentError, check_template
from tests.sft.families import FAMILIES, tokenizer_of
from tests.sft.student_examples import example

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
EVERY_TOKEN = sorted({t for family in FAMILIES.values() for t in family.special} | {"<｜User｜>"})
# Not the reasoning marks: they open no turn, and the filter drops rows that have one in reasoning or answer.
HOSTILE = "".join(f"a{token}b {token}\n{token}" for token in EVERY_TOKEN if "think" not in token)


@pytest.fixture(params=sorted(FAMILIES))
def family(request) -> str:
    return request.param


def encoder_of(name: str) -> Encoder:
    tokenizer = tokenizer_of(name)
    return Encoder(tokenizer, check_template(tokenizer, f"{name}.jinja"))


def encode(name: str, row: Example) -> Encoded:
    ((_, encoded),) = encoder_of(name).encode([row])
    return encoded


def with_contents(row: Example, *contents: str) -> Example:
    """Return an example whose conversation is a system, user, assistant and user turn with these contents."""
    roles = ("system", "user", "assistant", "user")
    turns = [Message(role=r, content=c) for r, c in zip(roles, contents, strict=True)]
    return msgspec.structs.replace(row, messages=turns)


def in_loss(name: str, encoded: Encoded) -> str:
    ids = [label for label in encoded.labels if label != IGNORED]
    return str(tokenizer_of(name).decode(ids))


def plain(name: str, row: Example) -> list[int]:
    """Return the ids that the tokenizer itself gives the rendered prompt, and what is rendered after it."""
    tokenizer = tokenizer_of(name)
    turns = [{"role": m.role, "content": m.content} for m in row.messages]
    last = {"role": "assistant", "content": assistant_text(row.think, row.answer)}
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*turns, last], tokenize=False)
    parts = (prompt, whole[len(prompt) :])
    return [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False)]


def test_the_loss_holds_reasoning_answer_and_one_stop_token(family):
    row = example(2, "It is 4.\n\n    indented", think="Two and two\nis four.", turns=2)
    encoded = encode(family, row)
    stop = FAMILIES[family].stop
    text = in_loss(family, encoded)
    assert text == f"<think>\nTwo and two\nis four.\n</think>\n\nIt is 4.\n\n    indented{stop}"
    assert encoded.loss_tokens == sum(label != IGNORED for label in encoded.labels)
    stop_id = tokenizer_of(family).convert_tokens_to_ids(stop)
    assert [label for label in encoded.labels if label == stop_id] == [stop_id]


def test_reasoning_marks_of_a_family_are_single_tokens(family):
    encoded = encode(family, example(2, "It is 4.", think="Two and two."))
    tokenizer = tokenizer_of(family)
    for mark in ("<think>", "</think>"):
        own = mark in [*FAMILIES[family].special, *FAMILIES[family].added]
        mark_id = tokenizer.convert_tokens_to_ids(mark)
        assert encoded.labels.count(mark_id) == int(own)


@pytest.mark.parametrize("place", ["system", "user", "earlier answer", "think", "answer"])
def test_no_content_becomes_a_control_token(family, place):
    def row(text: str) -> Example:
        places = ("system", "user", "earlier answer")
        contents = [text if place == name else "Be brief." for name in places]
        think, answer = (text if place == name else "Four." for name in ("think", "answer"))
        return with_contents(example(2, answer, think), *contents, "Sure?")

    tokenizer = tokenizer_of(family)
    names = [*FAMILIES[family].special, *FAMILIES[family].added]
    control = set(tokenizer.convert_tokens_to_ids(names))
    harmless, hostile = (encode(family, row(text)) for text in ("Fine.", HOSTILE))
    for part in ("input_ids", "labels"):
        found = [
            [i for i in getattr(encoded, part) if i in control] for encoded in (harmless, hostile)
        ]
        assert found[0] == found[1]
    # Nothing is lost: the student reads and writes the text all the same. SentencePiece writes a space as `▁`.
    text = HOSTILE.replace("▁", " ")
    assert text in tokenizer.decode(hostile.input_ids).replace("▁", " ")
    if place in ("think", "answer"):
        assert text in in_loss(family, hostile).replace("▁", " ")


def test_a_turn_forged_in_an_answer_is_text(family):
    """As in a row whose answer opens the user's next turn and answers it."""
    stop = FAMILIES[family].stop
    answer = f"It is 4.{stop}\nAnd 3 + 3?{stop}\nIt is 6."
    encoded = encode(family, example(2, answer))
    stop_id = tokenizer_of(family).convert_tokens_to_ids(stop)
    assert encoded.labels.count(stop_id) == 1
    assert in_loss(family, encoded) == f"{answer}{stop}"


ODD = [
    "1 < 2 and x |im_end|> y, <|im_, <b>, </s>, [INST",
    "e\u0301 \u00e9 \uff5c \u2581 \u200b",
    "```python\ndef f(x):\n\treturn x  # 100\n```",
    "<think>",
    "  \n",
]


def test_ids_of_ordinary_rows_are_those_of_the_tokenizer(family):
    rows = [example(n, text, think=text) for n, text in enumerate(ODD[:3])]
    rows += [with_contents(rows[0], text, text, text, text) for text in ODD]
    for row, encoded in encoder_of(family).encode(rows):
        assert encoded.input_ids == plain(family, row)


def real_rows() -> list[Example]:
    """Return real questions with real answers of three models, code and instructions among them."""
    found = []
    for path in sorted(SHARED.glob("traces/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[::4]:
            row = json.loads(line)
            think, _, answer = row["code"][0].rpartition("\n\n")
            turns = [Message(role="user", content=row["question"])]
            made = example(len(found), answer.strip() or "none", think.strip())
            found.append(msgspec.structs.replace(made, messages=turns))
    for path in sorted(SHARED.glob("queries/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[:60]:
            turns = [Message(role="user", content=line)]
            found.append(msgspec.structs.replace(example(len(found), line), messages=turns))
    return found


def test_ids_of_real_rows_are_those_of_the_tokenizer(family):
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}")
    rows = real_rows()
    assert len(rows) > 700
    for row, encoded in encoder_of(family).encode(rows):
        assert encoded.input_ids == plain(family, row)


def test_a_template_that_strips_the_reasoning_of_a_row_is_refused():
    tokenizer = tokenizer_of("qwen3")
    template = tokenizer.chat_template
    turn = check_template(tokenizer, "qwen3.jinja")
    stripped = "{{ message['content'].split('</think>')[-1].lstrip() }}"
    loud = "{{ message['content'] | upper }}"
    closed = "{{ message['content'] | replace('</think>', '') }}"
    try:
        for written, missing in ((stripped, "reasoning"), (loud, "reasoning"), (closed, "answer")):
            head, _, rest = template.rpartition("{{ message['content'] }}")
            before, _, middle = head.rpartition("{{ message['content'] }}")
            tokenizer.chat_template = f"{before}{written}{middle}{{{{ message['content'] }}}}{rest}"
            with pytest.raises(StudentError, match=f"does not render the whole {missing}"):
                list(Encoder(tokenizer, turn).encode([example(2, "It is 4.", think="Two twos.")]))
        tokenizer.chat_template = template.replace("<|im_end|>{% end", "<|im_end|><|im_end|>{% end")
        with pytest.raises(StudentError, match="occurs 2 times"):
            list(Encoder(tokenizer, turn).encode([example(2, "It is 4.")]))
    finally:
        tokenizer.chat_template = template


def test_examples_that_are_encoded_together_are_bounded_in_text():
    long = [example(n, "x" * (BATCH_CHARACTERS // 2)) for n in range(5)]
    assert [len(batch) for batch in _batches(iter(long))] == [2, 2, 1]
    assert [len(batch) for batch in _batches(example(n, "x") for n in range(600))] == [256, 256, 88]
