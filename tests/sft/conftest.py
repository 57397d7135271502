from pathlib import Path

import pytest

from tests.sft.student_examples import TEMPLATE


@pytest.fixture
def tokenizer(tiny_model: Path):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tiny_model)
    loaded.chat_template = TEMPLATE.read_text(encoding="utf-8")
    return loaded
