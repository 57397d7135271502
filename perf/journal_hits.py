"""Restart with a full journal: answers a second that `Model.complete` finds there, and the look-up alone.

Two engines: `openai`, whose prompt is the conversation as JSON, and `vllm`, whose prompt the chat template of the
model renders. A hit renders, hashes, looks up, decompresses and decodes; nothing is asked.
"""

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from _result import write_result

from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Completion, Engine, Request
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.models.vllm_engine import VllmCore, VllmEngine
from stillhouse.params.load import load_teacher
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message

GOAL = 20_000  # hits a second
ANSWERS = 100_000
ASKED = 40_000
TEACHER = "smollm2_cool"
SAMPLING = Sampling(temperature=0.6, top_p=0.95, max_tokens=1024)


def request(number: int) -> Request:
    text = (
        f"A farmer has {number} apples and gives away every third one. How many are left, and why?"
    )
    return Request(messages=[Message(role="user", content=text)], seed=number, query_id=str(number))


def completion(number: int) -> Completion:
    """Return an answer of about 600 bytes that does not compress much."""
    words = hashlib.shake_128(str(number).encode()).hexdigest(250)
    return Completion(text=words, finish_reason="stop", prompt_tokens=25, completion_tokens=200)


async def fill(journal: Journal, model: Model) -> None:
    for first in range(0, ANSWERS, 1000):
        await asyncio.gather(
            *(
                journal.put(
                    model._key(request(number)),
                    msgspec.json.encode(completion(number)),
                    purpose="teacher",
                    model="full",
                )
                for number in range(first, first + 1000)
            )
        )


def openai_engine() -> Engine:
    runtime = TeacherRuntime(endpoints=["http://nobody.invalid/v1"])
    return OpenAIEngine("served", "none", SAMPLING, runtime)


def vllm_engine() -> Engine:
    from stillhouse.models.vllm_engine import Load

    file = load_teacher(TEACHER)
    teacher = file.teacher
    load = Load(teacher.model, teacher.revision, teacher.dtype, teacher.max_model_len, False)
    return VllmEngine(VllmCore(load, file.runtime), SAMPLING)


def rate(count: int, work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    asyncio.run(work())  # type: ignore[arg-type]
    return count / (time.perf_counter() - started)


def measure(engine: Engine, folder: Path) -> dict[str, float]:
    """Fill a journal, open it anew, and ask for what it holds in random order."""
    with Journal.open(folder) as journal:
        asyncio.run(fill(journal, Model(engine, journal, "teacher", "full")))
    numbers = random.Random(0).choices(range(ANSWERS), k=ASKED)
    requests = [request(number) for number in numbers]
    with Journal.open(folder) as journal:
        model = Model(engine, journal, "teacher", "full")
        keys = [model._key(one) for one in requests]

        async def complete() -> None:
            for one in requests:
                await model.complete(one)

        async def look_up() -> None:
            for key in keys:
                journal.get(key)

        found = {
            "hits_per_second": rate(ASKED, complete),
            "look_ups_per_second": rate(ASKED, look_up),
        }
        assert (model.hits, model.asked) == (ASKED, 0)
        answer = asyncio.run(model.complete(request(7)))
        assert answer == completion(7)
    return {name: round(value) for name, value in found.items()}


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        openai = measure(openai_engine(), Path(folder) / "openai")
        vllm = measure(vllm_engine(), Path(folder) / "vllm")
    slower = min(openai["hits_per_second"], vllm["hits_per_second"])
    write_result(
        "journal_hits",
        slower / GOAL,
        1.0,
        goal_per_second=GOAL,
        openai=openai,
        vllm=vllm,
        answers_in_journal=ANSWERS,
    )


if __name__ == "__main__":
    main()
