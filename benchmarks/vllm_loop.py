"""The generate stage on vLLM against `LLM.generate`, and against waves with retries, on the embedded model.

Both comparisons run on the same model and with the same seeds:

- `ratio`: completion tokens a second of the loop, verification in its worker processes and journal included, over those
  of `LLM.generate` on the same prompts with the same token counts, all given at once (the counts are forced). They run
  in turns, each in a fresh process (two engines in one share its threads); the median of each counts.
- `over_waves`: time of a loop of fixed waves with retries over the time of the loop, for the same queries and attempts.
  A wave asks its queries at once, waits for the last answer, verifies all, and asks the rejected ones again.

What decides the ratio, whatever else the machine does, is written beside it: the steps that either side took, and the
share of the loop's time in which the engine was stepping; the rest is idle time and what is done between steps.

The answers' lengths are mixed (`LENGTHS`), as those of a reasoning teacher are. The attempts at one query follow each
other, which no engine can change: of few queries, the last ones' retries run almost alone (with 96 queries and these
lengths, 0.69 of `LLM.generate` by the number of steps). Run it on a quiet machine only: vLLM on a CPU falls to a
fraction of its speed beside another busy process.
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import msgspec
from _result import write_result

from stillhouse.distill.loop import Grade, Loop, Walk, request_seed
from stillhouse.models.client import Model
from stillhouse.models.engine import Completion, Request
from stillhouse.models.journal import Journal
from stillhouse.models.vllm_engine import (
    Load,
    VllmCore,
    VllmEngine,
    engine_arguments,
    engine_environment,
)
from stillhouse.params import Generate, Teacher, TeacherRuntime, load_run, load_teacher
from stillhouse.records import Message, Query, Response, Verdict, query_id, response_id
from stillhouse.verify.grade import Grader

GOAL = 0.95
GOAL_OVER_WAVES = 1.3
LENGTHS = (4, 8, 12, 16, 24, 32, 48, 128)  # completion tokens; most short, a few long
MAX_ATTEMPTS = 3
ROUNDS = 3
WAVE = 32
WAVED = 3 * WAVE  # queries that are asked in waves too
RUNTIME = TeacherRuntime(max_num_seqs=WAVE)

T = TypeVar("T")


class Timed(NamedTuple):
    """One run: its seconds, the engine's steps, and the seconds in them."""

    seconds: float
    steps: int
    step_seconds: float


class StepCounter:
    """Counts the steps of vLLM's engine from now on; vLLM has to be imported, with its variables set, before."""

    def __init__(self) -> None:
        """Put itself around `LLMEngine.step`."""
        from vllm import LLMEngine

        self.steps, self.seconds = 0, 0.0
        bare = LLMEngine.step

        def step(engine: Any) -> Any:
            started = time.monotonic()
            outputs = bare(engine)
            self.seconds += time.monotonic() - started
            self.steps += 1
            return outputs

        LLMEngine.step = step


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
        length = LENGTHS[request.seed % len(LENGTHS)]
        made = await super().complete(msgspec.structs.replace(request, max_tokens=length))
        assert made.completion_tokens == length
        return msgspec.structs.replace(made, finish_reason="stop")


def grade_with(grader: Grader) -> Grade:
    """Return a verifier that does all the work of the rule for maths, and then accepts half of the answers by seed."""

    async def grade(query: Query, response: Response) -> Verdict:
        verdict = await grader.grade(query, response)
        accepted = (response.seed >> 16) % 2 == 0
        return msgspec.structs.replace(verdict, state="pass" if accepted else "fail")

    return grade


async def run_loop(
    spec: Teacher, engine: ForcedLengths, queries: list[Query], folder: str, wave: int | None
) -> tuple[float, list[Response]]:
    """Return seconds and answers of the loop, over all queries at once or in fixed waves with retries."""
    walks: list[Walk] = []
    grader = Grader(load_run().verify, None)
    grade = grade_with(grader)
    try:
        with Journal.open(Path(folder)) as journal:
            model = Model(engine, journal, "teacher", "benchmark")
            started = time.monotonic()
            if wave is None:
                rules = Generate(max_attempts=MAX_ATTEMPTS)
                loop = Loop("benchmark", spec, model, grade, rules, run_seed=1)
                await loop.run(queries, walks.append)
                return time.monotonic() - started, [r for walk in walks for r in walk.responses]
            responses = await run_waves(model, grade, queries, wave)
            return time.monotonic() - started, responses
    finally:
        await grader.close()


