"""A journal that was written before parameters were renamed still answers.

The literal keys were computed by the version that introduced them. A new literal here means that every answer made so
far is asked again.
"""

import asyncio
import contextlib
import warnings
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from stillhouse import layout
from stillhouse.analysis.conditions import Condition
from stillhouse.benchmark.student import trained_engines
from stillhouse.journal.journal import Journal
from stillhouse.models import declared, reward, scorer, vllm_engine
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model, fingerprint_hash
from stillhouse.models.engine import Completion, Engine, Request
from stillhouse.params.benchmark import BenchmarkSampling
from stillhouse.params.files import parse
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.student import Recipe, Student, StudentRuntime
from stillhouse.params.teacher import Teacher, TeacherRuntime
from stillhouse.params.verify import RewardModel
from stillhouse.records import Message
from tests.doubles.scripted_endpoint import ScriptedEndpoint, completion
from tests.doubles.scripted_engine import ScriptedEngine, said

REVISION = "0" * 40
REQUEST = Request(messages=[Message(role="user", content="1 + 1?")], seed=7, query_id="q")
SAMPLING = {
    "temperature": 0.6,
    "top_p": 0.95,
    "top_k": 20,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "max_tokens": 64,
}
TEACHER = {
    "label": "T",
    "model": "a/b",
    "revision": REVISION,
    "license": "mit",
    "system_prompt": "Be brief.",
    "dtype": "bfloat16",
    "max_model_len": 512,
    "sampling": SAMPLING,
}
RUNTIME = {"max_num_seqs": 3, "enable_prefix_caching": False, "cpu_kvcache_space": 2}
OLD_RUNTIME = {"max_num_seqs": 3, "prefix_caching": False, "cpu_kv_cache_gb": 2.0}
STUDENT_SAMPLING = {"temperature": 0.6, "top_p": 0.95, "system_prompt": None}
# The two spellings of conf/runtime.yaml and of benchmark.sampling.
SPELLINGS = pytest.mark.parametrize(
    ("runtime", "limit"), [(OLD_RUNTIME, "max_new_tokens"), (RUNTIME, "max_tokens")]
)
REWARD = RewardModel(
    model="r",
    revision=REVISION,
    dtype="bfloat16",
    max_tokens=9,
    attributes=["coherence", "correctness", "helpfulness"],
)
SCORER = PerplexityScorer(model="s", revision=REVISION, dtype="bfloat16", max_tokens=9)
# Of version 0.1, before any parameter was renamed.
KEYS = {
    "vllm": "481b43892d7530b6daca17db0184a5034afcf382d4ae04432ec42901f8cb9aa0",
    "harmony": "0ee14461aa233e63ed9506bbdc254fb7911235c825029871fc11df1a7d4e8744",
    "openai": "8ac0ceaebc2d55bef9d6d1778e9df8e230da66bc98b78a2b5d05c9dc11dd7638",
    # Weights in models/t/s, the place of a student in version 0.1, when it had one training.
    "student": "fdd4316151a2cc92c37923c3b0ce527c3c25836168bd3050e68cb01e67ae0d98",
}
FINGERPRINTS = {
    "judge": "a4b4a2666eaccc8d",
    "reward model": "33f99bbe6bd9587d",
    "reward scores": "42cad79a1c2f8845",
    "scorer": "3e960f70aeca0a29",
}


class DoubleChat:
    """A tokenizer that is always the same one."""

    fingerprint: ClassVar = {"tokenizer_sha256": "1" * 64, "chat_template_sha256": "2" * 64}

    def __init__(self, *_: object) -> None:
        pass

    def render(self, messages: list[Message], system_prompt: str | None) -> str:
        return f"{system_prompt}|{messages[0].content}"


