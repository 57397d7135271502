"""The loop: ask, verify, ask again with the next seed, until an answer is accepted or the attempts are used up.

Each query is walked by one coroutine, and enough of them run at once to keep the engine busy while answers are being
verified. So there is no round and no barrier: a rejected answer's next attempt joins the running batch at once.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from stillhouse.distill.reasoning import split
from stillhouse.models.client import Model
from stillhouse.models.engine import NoAnswerError, Request
from stillhouse.records import Query, Response, Verdict, response_id

# Queries walked at once, as a multiple of what the engine runs at once: the rest is being verified.
WALKERS_PER_SLOT = 2

Grade = Callable[[Query, Response], Awaitable[Verdict]]


@dataclass(frozen=True)
class Walk:
    """All attempts at one query, in order, and whether the last was accepted."""

    query: Query
    responses: list[Response] = field(default_factory=list)
    accepted: bool = False


def request_seed(query_id: str, teacher: str, attempt: int, run_seed: int) -> int:
    """Return the seed of one request: 63 bits of a sha256, so that a new query shifts no other one's answer."""
    text = f"{query_id}|{teacher}|{attempt}|{run_seed}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


async def distill(
    queries: Iterable[Query],
    teacher: str,
    model: Model,
    grade: Grade,
    *,
    reasoning: str,
    max_attempts: int,
    run_seed: int,
    finished: Callable[[Walk], None],
) -> None:
    """Ask `model` each query until `grade` accepts an answer; `finished` gets each query's walk as it ends.

    The order of the queries has no influence on any answer. A query without any answer to come ends early.

    Raises:
        EngineError, JournalError: the run cannot go on; all answers so far are in the journal.
    """
    stream = iter(queries)

    async def walker() -> None:
        for query in stream:
            finished(await _walk(query, teacher, model, grade, reasoning, max_attempts, run_seed))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(model.engine.concurrency * WALKERS_PER_SLOT):
                group.create_task(walker())
    except ExceptionGroup as errors:
        raise next(_leaves(errors)) from None


async def _walk(
    query: Query,
    teacher: str,
    model: Model,
    grade: Grade,
    reasoning: str,
    max_attempts: int,
    run_seed: int,
) -> Walk:
    responses: list[Response] = []
    for attempt in range(max_attempts):
        seed = request_seed(query.id, teacher, attempt, run_seed)
        request = Request(messages=query.messages, seed=seed, query_id=query.id, attempt=attempt)
        try:
            completion = await model.complete(request)
        except NoAnswerError:
            break
        parts = split(completion, reasoning)
        response = Response(
            id=response_id(query.id, teacher, attempt, completion.text),
            query_id=query.id,
            teacher=teacher,
            attempt=attempt,
            seed=seed,
            text=completion.text,
            think=parts.think,
            answer=parts.answer,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            fingerprint=model.fingerprint_hash,
        )
        responses.append(response)
        if (await grade(query, response)).state == "pass":
            return Walk(query, responses, accepted=True)
    return Walk(query, responses)


def _leaves(errors: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in errors.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
