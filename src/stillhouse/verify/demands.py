"""Grades `if` queries without checkable constraints: a judge writes demands, and decides which ones an answer meets.

The judge writes the demands once per query, before any teacher is asked, so that all answers are graded by the same
demands. They are constraints of the query like others, in its record and in the release. The judge then decides for
each demand whether an answer meets it (paper section 3: the score is the mean over the constraints).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from stillhouse.models.engine import Completion, EngineError, RefusedError, Request
from stillhouse.records import Check, Constraint, Query
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.judge import Judge, ask, judge_request, no_reply, parse_word

NAME = "judge_demands"
VERSION = "4"

# The id of a constraint that the judge decides; its only argument is `demand`.
DEMAND = "judged:demand"
WRITING_PROMPT = "demands_v1"
JUDGING_PROMPT = "demand_v1"
MOST = 3
MAX_CHARS = 200
REPLY_TOKENS = 256
_LINE = re.compile(r"- (?P<demand>\S.*)")


def demands_of(constraints: Sequence[Constraint]) -> list[str]:
    """Return the demands among the constraints of a query."""
    return [str(c.kwargs.get("demand")) for c in constraints if c.id == DEMAND]


def lacks_constraints(query: Query) -> bool:
    """Whether an answer to an instruction query could not be checked."""
    return query.category == "if" and not query.constraints and query.verifier is None


async def write_all_demands(
    judge: Judge, queries: Sequence[Query], max_tokens: int, advance: Callable[[], object]
) -> tuple[list[Query], Counter[str]]:
    """Return the queries, with demands added where constraints are missing, and counts of `written` and of reasons.

    A query stays unchanged if the judge's reply has no valid demands; its answers are then ungradable.

    Args:
        judge: The judge.
        queries: All queries.
        max_tokens: As in `write_demands`.
        advance: Called after each query without constraints.

    Raises:
        EngineError: the judge failed for a reason other than a single query.
    """
    outcomes: Counter[str] = Counter()

    async def one(query: Query) -> Query:
        if not lacks_constraints(query):
            return query
        written = await write_demands(judge, query, max_tokens)
        advance()
        outcomes["written" if isinstance(written, Query) else written] += 1
        return written if isinstance(written, Query) else query

    return await asyncio.gather(*map(one, queries)), outcomes


async def write_demands(judge: Judge, query: Query, max_tokens: int) -> Query | Reason:
    """Return the query with demands that the judge has written, or the reason why there are none.

    Args:
        judge: The judge.
        query: The query.
        max_tokens: The limit of the judge's own sampling; the reply may be longer than that of a verdict.

    Raises:
        EngineError: the judge failed for a reason other than this query.
    """
    try:
        completion = await judge.complete(writing_request(query, max_tokens))
    except RefusedError:
        return "judge_unavailable"
    demands = parse_demands(completion)
    if demands is None:
        return "judge_noncompliant"
    constraints = [Constraint(id=DEMAND, kwargs={"demand": demand}) for demand in demands]
    return msgspec.structs.replace(query, constraints=constraints)


def writing_request(query: Query, max_tokens: int) -> Request:
    """Return the request of `write_demands`."""
    request = judge_request(WRITING_PROMPT, query, query.prompt)
    return msgspec.structs.replace(request, max_tokens=max(REPLY_TOKENS, max_tokens))


def parse_demands(completion: Completion) -> list[str] | None:
    """Return the one to three demands at the end of a finished reply, one "- " line each; None for any other reply."""
    if completion.finish_reason != "stop":
        return None
    demands: list[str] = []
    for line in reversed(completion.text.strip().splitlines()):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            break
        demands.insert(0, found["demand"].strip())
    fit = 1 <= len(demands) <= MOST and all(len(demand) <= MAX_CHARS for demand in demands)
    return demands if fit and len(set(demands)) == len(demands) else None


def judging_requests(query: Query, answer: str) -> dict[str, Request]:
    """Return the requests of `judge_demands` about an answer, by demand."""
    return {
        demand: judge_request(JUDGING_PROMPT, query, answer, demand=demand)
        for demand in demands_of(query.constraints)
    }


async def judge_demands(judge: Judge, query: Query, answer: str) -> Check:
    """Ask the judge for each demand whether the answer meets it; the score is the share of met demands.

    Args:
        judge: The judge.
        query: The query with its demands.
        answer: The answer part of the response.
    """
    requests = judging_requests(query, answer)
    missed = []
    for demand, request in requests.items():
        reply = await ask(judge, request)
        if isinstance(reply, EngineError):
            return _check(None, no_reply(reply), f"{demand!r}: {reply}")
        word = parse_word(reply, ("yes", "no"))
        if word is None:
            return _check(None, "judge_noncompliant", f"{demand!r}: reply was {reply!r}")
        if word == "no":
            missed.append(demand)
    met = len(requests) - len(missed)
    evidence = f"judge says {met} of {len(requests)} met"
    if missed:
        evidence += f"; not {', '.join(map(repr, missed))}"
    return _check(met / len(requests), "constraints_broken" if missed else None, evidence)


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
