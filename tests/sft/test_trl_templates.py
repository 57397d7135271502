"""Which of TRL's training templates can train a student here, and `chat_template: null` for each family."""

from pathlib import Path

import pytest

from stillhouse.sft.encoding import Encoder
from stillhouse.sft.gates import IGNORED, StudentError, check_template, set_template
from stillhouse.sft.stand_in import stand_in_tokenizer
from tests.sft.student_examples import example
from tests.sft.tiny_families import FAMILIES, tokenizer_of, trl_templates

pytestmark = pytest.mark.usefixtures("full_environment")
PASSING = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "lfm2": "<|im_end|>",
    "lfm2_v2": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "phi3": "<|end|>",
    "phi3_5": "<|end|>",
    "qwen2_5": "<|im_end|>",
    "qwen2_5_vl": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_5_think": "<|im_end|>",
    "qwen3_6": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "qwen3_vl": "<|im_end|>",
}
# The answers are in forms of their own, and our think blocks are no part of them.
REFUSED = {
    "cohere2": "marks hold",  # a second mark, <|END_RESPONSE|>, would end the answer
    "deepseek_r1_distill": "allow_header_in_marks",
    "deepseekv3": "drops or changes the reasoning",
    "diffusion_gemma": "never learn to stop",
    "glm4moe": "prefix-preserving",  # drops the reasoning of earlier turns
    "gptoss": "prefix-preserving",  # the last answer ends with another token than earlier ones
    "idefics3": "as it is",  # contents are lists, for images
    "llava_next": "cannot render",
    "muse_glimmer": "marks hold",  # the model writes its own header
    "nemotron_3_5_lightning": "prefix-preserving",
    "nemotron_3_nano": "prefix-preserving",
    "nemotron_3_super": "prefix-preserving",
    "nemotron_3_ultra": "prefix-preserving",
    "qwen3_5_nothink": "prefix-preserving",  # the prompt has a closed, empty think block
    "qwen3_8": "marks hold",  # a second, empty think block
    "smolvlm": "as it is",
}


def training_template(name: str) -> str:
    return (trl_templates() / f"{name}_training.jinja").read_text(encoding="utf-8")


def test_every_training_template_of_trl_is_judged_here() -> None:
    found = {p.stem.removesuffix("_training") for p in trl_templates().glob("*_training.jinja")}
    assert found == PASSING.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", PASSING)
def test_a_training_template_of_trl_passes(name: str) -> None:
    turn = check_template(stand_in_tokenizer(training_template(name)), name)
    assert (turn.stop_token, turn.header) == (PASSING[name], "")


@pytest.mark.parametrize("name", REFUSED)
def test_a_training_template_of_trl_is_refused_for_its_reason(name: str) -> None:
    with pytest.raises(StudentError, match=REFUSED[name]):
        check_template(stand_in_tokenizer(training_template(name)), name)


def test_the_header_in_the_marks_of_deepseek_r1_distill_can_be_allowed() -> None:
    tokenizer = stand_in_tokenizer(training_template("deepseek_r1_distill"))
    turn = check_template(tokenizer, "r1", allow_header_in_marks=True)
    assert (turn.header, turn.stop_token) == ("<｜Assistant｜>", "<｜end▁of▁sentence｜>")


@pytest.mark.parametrize("family", [name for name, kind in FAMILIES.items() if kind["template"]])
def test_null_takes_the_training_template_of_trl(family: str) -> None:
    tokenizer = tokenizer_of(family)
    turn = set_template(tokenizer, None)
    assert tokenizer.chat_template == training_template(str(FAMILIES[family]["template"]))
    row = example(2, "It is 4.\nYes.", think="Twice two.\n\nSo 4.")
    ((_, encoded),) = Encoder(tokenizer, turn).encode([row])
    in_loss = [label for label in encoded.labels if label != IGNORED]
    whole = f"<think>\nTwice two.\n\nSo 4.\n</think>\n\nIt is 4.\nYes.{turn.stop_token}"
    assert tokenizer.decode(in_loss) == whole
    assert in_loss.count(turn.stop_id) == 1
    bos = tokenizer.bos_token_id
    assert bos is None or encoded.input_ids.count(bos) == 1


def test_null_keeps_a_template_that_is_fit_for_training() -> None:
    tokenizer = tokenizer_of("smollm2")
    own = Path("conf/chat_templates/smollm2.jinja").read_text(encoding="utf-8")
    tokenizer.chat_template = own
    assert set_template(tokenizer, None).stop_token == "<|im_end|>"
    assert tokenizer.chat_template == own


def test_null_is_refused_where_trl_has_no_training_template() -> None:
    """As for Qwen2.5's base models, whose template has another default system turn than the Instruct models'."""
    base = tokenizer_of("qwen2_5")
    base.chat_template = base.chat_template.replace("You are Qwen, created by Alibaba Cloud. ", "")
    without = tokenizer_of("smollm2")
    for tokenizer in (base, without):
        with pytest.raises(StudentError, match=r"null, but TRL knows no .*chatml\.jinja"):
            set_template(tokenizer, None)
        assert set_template(tokenizer, "conf/chat_templates/chatml.jinja").tail == "<|im_end|>\n"
