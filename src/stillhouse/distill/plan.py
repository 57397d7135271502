"""What a run would still ask and cost, found without asking anything."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stillhouse.distill.loop import Loop, Walk
from stillhouse.models.client import Model
from stillhouse.models.engine import Completion, Engine, NoAnswerError, Request
from stillhouse.models.journal import Journal
from stillhouse.models.vllm_engine import VllmEngine
from stillhouse.params import Generate, Price, Teacher
from stillhouse.records import Query, Response, Verdict

COUNTED = (
    1000  # prompts whose tokens are counted; ids are hashes, so that the first are a fair sample
)
CHARS_PER_TOKEN = 4.0  # of English text, where there is no tokenizer here to count with


@dataclass
class Plan:
    """Requests, tokens and dollars of one teacher's run.

    What is kept is in the journal already. Whether a kept answer was accepted is known only to the run, which grades it
    again: hence `at_least` and `at_most` requests are still to come, the most if nothing is accepted.
    """

    queries: int = 0
    kept: int = 0
    kept_prompt_tokens: int = 0
    kept_completion_tokens: int = 0
    at_least: int = 0
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
        """Return the dollars still to come if nothing is accepted and answers are as long as the kept ones."""
        if self.usual_completion is None:
            return None
        tokens = math.ceil(self.at_most * self.usual_completion)
        return price.cost(math.ceil(self.prompt_tokens_at_most), tokens)

    def cost_kept(self, price: Price) -> float:
        """Return the dollars that the kept answers have cost."""
        return price.cost(self.kept_prompt_tokens, self.kept_completion_tokens)


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
) -> Plan:
    """Walk all queries as far as the journal has answers, and count what is missing."""
    found = Plan(counted=isinstance(engine, VllmEngine))
    prompts = _PromptTokens(engine)
    model = Model(_NothingAsked(engine), journal, "teacher", teacher)
    loop = Loop(teacher, spec, model, _never_accepted, rules, run_seed=run_seed)

    def finished(walk: Walk) -> None:
        found.queries += 1
        found.kept += len(walk.attempts)
        found.kept_prompt_tokens += sum(a.completion.prompt_tokens for a in walk.attempts)
        found.kept_completion_tokens += sum(a.completion.completion_tokens for a in walk.attempts)
        if walk.stop != "no_answer":
            return
        most, _ = rules.rules(walk.query.category)
        left = most - len(walk.attempts)
        found.at_least += not walk.attempts
        found.at_most += left
        of_prompt = (
            walk.attempts[0].completion.prompt_tokens if walk.attempts else prompts.of(walk.query)
        )
        found.prompt_tokens_at_most += left * of_prompt
        found.completion_tokens_at_most += left * _longest(spec, rules)

    await loop.run(queries, finished)
    return found


class _PromptTokens:
    """Tokens of a prompt: counted for the first ones, then by their ratio of tokens to characters."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted = self._tokens = self._chars = 0

    def of(self, query: Query) -> float:
        request = Request(messages=query.messages, seed=0, query_id=query.id)
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


def _longest(spec: Teacher, rules: Generate) -> int:
    assert spec.sampling is not None  # only a replay has none, and asks nothing
    longer = rules.after_truncated
    return max(spec.sampling.max_tokens, longer.max_tokens if longer else 0)


async def _never_accepted(query: Query, response: Response) -> Verdict:
    return Verdict(
        response_id=response.id,
        query_id=query.id,
        state="ungradable",
        score=None,
        reason="not_graded",
        verifier="plan",
    )
