"""vLLM in process, on a random tiny model: what only the real engine can show."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from stillhouse.models.engine import Completion, RefusedError, Request
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message

pytestmark = pytest.mark.slow

SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=8)


def request(text: str, seed: int) -> Request:
    return Request(messages=[Message(role="user", content=text)], seed=seed, query_id=str(seed))


def without_latency(completion: Completion) -> Completion:
    return msgspec.structs.replace(completion, latency_seconds=None)


def test_seeded_requests_repeat_whatever_the_batch_and_refused_ones_fail_alone(
    tiny_model: Path,
) -> None:
    """More prompt tokens at once than one step takes: a prompt split over two steps broke seeded requests on a CPU."""
    core = VllmCore(Load(f"path:{tiny_model}", "local", "float32", 512), TeacherRuntime())
    engine = VllmEngine(core, SAMPLING)
    long = "What is the answer? " * 30

    async def run() -> tuple[list[Completion], list[Completion], list[object]]:
        many = await asyncio.gather(
            *(engine.complete(request(f"{i} {long}", i)) for i in range(60))
        )
        alone = [await engine.complete(request(f"{i} {long}", i)) for i in (0, 31, 59)]
        mixed = await asyncio.gather(
            engine.complete(request(long * 20, 1)),
            engine.complete(request("short", 2)),
            return_exceptions=True,
        )
        await engine.close()
        return many, alone, list(mixed)

    many, alone, (refused, answered) = asyncio.run(run())
    assert sum(completion.prompt_tokens for completion in many) > 10_000
    assert [without_latency(many[i]) for i in (0, 31, 59)] == list(map(without_latency, alone))
    assert len({completion.text for completion in many}) > 50
    assert isinstance(refused, RefusedError)
    assert isinstance(answered, Completion)


def test_two_models_of_one_process_run_at_once(tiny_model: Path) -> None:
    """A teacher and its judge, as in profiles/single_gpu: without turns, vLLM ends the process."""
    engines = [
        VllmEngine(
            VllmCore(Load(f"path:{tiny_model}", "local", "float32", length), TeacherRuntime()),
            SAMPLING,
        )
        for length in (256, 512)
    ]

    async def run() -> list[list[Completion]]:
        found = await asyncio.gather(
            *(
                asyncio.gather(*(engine.complete(request(f"{i} What?", i)) for i in range(60)))
                for engine in engines
            )
        )
        for engine in engines:
            await engine.close()
        return list(found)

    first, second = asyncio.run(run())
    assert list(map(without_latency, first)) == list(map(without_latency, second))
