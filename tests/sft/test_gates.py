from pathlib import Path

import pytest

from stillhouse.models.weights import cache_folder
from stillhouse.sft.encoding import Encoded, Encoder
from stillhouse.sft.gates import IGNORED, StudentError, check_template
from tests.sft.student_examples import TEMPLATE, example


def encode(tokenizer, row) -> Encoded:
    encoder = Encoder(tokenizer, check_template(tokenizer, "the template"))
    ((_, encoded),) = encoder.encode([row])
    return encoded


def test_the_shipped_template_passes_and_names_its_stop_token(tokenizer) -> None:
    turn = check_template(tokenizer, "smollm2.jinja")
    assert turn.stop_token == "<|im_end|>"
    assert turn.tail == "<|im_end|>\n"


def test_stop_token_outside_the_marks_fails(tokenizer) -> None:
    inside = "{{ message['content'] + '<|im_end|>' }}\n{%- endgeneration -%}\n{{ '\\n' }}"
    outside = "{{ message['content'] }}\n{%- endgeneration -%}\n{{ '<|im_end|>\\n' }}"
    assert inside in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(inside, outside)
    with pytest.raises(StudentError, match="never learn to stop"):
        check_template(tokenizer, "bad.jinja")


def test_template_that_rewrites_earlier_turns_fails(tokenizer) -> None:
    """As templates do that drop something from all assistant turns but the last."""
    kept = "{{ message['content'] + '<|im_end|>' }}"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        kept, "{{ (message['content'] if loop.last else '...') + '<|im_end|>' }}"
    )
    with pytest.raises(StudentError, match=r"bad\.jinja is not prefix-preserving"):
        check_template(tokenizer, "bad.jinja")


def test_generation_prompt_that_training_does_not_see_fails(tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>assistant\\n<think>\\n' }}"
    )
    with pytest.raises(StudentError, match="prefix-preserving"):
        check_template(tokenizer, "bad.jinja")


def test_template_without_marks_fails(tokenizer) -> None:
    for mark in ("{%- generation -%}", "{%- endgeneration -%}"):
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")
    with pytest.raises(StudentError, match="no token is inside"):
        check_template(tokenizer, "bad.jinja")


def test_marks_around_the_role_fail(tokenizer) -> None:
    template = tokenizer.chat_template.replace("{%- generation -%}", "")
    tokenizer.chat_template = template.replace(
        "{{ '<|im_start|>' + message['role'] + '\\n' }}",
        "{%- if message['role'] == 'assistant' -%}{%- generation -%}"
        "{{ '<|im_start|>assistant\\n' + message['content'] + '<|im_end|>' }}{%- endgeneration -%}"
        "{%- else -%}{{ '<|im_start|>' + message['role'] + '\\n' }}{%- endif -%}",
    )
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ message['content'] + '<|im_end|>' }}\n{%- endgeneration -%}", ""
    )
    with pytest.raises(StudentError, match="marks hold"):
        check_template(tokenizer, "bad.jinja")


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("answer", ["Four.", "\n\nFour, after two line breaks.", "a <|im_end|> b"])
def test_the_loss_covers_the_last_answer_and_its_stop_token(tokenizer, turns, answer) -> None:
    row = example(2, answer, think="Two and two.", turns=turns)
    encoded = encode(tokenizer, row)
    in_loss = [label for label in encoded.labels if label != IGNORED]
    assert tokenizer.decode(in_loss) == f"<think>\nTwo and two.\n</think>\n\n{answer}<|im_end|>"
    messages = [{"role": m.role, "content": m.content} for m in row.messages]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    assert encoded.input_ids[: len(prompt_ids)] == prompt_ids, "other tokens than at inference"
    assert set(encoded.labels[: len(prompt_ids)]) == {IGNORED}


def test_a_student_with_answer_tags_is_trained_on_them(tokenizer) -> None:
    turn = check_template(tokenizer, "smollm2.jinja")._replace(turn_format="answer_tags")
    row = example(2, "Four.", think="Two and two.")
    ((_, encoded),) = Encoder(tokenizer, turn).encode([row])
    in_loss = [label for label in encoded.labels if label != IGNORED]
    text = "<think>Two and two.</think><answer>Four.</answer><|im_end|>"
    assert tokenizer.decode(in_loss) == text


def test_an_answer_without_text_fails(tokenizer) -> None:
    with pytest.raises(StudentError, match="no token of the answer"):
        encode(tokenizer, example(2, ""))


def test_shipped_template_renders_what_the_model_s_own_does() -> None:
    folders = sorted(Path(cache_folder(), "models").glob("SmolLM2-135M-Instruct*"))
    if not folders:
        pytest.skip("the embedded model is not converted yet (any run does it)")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    conversations = [
        [{"role": "user", "content": " spaces \n"}],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "\nHello "},
            {"role": "user", "content": "Bye"},
        ],
    ]
    ours = TEMPLATE.read_text(encoding="utf-8")
    for turns in conversations:
        for opened in (True, False):
            own = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened)
            rendered = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=opened, chat_template=ours
            )
            assert rendered == own
