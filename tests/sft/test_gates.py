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


def with_header_in_marks(template: str) -> str:
    """Return the template with the marks around the whole turn of the assistant."""
    template = template.replace("{%- generation -%}", "").replace(
        "{{ '<|im_start|>' + message['role'] + '\\n' }}",
        "{%- if message['role'] == 'assistant' -%}{%- generation -%}"
        "{{ '<|im_start|>assistant\\n' + message['content'] + '<|im_end|>' }}{%- endgeneration -%}"
        "{%- else -%}{{ '<|im_start|>' + message['role'] + '\\n' }}{%- endif -%}",
    )
    return template.replace("{{ message['content'] + '<|im_end|>' }}\n{%- endgeneration -%}", "")


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
        "{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>assistant\\nSure. ' }}"
    )
    with pytest.raises(StudentError, match="prefix-preserving"):
        check_template(tokenizer, "bad.jinja")


def test_template_that_drops_the_reasoning_fails_with_the_remedy(tokenizer) -> None:
    """As DeepSeek-R1's own template does."""
    kept = "{{ message['content'] + '<|im_end|>' }}"
    assert kept in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(
        kept, "{{ message['content'].split('</think>')[-1] + '<|im_end|>' }}"
    )
    with pytest.raises(StudentError, match=r"drops or changes the reasoning.*remove the code"):
        check_template(tokenizer, "bad.jinja")


def test_template_that_drops_the_reasoning_of_earlier_turns_fails(tokenizer) -> None:
    """TRL's check of prefixes does not see it: it adds a tool's turn, and not a user's."""
    kept = "{{ message['content'] + '<|im_end|>' }}"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        kept,
        "{{ (message['content'] if loop.last else message['content'].split('</think>')[-1]) + '<|im_end|>' }}",
    )
    with pytest.raises(StudentError, match="prefix-preserving"):
        check_template(tokenizer, "bad.jinja")


@pytest.mark.parametrize(
    "broken", ["{{ nothing['at all'] }}", "{% if %}", "{{ raise_exception('no') }}"]
)
def test_a_template_with_a_fault_is_an_error_with_a_remedy(tokenizer, broken) -> None:
    tokenizer.chat_template = broken + tokenizer.chat_template
    with pytest.raises(StudentError, match=r"bad\.jinja: it cannot render"):
        check_template(tokenizer, "bad.jinja")


def test_white_space_after_the_stop_token_may_be_inside_the_marks(tokenizer) -> None:
    before, after = "{%- endgeneration -%}\n{{ '\\n' }}", "{{- '\\n' }}\n{%- endgeneration -%}"
    assert before in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(before, after)
    turn = check_template(tokenizer, "trl.jinja")
    assert (turn.stop_token, turn.tail, turn.header) == ("<|im_end|>", "<|im_end|>\n", "")


def test_template_without_marks_fails(tokenizer) -> None:
    for mark in ("{%- generation -%}", "{%- endgeneration -%}"):
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")
    with pytest.raises(StudentError, match="no token is inside"):
        check_template(tokenizer, "bad.jinja")


def test_a_header_inside_the_marks_is_reported_and_can_be_allowed(tokenizer) -> None:
    tokenizer.chat_template = with_header_in_marks(tokenizer.chat_template)
    with pytest.raises(
        StudentError, match=r"begin with '<\|im_start\|>assistant.*allow_header_in_marks"
    ):
        check_template(tokenizer, "bad.jinja")
    turn = check_template(tokenizer, "bad.jinja", allow_header_in_marks=True)
    assert (turn.header, turn.stop_token) == ("<|im_start|>assistant", "<|im_end|>")
    row = example(2, "Four.", think="Two and two.")
    ((_, encoded),) = Encoder(tokenizer, turn).encode([row])
    in_loss = [label for label in encoded.labels if label != IGNORED]
    assert tokenizer.decode(in_loss) == "<think>\nTwo and two.\n</think>\n\nFour.<|im_end|>"


def test_marks_that_hold_more_than_the_prompt_s_end_fail(tokenizer) -> None:
    template = with_header_in_marks(tokenizer.chat_template)
    tokenizer.chat_template = template.replace(
        "assistant\\n' + message", "assistant\\nHm. ' + message"
    )
    with pytest.raises(StudentError, match="marks hold"):
        check_template(tokenizer, "bad.jinja", allow_header_in_marks=True)


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
