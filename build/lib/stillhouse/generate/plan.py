"""What a run would still ask and cost, found without asking anything."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stillhouse.generate.loop import Loop, Walk
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Completion, Engine, NoAnswerError, Request
from stillhouse.models.vllm_engine import VllmEngine
from stillhouse.params.generate import Generate
from stillhouse.params.teacher import Price, Teacher
from stillhouse.records import Query, Response, Verdict

COUNTED = (
    1000  # prompts whose tokens are counted; ids are hashes, so that the first are a fair sample
)
CHARS_PER_TOKEN = 4.0  # of English text, where there is no tokenizer here to count with


Asks = Callable[[Query, str | None], list[Request]]
"""What a judge may be asked about an answer to a query; null: an answer that is still to come."""


@dataclass
class Account:
    """Requests and tokens of one model: those in the journal, and those to come if nothing is accepted."""

    kept: int = 0
    kept_prompt_tokens: int = 0
    kept_completion_tokens: int = 0
    at_most: int = 0
    prompt_tokens_at_most: float = 0.0
    completion_tokens_at_most: int = 0
    counted: bool = True  # whether prompt tokens were counted, or estimated from characters

    @property
    def usual_completion(self) -> float | None:
        """Mean tokens of the kept answers; null if there are none."""
        return self.kept_completion_tokens / self.kept if self.kept else None

    def cost_at_most(self, price: Price) -> float:
        """Return the dollars still to come if nothing is accepted and each answer is as long as allowed."""
        return price.cost(math.ceil(self.prompt_tokens_at_most), self.completion_tokens_at_most)

    def cost_as_kept(self, price: Price) -> float | None:
        """Return the dollars still to come if nothing is accepted and the rest is as long as what is kept."""
        if self.usual_completion is None:
            return None
        usual_prompt = self.kept_prompt_tokens / self.kept
        # A prompt to come may be known better, but a judge's holds an answer that is not there yet.
        prompt = min(self.prompt_tokens_at_most, self.at_most * usual_prompt)
        return price.cost(math.ceil(prompt), math.ceil(self.at_most * self.usual_completion))

    def cost_kept(self, price: Price) -> float:
        """Return the dollars that the kept answers have cost."""
        return price.cost(self.kept_prompt_tokens, self.kept_completion_tokens)

    def keep(self, completion: Completion) -> None:
        """Count an answer that is in the journal."""
        self.kept += 1
        self.kept_prompt_tokens += completion.prompt_tokens
        self.kept_completion_tokens += completion.completion_tokens

    def expect(self, requests: int, prompt_tokens: float, completion_tokens: int) -> None:
        """Count requests to come, each with so many tokens."""
        self.at_most += requests
        self.prompt_tokens_at_most += requests * prompt_tokens
        self.completion_tokens_at_most += requests * completion_tokens


@dataclass
class Plan(Account):
    """What one teacher's run asks of the teacher, and of the judge about the teacher's answers.

    What is kept is in the journal already, or in the files of a replay, of which nothing is to come. Whether a kept
    answer was accepted is known only to the run, which grades it again: hence `at_least` and `at_most` requests are
    still to come, the most if nothing is accepted.
    """

    queries: int = 0
    at_least: int = 0
    judge: Account = field(default_factory=Account)


class _NothingAsked:
    """Stands before an engine, and gives no answer where the journal has none."""

    journaled = True

    def __init__(self, engine: Engine) -> None:
        self.concurrency = engine.concurrency
        self.fingerprint: dict[str, Any] = engine.fingerprint
        self.render = engine.render

    async def complete(self, request: Request) -> Completion:
        raise NoAnswerError(f"query {request.query_id}: not in the journal")

    async def close(self) -> None:
        """Nothing is held open."""


async def plan(
    teacher: str,
    spec: Teacher,
    engine: Engine,
    journal: Journal,
    queries: Iterable[Query],
    rules: Generate,
    run_seed: int,
    *,
    judge: str,
    judge_spec: Teacher,
    judge_engine: Engine,
    asks: Asks,
) -> Plan:
    """Walk all queries as far as the journal has answers, and count what is missing."""
    found = Plan(counted=isinstance(engine, VllmEngine))
    found.judge.counted = isinstance(judge_engine, VllmEngine)
    prompts, judge_prompts = _PromptTokens(engine), _PromptTokens(judge_engine)
    model = Model(
        _NothingAsked(engine) if engine.journaled else engine, journal, "teacher", teacher
    )
    judge_model = Model(_NothingAsked(judge_engine), journal, "judge", judge)
    longest, judge_longest = _longest(spec, rules), _longest(judge_spec)

    async def look_up(query: Query, response: Response) -> Verdict:
        """Count what the judge is asked about a kept answer, and accept nothing."""
        if response.answer.strip():
            for request in asks(query, response.answer):
                try:
                    found.judge.keep(await judge_model.complete(request))
                except NoAnswerError:
                    found.judge.expect(1, judge_prompts.of(request), judge_longest)
        return _not_graded(query, response)

    def finished(walk: Walk) -> None:
        found.queries += 1
        for attempt in walk.attempts:
            found.keep(attempt.completion)
        if walk.stop != "no_answer" or not engine.journaled:
            return
        most, _ = rules.rules(walk.query.category)
        left = most - len(walk.attempts)
        found.at_least += not walk.attempts
        if walk.attempts:
            of_prompt: float = walk.attempts[0].completion.prompt_tokens
        else:
            query = walk.query
            of_prompt = prompts.of(Request(messages=query.messages, seed=0, query_id=query.id))
        found.expect(left, of_prompt, longest)
        for request in asks(walk.query, None):
            found.judge.expect(left, judge_prompts.of(request) + longest, judge_longest)

    loop = Loop(teacher, spec, model, look_up, rules, run_seed=run_seed)
    await loop.run(queries, finished)
    return found


class _PromptTokens:
    """Tokens of a prompt: counted for the first ones, then by their ratio of tokens to characters."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted = self._tokens = self._chars = 0

    def of(self, request: Request) -> float:
        chars = len(self._engine.render(request))
        if not isinstance(self._engine, VllmEngine):
            return chars / CHARS_PER_TOKEN
        if self._counted == COUNTED:
            return chars * self._tokens / self._chars
        tokens = len(self._engine.encode(request))
        self._counted += 1
        self._tokens += tokens
        self._chars += chars
        return float(tokens)


def _longest(spec: Teacher, rules: Generate | None = None) -> int:
    if spec.sampling is None:  # a replay, which asks nothing
        return 0
    longer = rules.after_truncated if rules else None
    return max(spec.sampling.max_tokens, longer.max_tokens if longer else 0)


def _not_graded(query: Query, response: Response) -> Verdict:
    """Return a verdict that is no pass and has no reason, so that the loop looks up the next attempt."""
    return Verdict(
        response_id=response.id,
        query_id=query.id,
        state="ungradable",
        score=None,
        reason=None,
        verifier="plan",
    )
