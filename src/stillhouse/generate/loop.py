"""The loop: ask, verify, ask again with the next seed, until an answer is accepted or a stop rule ends it.

Each query is walked by one coroutine, and many more of them run at once than the engine has places, so that it stays
busy while answers are being verified. There is no round and no barrier: a rejected answer's next attempt gets in line
for a place in the running batch.

An answer that cannot be graded for trouble of our own machine is no reason to ask the teacher again: its query's walk
ends there, the others go on, and the stage fails at its end (`verify.trouble`).

What is asked of a query depends on that query's own answers alone, so that neither the order of the queries nor what
else runs has an influence on any answer. The one limit over all queries, the teacher's budget, therefore never cuts a
data set: a run that would exceed it fails, with all answers kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.generate.formats import FormatCheck
from stillhouse.generate.reasoning import split
from stillhouse.hashing import seed_of
from stillhouse.marks import stray_mark
from stillhouse.models.client import Model, fingerprint_hash
from stillhouse.models.engine import (
    Completion,
    EngineError,
    NoAnswerError,
    OneRequestError,
    RefusedError,
    Request,
)
from stillhouse.params.generate import Budget, Generate
from stillhouse.params.teacher import Teacher, marks_of
from stillhouse.records import Query, Response, Verdict, frame_of, response_id
from stillhouse.verify.checks import kind_of
from stillhouse.verify.trouble import words

# Requests that the engine has at once, as a multiple of those that it runs at once: the next ones wait at its door.
ASKED_PER_SLOT = 2
# Queries walked at once, likewise. Attempts at one query follow each other; a query begun late, with two attempts to
# come, would keep an almost empty engine running at the end.
WALKERS_PER_SLOT = 8

Grade = Callable[[Query, Response], Awaitable[Verdict]]
Stop = Literal[
    "accepted", "max_attempts", "query_budget", "no_answer", "refused", "failed", "ungradable"
]


class BudgetError(StillhouseError):
    """The answers of a run cost more than the teacher's budget."""


@dataclass(frozen=True)
class LoopAttempt:
    """One answer: as the engine gave it, and as the pipeline goes on with it."""

    completion: Completion
    response: Response
    stray_mark: bool = False
    """Whether reasoning or answer has a mark or control token, for which the filter would drop it."""