async def run_waves(model: Model, grade: Grade, queries: list[Query], wave: int) -> list[Response]:
    """Ask in waves: the peer."""
    responses: list[Response] = []
    for first in range(0, len(queries), wave):
        left = queries[first : first + wave]
        for attempt in range(MAX_ATTEMPTS):
            seeds = [request_seed(query.id, "benchmark", attempt, 1) for query in left]
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
                    text=made.text,
                    think="",
                    answer=made.text,
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


def loop(queries: list[Query]) -> tuple[Timed, list[Response]]:
    """Run the loop over all queries; return its answers too."""
    spec, _, engine = opened()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run_loop(spec, engine, queries[:4], f"{folder}/warm", None))
        counter = StepCounter()
        seconds, answers = asyncio.run(run_loop(spec, engine, queries, f"{folder}/all", None))
    asyncio.run(engine.close())
    return Timed(seconds, counter.steps, counter.seconds), answers


def loop_and_waves(queries: list[Query]) -> tuple[float, float]:
    """Return the seconds of the loop, and of waves, for the same queries and attempts."""
    spec, _, engine = opened()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run_loop(spec, engine, queries[:4], f"{folder}/warm", None))
        seconds, walked = asyncio.run(run_loop(spec, engine, queries, f"{folder}/loop", None))
        waved, in_waves = asyncio.run(run_loop(spec, engine, queries, f"{folder}/waves", WAVE))
    asyncio.run(engine.close())
    asked, asked_in_waves = (
        sorted((a.query_id, a.attempt, a.completion_tokens) for a in made)
        for made in (walked, in_waves)
    )
    assert asked == asked_in_waves
    return seconds, waved


def all_at_once(queries: list[Query], answers: list[Response]) -> Timed:
    """Run `LLM.generate` on the same weights, for the prompts and lengths of `answers`."""
    _, load, engine = opened()
    os.environ.update(engine_environment(load, RUNTIME))
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process, as the stage does
    from vllm import LLM, SamplingParams

    by_id = {query.id: query for query in queries}
    prompts: list[Any] = []
    sampling = []
    for answer in answers:
        asked = by_id[answer.query_id]
        request = Request(messages=asked.messages, seed=answer.seed, query_id=asked.id)
        prompts.append({"prompt_token_ids": engine.encode(request)})
        settings = {**engine.sampling, "seed": answer.seed}
        settings["max_tokens"] = answer.completion_tokens
        sampling.append(SamplingParams(**settings))
    llm = LLM(**engine_arguments(load, RUNTIME))
    llm.generate(prompts[:4], sampling[:4], use_tqdm=False)  # warm
    counter = StepCounter()
    started = time.monotonic()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    seconds = time.monotonic() - started
    made = [len(output.outputs[0].token_ids) for output in outputs]
    assert made == [answer.completion_tokens for answer in answers]
    return Timed(seconds, counter.steps, counter.seconds)


def in_a_process(function: Callable[..., T], *arguments: Any) -> T:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        return processes.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=320)
    arguments = parser.parse_args()
    load_average = os.getloadavg()[0]
    queries = [made_query(number) for number in range(arguments.queries)]
    loops, bare = [], []
    for _ in range(ROUNDS):
        timed, answers = in_a_process(loop, queries)
        loops.append(timed)
        bare.append(in_a_process(all_at_once, queries, answers))
        print(f"loop {loops[-1]}, LLM.generate {bare[-1]}", flush=True)
    loop_seconds, bare_seconds = (median(run.seconds for run in side) for side in (loops, bare))
    looped, waved = in_a_process(loop_and_waves, queries[:WAVED])
    over_waves = waved / looped
    tokens = sum(answer.completion_tokens for answer in answers)
    write_result(
        "vllm_loop",
        bare_seconds / loop_seconds,
        GOAL,
        over_waves=round(over_waves, 3),
        goal_over_waves=GOAL_OVER_WAVES,
        over_waves_within_goal=over_waves >= GOAL_OVER_WAVES,
        queries=len(queries),
        queries_in_waves=min(WAVED, len(queries)),
        answers=len(answers),
        completion_tokens=tokens,
        loop_seconds=[round(run.seconds, 1) for run in loops],
        llm_generate_seconds=[round(run.seconds, 1) for run in bare],
        loop_steps=[run.steps for run in loops],
        llm_generate_steps=[run.steps for run in bare],
        loop_share_of_time_in_steps=[round(run.step_seconds / run.seconds, 4) for run in loops],
        loop_tokens_per_second=round(tokens / loop_seconds, 1),
        llm_generate_tokens_per_second=round(tokens / bare_seconds, 1),
        load_average_at_start=round(load_average, 2),
    )


if __name__ == "__main__":
    main()
