"""The generate stage on vLLM against `LLM.generate`, and against waves with retries, on the embedded model.

Both comparisons run on the same model and with the same seeds:

- `ratio`: completion tokens a second of the loop, verification in its worker processes and journal included, over those
  of `LLM.generate` on the same prompts with the same token counts, all given at once (the counts are forced). It gets
  all first attempts before the second ones (628 steps; 600 in the order in which the loop ends with its queries).
- `over_waves`: time of a loop of fixed waves with retries over the time of the loop, for the same queries and attempts.
  A wave asks its queries at once, waits for the last answer, verifies all, and asks the rejected ones again.

The two of a comparison run in turns of a few seconds, each in a process of its own that is stopped meanwhile: one
after the other, a shared machine gave ratios from 0.77 to 1.59. The steps that either side took are written beside it.

The answers' lengths are mixed (`LENGTHS`), as those of a reasoning teacher are. The attempts at one query follow each
other, which no engine can change: of few queries, the last ones' retries run almost alone (with 96 queries and these
lengths, 0.69 of `LLM.generate` by the number of steps).
"""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from _result import write_result
from _turns import TURN_SECONDS, in_turns

from stillhouse.generate.loop import Grade, Loop, Walk, request_seed
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Completion, Request
from stillhouse.models.vllm_engine import (
    Load,
    VllmCore,
    VllmEngine,
    engine_arguments,
    engine_environment,
)
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_run, load_teacher
from stillhouse.params.teacher import Teacher, TeacherRuntime
from stillhouse.records import Message, Query, Response, Verdict, query_id, response_id
from stillhouse.verify.grade import Grader

GOAL = 0.95
GOAL_OVER_WAVES = 1.3
LENGTHS = (4, 8, 12, 16, 24, 32, 48, 128)  # completion tokens; most short, a few long
MAX_ATTEMPTS = 3
RUN_SEED = 1
WAVE = 32
WAVED = 3 * WAVE  # queries that are asked in waves too
RUNTIME = TeacherRuntime(max_num_seqs=WAVE)


class Asked(NamedTuple):
    """One attempt: what all sides of a comparison ask for alike."""

    attempt: int
    query_id: str
    seed: int
    tokens: int


class Made(NamedTuple):
    """What a side asked for, in the order of `Asked`, and the engine's steps."""

    asked: list[Asked]
    steps: int


class StepCounter:
    """Counts the steps of vLLM's engine from now on; vLLM has to be imported, with its variables set, before."""

    def __init__(self) -> None:
        """Put itself around `LLMEngine.step`, for as long as the process lives."""
        from vllm import LLMEngine

        self.steps = 0
        bare = LLMEngine.step

        def step(engine: Any) -> Any:
            self.steps += 1
            return bare(engine)

        LLMEngine.step = step


def forced_length(seed: int) -> int:
    return LENGTHS[seed % len(LENGTHS)]


def accepted(seed: int) -> bool:
    return (seed >> 16) % 2 == 0


def what_is_asked(queries: list[Query]) -> list[Asked]:
    """Return all attempts, the first at each query before the second ones."""
    asked = []
    left = queries
    for attempt in range(MAX_ATTEMPTS):
        seeds = [request_seed(query.id, "benchmark", attempt, RUN_SEED) for query in left]
        asked += [
            Asked(attempt, query.id, seed, forced_length(seed))
            for query, seed in zip(left, seeds, strict=True)
        ]
        left = [query for query, seed in zip(left, seeds, strict=True) if not accepted(seed)]
    return sorted(asked)


def made_query(number: int) -> Query:
    text = f"Tell me about the number {number}, and what it is used for."
    messages = [Message(role="user", content=text)]
    return Query(
        id=query_id(messages),
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=messages,
        ground_truth=str(number),
    )


class ForcedLengths(VllmEngine):
    """The engine of the project, with a token count that follows from the seed, and no end before it."""

    async def complete(self, request: Request) -> Completion:
        """Return the completion, and call it whole: its length was forced."""
        length = forced_length(request.seed)
        made = await super().complete(msgspec.structs.replace(request, max_tokens=length))
        assert made.completion_tokens == length
        return msgspec.structs.replace(made, finish_reason="stop")


def grade_with(grader: Grader) -> Grade:
    """Return a verifier that does all the work of the rule for maths, and then accepts half of the answers by seed."""

    async def grade(query: Query, response: Response) -> Verdict:
        verdict = await grader.grade(query, response)
        return msgspec.structs.replace(verdict, state="pass" if accepted(response.seed) else "fail")

    return grade


async def walk(
    spec: Teacher,
    engine: ForcedLengths,
    queries: list[Query],
    wave: int | None,
    start: Callable[[], None] = lambda: None,
) -> list[Asked]:
    """Walk all queries with the loop, or in fixed waves with retries; return what was asked for."""
    walks: list[Walk] = []
    grader = Grader(load_run().verify, None)
    grade = grade_with(grader)
    try:
        with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder)) as journal:
            model = Model(engine, journal, "teacher", "benchmark")
            start()
            if wave is None:
                rules = Generate(max_attempts=MAX_ATTEMPTS)
                loop = Loop("benchmark", spec, model, grade, rules, run_seed=RUN_SEED)
                await loop.run(queries, walks.append)
                responses = [response for walk in walks for response in walk.responses]
            else:
                responses = await run_waves(model, grade, queries, wave)
    finally:
        await grader.close()
    return sorted(Asked(r.attempt, r.query_id, r.seed, r.completion_tokens) for r in responses)