@dataclass(frozen=True)
class Walk:
    """All attempts at one query, in order, and why there are no more.

    `ungradable` has the reasons of the verdicts that were neither a pass nor a fail. The stop `ungradable` means that
    the last of them is trouble of our own machine, which `trouble` has in the words of the verifier or of the judge's
    endpoint. `error` says why a request was `refused`, or `failed` in all tries.
    """

    query: Query
    attempts: list[LoopAttempt] = field(default_factory=list)
    stop: Stop = "max_attempts"
    ungradable: list[str] = field(default_factory=list)
    error: OneRequestError | None = None
    trouble: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the last attempt was accepted."""
        return self.stop == "accepted"

    @property
    def responses(self) -> list[Response]:
        """The attempts as rows."""
        return [attempt.response for attempt in self.attempts]


def request_seed(query_id: str, seed_name: str, attempt: int, run_seed: int) -> int:
    """Return the seed of one request: 63 bits of a sha256, so that a new query shifts no other one's answer.

    Args:
        query_id: the id of the query.
        seed_name: the teacher's `seed_name`, or its id where it has none.
        attempt: the number of the attempt, from 0.
        run_seed: the seed of the run.
    """
    return seed_of(f"{query_id}|{seed_name}|{attempt}|{run_seed}")


class Loop:
    """Walks queries with one teacher. `in_flight`, `tokens` and `cost` say where it stands.

    `tokens` are the teacher's. `cost` is that of all answers of this run, the judge's included. Both count answers from
    the journal too: a run from the journal has cost what its answers cost once.
    """

    def __init__(
        self,
        teacher: str,
        spec: Teacher,
        model: Model,
        grade: Grade,
        rules: Generate,
        *,
        run_seed: int,
        budget: Budget | None = None,
        judge_cost: Callable[[], float | None] = lambda: None,
        most_unanswered: int | None = None,
        format_check: FormatCheck | None = None,
    ) -> None:
        """Name the teacher and say when to stop; `budget` is for all queries together.

        `format_check` stops a run whose first answers have another reasoning format than the teacher's file says.
        `judge_cost` returns the US dollars that the judge's answers have cost so far; null where it has no price.
        `most_unanswered` is the number of queries that may be refused or fail; null: any number.
        """
        self.in_flight = 0
        self._teacher, self._spec = teacher, spec
        self._seed_name = spec.seed_name or teacher
        self._model, self._grade = model, grade
        self._rules, self._run_seed, self._budget = rules, run_seed, budget
        self._judge_cost = judge_cost
        self._format_check = format_check
        self._prompt_tokens = self._completion_tokens = 0
        self._walked = self._unanswered = 0
        self._most_unanswered = most_unanswered
        self._last_error: EngineError | None = None
        self._stopped = False
        self._places = asyncio.Semaphore(model.engine.concurrency * ASKED_PER_SLOT)
        self._fingerprints: dict[bytes, str] = {}

    @property
    def tokens(self) -> int:
        """Tokens of all prompts and completions so far."""
        return self._prompt_tokens + self._completion_tokens

    @property
    def cost(self) -> float | None:
        """US dollars so far, the judge's included; null where neither has a price."""
        teacher = self._cost(self._prompt_tokens, self._completion_tokens)
        known = [cost for cost in (teacher, self._judge_cost()) if cost is not None]
        return sum(known) if known else None

    async def run(self, queries: Iterable[Query], finished: Callable[[Walk], None]) -> None:
        """Ask each query until an answer is accepted; `finished` gets each query's walk as it ends.

        Queries are drawn as they are walked, and walks are not kept.

        Raises:
            BudgetError: the answers cost more than the budget; nothing new was asked for after that, and what was being
                answered then is in the journal too.
            EngineError, JournalError: the run cannot go on, or more queries than `most_unanswered` have no answer; all
                answers so far are in the journal.
            FormatError: the teacher's answers have another reasoning format than its file says.
        """
        stream = iter(queries)

        async def walker() -> None:
            for query in stream:
                walk = await self._walk(query)
                if self._stopped:
                    return
                self._walked += 1
                finished(walk)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._model.engine.concurrency * WALKERS_PER_SLOT):
                    group.create_task(walker())
        except ExceptionGroup as errors:
            raise next(_leaves(errors)) from None
        if self._format_check is not None:
            self._format_check.require_fitting()
        if self._stopped:
            raise BudgetError(self._over_budget())
        if self._last_error is not None and self._unanswered == self._walked:
            raise self._last_error  # it is not one query that is at fault

    async def _walk(self, query: Query) -> Walk:
        most, query_budget = self._rules.rules(query.category)
        attempts: list[LoopAttempt] = []
        ungradable: list[str] = []

        def ended(stop: Stop) -> Walk:
            return Walk(query, attempts, stop, ungradable)

        while len(attempts) < most:
            try:
                attempt = await self._attempt(query, attempts)
            except NoAnswerError:
                return ended("no_answer")
            except OneRequestError as error:
                self._count_unanswered(error)
                stop: Stop = "refused" if isinstance(error, RefusedError) else "failed"
                return Walk(query, attempts, stop, ungradable, error)
            if attempt is None:
                break
            attempts.append(attempt)
            if self._exceeds_budget():
                self._stopped = True
            # A truncated answer is never accepted, whatever a verifier would say to it. Neither is one with a stray
            # mark: the filter would drop it.
            elif attempt.response.finish_reason == "stop" and not attempt.stray_mark:
                verdict = await self._grade(query, attempt.response)
                self._stopped = self._stopped or self._exceeds_budget()  # by what the judge cost
                if verdict.state == "pass":
                    return ended("accepted")
                if verdict.state == "ungradable" and verdict.reason is not None:
                    ungradable.append(verdict.reason)
                    if kind_of(verdict.reason) == "machine":
                        return Walk(
                            query, attempts, "ungradable", ungradable, trouble=words(verdict)
                        )
            if self._stopped:
                break
            if len(attempts) < most and query_budget and self._used_up(query_budget, attempts):
                return ended("query_budget")
        return ended("max_attempts")

    async def _attempt(self, query: Query, earlier: list[LoopAttempt]) -> LoopAttempt | None:
        """Return the next attempt at a query; null if the run was stopped while it waited for a place."""
        number = len(earlier)
        seed = request_seed(query.id, self._seed_name, number, self._run_seed)
        request = Request(
            messages=query.messages,
            seed=seed,
            query_id=query.id,
            attempt=number,
            max_tokens=self._longer(earlier),
        )
        async with self._places:
            if self._stopped:
                return None
            self.in_flight += 1
            try:
                completion = await self._model.complete(request)
            finally:
                self.in_flight -= 1
        self._prompt_tokens += completion.prompt_tokens
        self._completion_tokens += completion.completion_tokens
        if self._format_check is not None:
            self._format_check.add(completion)
        parts = split(completion, self._spec.reasoning)
        response = Response(
            id=response_id(query.id, self._teacher, number, completion.text),
            query_id=query.id,
            teacher=self._teacher,
            attempt=number,
            seed=seed,
            think=parts.think,
            answer=parts.answer,
            frame=frame_of(completion.text, *parts),
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            cost=self._cost(completion.prompt_tokens, completion.completion_tokens),
            fingerprint=self._fingerprint(completion),
        )
        stray = stray_mark(parts, marks_of(self._spec.reasoning)) is not None
        return LoopAttempt(completion, response, stray)

    def _count_unanswered(self, error: OneRequestError) -> None:
        self._unanswered, self._last_error = self._unanswered + 1, error
        if self._most_unanswered is not None and self._unanswered > self._most_unanswered:
            raise EngineError(
                f"teacher {self._teacher}: {self._unanswered:,} queries have no answer, more than `max_unanswered` of "
                f"conf/runtime.yaml allows. The last one: {error}. All answers are in the journal: remove the cause or "
                "raise the share, and run the same command again"
            )

    def _longer(self, earlier: list[LoopAttempt]) -> int | None:
        """Return the token limit of the next attempt where truncated ones have raised it."""
        longer, sampling = self._rules.after_truncated, self._spec.sampling
        truncated = sum(attempt.response.finish_reason == "length" for attempt in earlier)
        if longer is None or sampling is None or not truncated:
            return None
        limit = min(int(sampling.max_tokens * longer.factor**truncated), longer.max_tokens)
        return limit if limit > sampling.max_tokens else None

    def _fingerprint(self, completion: Completion) -> str:
        """Return the hash of all that an answer was made with: the journal's fingerprint, and what it was made on."""
        if not completion.made_on:
            return self._model.fingerprint_hash
        made_on = msgspec.json.encode(completion.made_on, order="sorted")
        known = self._fingerprints.get(made_on)
        if known is None:
            known = fingerprint_hash({**self._model.fingerprint, "made_on": completion.made_on})
            self._fingerprints[made_on] = known
        return known

    def _used_up(self, budget: Budget, attempts: list[LoopAttempt]) -> bool:
        prompt = sum(attempt.completion.prompt_tokens for attempt in attempts)
        completion = sum(attempt.completion.completion_tokens for attempt in attempts)
        if budget.tokens is not None and prompt + completion >= budget.tokens:
            return True
        cost = self._cost(prompt, completion)
        return budget.cost is not None and cost is not None and cost >= budget.cost

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        price = self._spec.price
        return None if price is None else price.cost(prompt_tokens, completion_tokens)

    def _exceeds_budget(self) -> bool:
        # Strictly more, so that it depends on the answers alone, and not on their order, whether a run is complete.
        budget = self._budget
        if budget is None:
            return False
        if budget.tokens is not None and self.tokens > budget.tokens:
            return True
        return budget.cost is not None and (self.cost or 0.0) > budget.cost

    def _over_budget(self) -> str:
        spent = f"{self.tokens:,} tokens" + (f", ${self.cost:.2f}" if self.cost is not None else "")
        if judge_cost := self._judge_cost():
            spent += f" (${judge_cost:.2f} of it for the judge)"
        return (
            f"teacher {self._teacher}: its budget in conf/runtime.yaml is used up: {spent} for {self._walked} "
            "finished queries; every answer is in the journal. Raise the budget to go on from here, or ask fewer "
            f"queries; `stillhouse plan {self._teacher}` prints what all would cost"
        )


def _leaves(errors: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in errors.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