@pytest.fixture(autouse=True)
def one_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the versions of libraries, which are part of each key."""
    for module in (vllm_engine, declared):
        monkeypatch.setattr(module, "vllm_version", lambda: "vllm 1.0")
    for module in (declared, reward, scorer):
        monkeypatch.setattr(module, "version", lambda _: "1.0")
    for module in (vllm_engine, reward, scorer):
        monkeypatch.setattr(module, "ChatTokenizer", DoubleChat)


async def say_two(_: Request) -> Completion:
    return said("two")


class ScriptedVllm(ScriptedEngine):
    """A double of vLLM with the key of the real engine."""

    def __init__(self, real: Engine) -> None:
        super().__init__(say_two)
        self.fingerprint, self.render = real.fingerprint, real.render


def teacher(**changed: Any) -> Teacher:
    return parse(Teacher, TEACHER | {"engine": "vllm"} | changed, "conf/teachers/t.yaml: teacher")


def teacher_model(journal: Journal, runtime: dict[str, Any], **changed: Any) -> Model:
    where = parse(TeacherRuntime, runtime, "conf/runtime.yaml: teachers.t")
    return ModelRoom(journal).model("t", teacher(**changed), where, "teacher")


def student_model(journal: Journal, runtime: dict[str, Any], limit: str, folder: Path) -> Model:
    """Return the model of student s of teacher t, trained with seed 7, in the project `folder`."""
    condition = Condition("t", "s", 7)
    weights = folder / layout.student_model("s", "t", 7) / "model.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(b"weights")
    student = Student.model_construct(recipe=Recipe.model_construct(dtype="float32"))
    sampling = parse(BenchmarkSampling, STUDENT_SAMPLING | {limit: 128}, "params.yaml: sampling")
    own = {key: value for key, value in runtime.items() if "prefix" not in key}
    where = parse(StudentRuntime, own, "conf/runtime.yaml: students.s")
    with contextlib.chdir(folder):
        engine = trained_engines([condition], student, sampling, where)[condition]
    return Model(engine, journal, "student", "t/s/7")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@SPELLINGS
def test_an_old_key_is_found_under_both_spellings(
    runtime: dict[str, Any], limit: str, tmp_path: Path
) -> None:
    async def look_up(journal: Journal) -> None:
        models = {
            "vllm": teacher_model(journal, runtime),
            "harmony": teacher_model(journal, runtime, reasoning="harmony"),
            "openai": teacher_model(
                journal, runtime | {"endpoints": ["http://h.invalid/v1"]}, engine="openai"
            ),
            "student": student_model(journal, runtime, limit, tmp_path),
        }
        for name, model in models.items():
            kept = msgspec.json.encode(said(name))
            key = bytes.fromhex(KEYS[name])
            await journal.put(key, kept, purpose="teacher", model=name)
            assert (await model.complete(REQUEST)).text == name
            assert (model.hits, model.asked) == (1, 0)

    with Journal.open(tmp_path) as journal:
        asyncio.run(look_up(journal))


@pytest.mark.parametrize(
    ("reasoning", "key"),
    [
        *((name, "vllm") for name in ("none", "open_think", "answer_tags", "thought_marks")),
        ("separate_field", "vllm"),
        # These keep special tokens in the text, as gpt-oss does.
        ("bracket_think", "harmony"),
        ({"open": "((", "close": "))"}, "harmony"),
    ],
)
def test_the_reasoning_format_is_in_no_key_but_for_the_special_tokens_that_vllm_keeps(
    reasoning: Any, key: str, tmp_path: Path
) -> None:
    with Journal.open(tmp_path) as journal:
        model = teacher_model(journal, RUNTIME, reasoning=reasoning)
        assert model._key(REQUEST).hex() == KEYS[key]
        of_endpoint = teacher_model(
            journal,
            RUNTIME | {"endpoints": ["http://h.invalid/v1"]},
            engine="openai",
            reasoning=reasoning,
        )
        assert of_endpoint._key(REQUEST).hex() == KEYS["openai"]


def test_marks_of_ones_own_can_be_part_of_a_judges_fingerprint() -> None:
    own = parse(
        Teacher, TEACHER | {"engine": "vllm", "reasoning": {"open": "(", "close": ")"}}, "t"
    )
    assert len(fingerprint_hash(declared.declared(own))) == 16


def test_fingerprints_of_judge_reward_model_and_scorer_stay(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        found = {
            "judge": declared.declared(teacher()),
            "reward model": declared.declared_reward(REWARD),
            "reward scores": reward.Reward(REWARD, journal).fingerprint,
            "scorer": scorer.Scorer(SCORER, journal).fingerprint,
        }
    assert {name: fingerprint_hash(facts) for name, facts in found.items()} == FINGERPRINTS


def test_request_options_change_a_key_only_where_they_are_set() -> None:
    plain = declared.declared(teacher(engine="openai"))
    empty = declared.declared(teacher(engine="openai", request={"extra_body": {}}))
    full = declared.declared(teacher(engine="openai", request={"reasoning_effort": "low"}))
    assert plain == empty
    assert full == {**plain, "request": {"reasoning_effort": "low"}}


def test_what_the_old_spelling_has_asked_the_new_one_does_not_ask(tmp_path: Path) -> None:
    async def ask(runtime: dict[str, Any], limit: str) -> list[tuple[int, int]]:
        with Journal.open(tmp_path / "journal") as journal:
            models = [
                teacher_model(journal, runtime | {"endpoints": [endpoint.url]}, engine="openai"),
                teacher_model(journal, runtime),
                student_model(journal, runtime, limit, tmp_path),
            ]
            for model in models[1:]:
                # The real engine says what is asked for, and a script answers it.
                model.engine = ScriptedVllm(model.engine)
            texts = [(await model.complete(REQUEST)).text for model in models]
            await models[0].engine.close()
        assert texts == ["two", "two", "two"]
        return [(model.hits, model.asked) for model in models]

    with ScriptedEndpoint(lambda _: completion("two")) as endpoint:
        with pytest.warns(FutureWarning) as caught:
            assert asyncio.run(ask(OLD_RUNTIME, "max_new_tokens")) == [(0, 1)] * 3
        assert len(caught) == 6  # two names of each teacher; two of the student's
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert asyncio.run(ask(RUNTIME, "max_tokens")) == [(1, 0)] * 3
        assert len(endpoint.requests) == 1
