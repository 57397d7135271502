"""Demands: what an `if` query asks for where its source brings no constraint that a checker could check.

The judge writes them once per query, before any teacher is asked, so that every answer is held to the same ones. From
then on they are constraints of the query like others, in its record and in the release, and the judge says of each
whether an answer meets it (paper section 3: the score is the mean over the constraints).
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
VERSION = "3"

DEMAND = "judged:demand"  # the id of a constraint that is judged; its one argument is `demand`
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
    """Return the queries with demands where constraints are lacking, and what became of each of those.

    `written` or a reason is counted; `advance` is called for each. A query for which the judge writes none in form
    stays as it is, and its answers are ungradable. `max_tokens` as in `write_demands`.

    Raises:
        EngineError: the judge failed, and not at one query.
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
    """Return the query with demands that the judge has written, or why there are none.

    `max_tokens` is the limit of the judge's own sampling; a longer reply than that of a verdict is allowed.

    Raises:
        EngineError: the judge failed, and not at this one query.
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
    """Return what `write_demands` asks."""
    request = judge_request(WRITING_PROMPT, query, query.prompt)
    return msgspec.structs.replace(request, max_tokens=max(REPLY_TOKENS, max_tokens))


def parse_demands(completion: Completion) -> list[str] | None:
    """Return the one to three demands that a finished reply ends with, one "- " line each; null for any other reply."""
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
    """Return what `judge_demands` asks about an answer, by demand."""
    return {
        demand: judge_request(JUDGING_PROMPT, query, answer, demand=demand)
        for demand in demands_of(query.constraints)
    }


async def judge_demands(judge: Judge, query: Query, answer: str) -> Check:
    """Ask of each demand whether the answer meets it; the score is the share that it meets."""
    requests = judging_requests(query, answer)
    missed = []
    for demand, request in requests.items():
        reply = await ask(judge, request)
        if isinstance(reply, EngineError):
            return _check(None, no_reply(reply), f"{demand!r}: {reply}")
        said = parse_word(reply, ("yes", "no"))
        if said is None:
            return _check(None, "judge_noncompliant", f"{demand!r}: reply was {reply!r}")
        if said == "no":
            missed.append(demand)
    met = len(requests) - len(missed)
    evidence = f"judge says {met} of {len(requests)} met"
    if missed:
        evidence += f"; not {', '.join(map(repr, missed))}"
    return _check(met / len(requests), "constraints_broken" if missed else None, evidence)


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
