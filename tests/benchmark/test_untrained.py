"""The untrained student: the base model with the template and the stop token of its students."""

from pathlib import Path
from typing import Any

import pytest

from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.benchmark.student import untrained_engine, weights_hash
from stillhouse.hashing import file_sha256
from stillhouse.models.engine import Request
from stillhouse.models.vllm_engine import VllmEngine
from stillhouse.params.benchmark import BenchmarkSampling
from stillhouse.params.load import load_student
from stillhouse.params.student import StudentRuntime
from stillhouse.records import Message

SAMPLING = BenchmarkSampling(temperature=0.8, top_p=1.0, max_tokens=400, system_prompt="Be brief.")
REQUEST = Request(messages=[Message(role="user", content="1 + 1?")], seed=3, query_id="q")


@pytest.fixture
def engine(tiny_model: Path) -> VllmEngine:
    known = load_student("smollm2_135m").student
    student = known.model_copy(update={"model": f"path:{tiny_model}", "revision": "local"})
    engines = untrained_engine("tiny", student, SAMPLING, StudentRuntime())
    (condition,) = engines
    assert condition == Condition(UNTRAINED, "tiny", 0)
    return engines[condition]


def test_its_key_has_the_template_and_the_stop_token_of_its_students(
    engine: VllmEngine, tiny_model: Path
) -> None:
    found: dict[str, Any] = engine.fingerprint
    assert found["model"] == "path:models/untrained/tiny"
    assert found["revision"] == weights_hash(tiny_model)
    assert found["chat_template_sha256"] == file_sha256(Path("conf/chat_templates/smollm2.jinja"))
    # The tokenizer of the base model ends a text with another token.
    stop = engine.chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert engine.chat.tokenizer.eos_token_id != stop
    assert found["sampling"]["stop_token_ids"] == [stop]
    assert engine.render(REQUEST).startswith("<|im_start|>system\nBe brief.<|im_end|>")