async def run_waves(model: Model, grade: Grade, queries: list[Query], wave: int) -> list[Response]:
    """Ask in waves: the peer."""
    responses: list[Response] = []
    for first in range(0, len(queries), wave):
        left = queries[first : first + wave]
        for attempt in range(MAX_ATTEMPTS):
            seeds = [request_seed(query.id, "benchmark", attempt, RUN_SEED) for query in left]
            requests = [
                Request(messages=query.messages, seed=seed, query_id=query.id, attempt=attempt)
                for query, seed in zip(left, seeds, strict=True)
            ]
            completions = await asyncio.gather(*map(model.complete, requests))
            asked = [
                Response(
                    id=response_id(query.id, "benchmark", attempt, made.text),
                    query_id=query.id,
                    teacher="benchmark",
                    attempt=attempt,
                    seed=seed,
                    think="",
                    answer=made.text,
                    frame=["", ""],
                    finish_reason=made.finish_reason,
                    prompt_tokens=made.prompt_tokens,
                    completion_tokens=made.completion_tokens,
                    fingerprint="",
                )
                for query, seed, made in zip(left, seeds, completions, strict=True)
            ]
            responses += asked
            verdicts = await asyncio.gather(*map(grade, left, asked))
            left = [q for q, v in zip(left, verdicts, strict=True) if v.state != "pass"]
            if not left:
                break
    return responses


def opened() -> tuple[Teacher, Load, ForcedLengths]:
    """Return the teacher, what is loaded of it, and its engine, which loads at its first answer."""
    spec = load_teacher("smollm2_warm").teacher
    assert spec.sampling is not None
    load = Load(spec.model, spec.revision, spec.dtype, spec.max_model_len)
    engine = ForcedLengths(VllmCore(load, RUNTIME), spec.sampling, concurrency=WAVE)
    engine.sampling["ignore_eos"] = True
    return spec, load, engine


def generate_stage(queries: list[Query], wave: int | None, start: Callable[[], None]) -> Made:
    """Run the loop, or its peer in waves."""
    spec, _, engine = opened()
    asyncio.run(walk(spec, engine, queries[:4], None))  # warm
    counter = StepCounter()
    asked = asyncio.run(walk(spec, engine, queries, wave, start))
    return Made(asked, counter.steps)


def all_at_once(queries: list[Query], start: Callable[[], None]) -> Made:
    """Run `LLM.generate` on the same weights, for the same prompts and lengths."""
    _, load, engine = opened()
    os.environ.update(engine_environment(load, RUNTIME))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process, as the stage does
    from vllm import LLM, SamplingParams

    by_id = {query.id: query for query in queries}
    asked = what_is_asked(queries)
    prompts: list[Any] = []
    sampling = []
    for one in asked:
        messages = by_id[one.query_id].messages
        request = Request(messages=messages, seed=one.seed, query_id=one.query_id)
        prompts.append({"prompt_token_ids": engine.encode(request)})
        settings = {**engine.sampling, "seed": one.seed, "max_tokens": one.tokens}
        sampling.append(SamplingParams(**settings))
    llm = LLM(**engine_arguments(load, RUNTIME))
    llm.generate(prompts[:4], sampling[:4], use_tqdm=False)  # warm
    counter = StepCounter()
    start()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    made = [
        one._replace(tokens=len(output.outputs[0].token_ids))
        for one, output in zip(asked, outputs, strict=True)
    ]
    return Made(made, counter.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=320)
    arguments = parser.parse_args()
    load_average = os.getloadavg()[0]
    queries = [made_query(number) for number in range(arguments.queries)]
    few = queries[:WAVED]
    loop, bare = in_turns(partial(generate_stage, queries, None), partial(all_at_once, queries))
    looped, waved = in_turns(partial(generate_stage, few, None), partial(generate_stage, few, WAVE))
    asked = what_is_asked(queries)
    assert loop.result.asked == bare.result.asked == asked
    assert looped.result.asked == waved.result.asked == what_is_asked(few)
    tokens = sum(one.tokens for one in asked)
    over_waves = waved.seconds / looped.seconds
    write_result(
        "vllm_loop",
        bare.seconds / loop.seconds,
        GOAL,
        over_waves=round(over_waves, 3),
        goal_over_waves=GOAL_OVER_WAVES,
        over_waves_within_goal=over_waves >= GOAL_OVER_WAVES,
        queries=len(queries),
        queries_in_waves=len(few),
        answers=len(asked),
        completion_tokens=tokens,
        turn_seconds=TURN_SECONDS,
        loop_seconds=round(loop.seconds, 1),
        llm_generate_seconds=round(bare.seconds, 1),
        loop_steps=loop.result.steps,
        llm_generate_steps=bare.result.steps,
        loop_tokens_per_second=round(tokens / loop.seconds, 1),
        llm_generate_tokens_per_second=round(tokens / bare.seconds, 1),
        load_average_at_start=round(load_average, 2),
    )


if __name__ == "__main__":
    main()
