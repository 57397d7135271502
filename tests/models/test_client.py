import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.journal.journal import Journal, JournalError
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model, fingerprint_hash
from stillhouse.models.declared import declared
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params.files import parse
from stillhouse.params.teacher import Teacher, TeacherRuntime
from stillhouse.records import Message
from tests.doubles.scripted_engine import ScriptedEngine, said


def request(text: str = "What is 1 + 1?", seed: int = 1, query_id: str = "q") -> Request:
    return Request(messages=[Message(role="user", content=text)], seed=seed, query_id=query_id)


async def echo(asked: Request) -> Completion:
    return said(f"{asked.messages[-1].content} {asked.seed}", "length", reasoning="Hm.")


def test_a_second_run_asks_nothing_and_says_the_same(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        model = Model(ScriptedEngine(echo), journal, "teacher", "t")
        first = asyncio.run(model.complete(request()))
        assert (model.hits, model.asked) == (0, 1)
    with Journal.open(tmp_path) as journal:
        engine = ScriptedEngine(echo)
        model = Model(engine, journal, "teacher", "t")
        assert asyncio.run(model.complete(request())) == first
        assert (model.hits, model.asked, engine.requests) == (1, 0, [])
        assert journal.stats()["groups"][0]["purpose"] == "teacher"
        assert journal.stats()["groups"][0]["model"] == "t"


@pytest.mark.parametrize(
    ("other_request", "facts"),
    [
        (request(seed=2), {}),
        (request(text="What is 2 + 2?"), {}),
        (request(), {"revision": "b"}),
        (msgspec.structs.replace(request(), max_tokens=9), {}),
    ],
)
def test_seed_prompt_and_fingerprint_are_part_of_the_key(
    tmp_path: Path, other_request: Request, facts: dict
):
    with Journal.open(tmp_path) as journal:
        asyncio.run(Model(ScriptedEngine(echo), journal, "teacher", "t").complete(request()))
        model = Model(ScriptedEngine(echo, facts=facts), journal, "teacher", "t")
        asyncio.run(model.complete(other_request))
        assert (model.hits, model.asked) == (0, 1)


def test_the_query_id_is_no_part_of_the_key(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        model = Model(ScriptedEngine(echo), journal, "teacher", "t")
        asyncio.run(model.complete(request(query_id="one")))
        asyncio.run(model.complete(request(query_id="other")))
        assert (model.hits, model.asked) == (1, 1)


def test_two_who_ask_the_same_at_once_share_one_answer(tmp_path: Path):
    async def ask_twice(journal: Journal) -> list[Completion]:
        model = Model(engine, journal, "judge", "j")
        answers = await asyncio.gather(*(model.complete(request()) for _ in range(5)))
        assert (model.asked, model.hits) == (1, 4)
        return answers

    async def never_the_same(_: Request) -> Completion:
        await asyncio.sleep(0)
        return said(f"answer {len(engine.requests)}")

    engine = ScriptedEngine(never_the_same)
    with Journal.open(tmp_path) as journal:
        answers = asyncio.run(ask_twice(journal))
    assert [a.text for a in answers] == ["answer 1"] * 5


def test_who_waited_for_one_that_failed_asks_itself(tmp_path: Path):
    async def fail_once(_: Request) -> Completion:
        if len(engine.requests) == 1:
            raise EngineError("no luck")
        return said("second")

    async def ask_twice(journal: Journal) -> list[Completion | BaseException]:
        model = Model(engine, journal, "judge", "j")
        both = (model.complete(request()) for _ in range(2))
        return await asyncio.gather(*both, return_exceptions=True)

    engine = ScriptedEngine(fail_once)
    with Journal.open(tmp_path) as journal:
        first, second = asyncio.run(ask_twice(journal))
    assert isinstance(first, EngineError)
    assert second.text == "second"


def test_an_answer_that_is_no_completion_is_an_error_with_its_key(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        model = Model(ScriptedEngine(echo), journal, "teacher", "t")
        asyncio.run(journal.put(model._key(request()), b'{"no": 1}', purpose="teacher", model="t"))
        with pytest.raises(JournalError, match=f"{model._key(request()).hex()}.*not a completion"):
            asyncio.run(model.complete(request()))


@given(
    st.tuples(st.integers(0, 2**63 - 1), st.text()), st.tuples(st.integers(0, 2**63 - 1), st.text())
)
def test_keys_differ_exactly_where_requests_differ(one: tuple[int, str], other: tuple[int, str]):
    model = Model(ScriptedEngine(echo), None, "teacher", "t")  # type: ignore[arg-type]
    keys = [model._key(request(text=text, seed=seed)) for seed, text in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_what_costs_nothing_is_not_journaled(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        model = Model(ScriptedEngine(echo, journaled=False), journal, "teacher", "t")
        asyncio.run(model.complete(request()))
        asyncio.run(model.complete(request()))
        assert (model.hits, model.asked) == (0, 2)
        assert journal.stats()["answers"] == 0


def test_a_failure_is_not_journaled(tmp_path: Path):
    async def fail(_: Request) -> Completion:
        raise EngineError("no luck")

    with Journal.open(tmp_path) as journal:
        with pytest.raises(EngineError, match="no luck"):
            asyncio.run(Model(ScriptedEngine(fail), journal, "teacher", "t").complete(request()))
        assert journal.stats()["answers"] == 0


def test_the_fingerprint_hash_depends_on_content_only():
    assert fingerprint_hash({"a": 1, "b": 2}) == fingerprint_hash({"b": 2, "a": 1})
    assert fingerprint_hash({"a": 1}) != fingerprint_hash({"a": 2})
    assert len(fingerprint_hash({})) == 16


@pytest.mark.usefixtures("full_environment")
def test_the_weights_of_a_judge_that_is_never_asked_are_neither_converted_nor_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> Path:
        raise AssertionError("the weights were looked for")

    for module in ("chat", "vllm_engine", "reward"):
        monkeypatch.setattr(f"stillhouse.models.{module}.resolve", refuse)
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8}
    spec = {
        "label": "judge",
        "engine": "vllm",
        "model": "package:nowhere/judge.gguf",
        "revision": "a" * 64,
        "license": "mit",
        "sampling": sampling,
    }
    judge = parse(Teacher, spec, "spec")
    with Journal.open(tmp_path) as journal:
        room = ModelRoom(journal)
        model = room.model("judge", judge, TeacherRuntime(), "judge")
        assert declared(judge)["revision"] == "a" * 64
        with pytest.raises(AssertionError, match="looked for"):
            _ = model.fingerprint
        asyncio.run(room.close())
