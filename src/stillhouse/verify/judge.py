"""Checks by a language model: is this the reference's answer, how near is it, how good is a free answer.

A prompt is a file `prompts/<name>_v<version>.jinja`, in turns, with worked examples: small judges keep to a form that
they have seen. The text under judgement stands between marks that it cannot contain, and only a reply of exactly the
asked form counts; anything else is ungradable. A judge can be wrong or be talked round all the same: which model it was
stands in the metadata, and a verdict that rests on a judge says so.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from stillhouse.hashing import content_hash
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, RefusedError, Request
from stillhouse.params import AskJudge
from stillhouse.records import Check, Message, Query
from stillhouse.verify.checks import Reason, kind_of, make_check

MATH_NAME = "judge_math"
SCIENCE_NAME = "judge_science"
REWARD_NAME = "judge_reward"
# One for all three: it is raised when a prompt or the parsing changes.
VERSION = "2"

PROMPTS = Path(__file__).with_name("prompts")
MATH_PROMPT = "math_v1"
SCIENCE_PROMPT = "science_v1"
REWARD_PROMPT = "reward_v1"

SCIENCE_BEST = 5
REWARD_BEST = 4
DIMENSIONS = {
    "coherence": "Is the answer clear and easy to follow?",
    "correctness": "Is what the answer says true?",
    "helpfulness": "Does the answer help with the question?",
}

SEED_BITS = 63  # the largest seed that engines take is a signed 64-bit integer
MARK_DIGITS = 12
_TURN = re.compile(r"^\[\[(user|assistant)\]\]\n", re.MULTILINE)


class Judge(Protocol):
    """A model to ask; `stillhouse.models.client.Model` is one. Its temperature is its own configuration's."""

    async def complete(self, request: Request) -> Completion:
        """Return the completion of one request.

        Raises:
            EngineError: the request failed for good.
        """
        ...


class Metered:
    """A judge that counts its replies, and the tokens of what it is asked and of what it says."""

    def __init__(self, judge: Judge) -> None:
        self.replies = self.prompt_tokens = self.completion_tokens = 0
        self._judge = judge

    async def complete(self, request: Request) -> Completion:
        """Return the judge's completion."""
        completion = await self._judge.complete(request)
        self.replies += 1
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion


async def judge_math(judge: Judge, query: Query, reference: str, answer: str) -> Check:
    """Ask whether the final result of an answer equals the reference; the score is 1 or 0."""
    reply = await ask(judge, math_request(query, reference, answer))
    said = parse_word(reply, ("yes", "no")) if isinstance(reply, str) else None
    if said is None:
        return _no_mark(MATH_NAME, reply)
    return _check(MATH_NAME, float(said == "yes"), f"judge says {said}")


async def judge_science(judge: Judge, query: Query, reference: str, answer: str) -> Check:
    """Ask for 0..5 how well an answer agrees with the reference; the score is a fifth of it."""
    reply = await ask(judge, science_request(query, reference, answer))
    mark = parse_mark(reply, SCIENCE_BEST) if isinstance(reply, str) else None
    if mark is None:
        return _no_mark(SCIENCE_NAME, reply)
    return _check(SCIENCE_NAME, mark / SCIENCE_BEST, f"judge says {mark} of {SCIENCE_BEST}")


async def judge_reward(judge: Judge, query: Query, answer: str) -> Check:
    """Ask for coherence, correctness and helpfulness, 0..4 each; the score is their sum over 12."""
    marks: dict[str, int] = {}
    for dimension, request in reward_requests(query, answer).items():
        reply = await ask(judge, request)
        mark = parse_mark(reply, REWARD_BEST) if isinstance(reply, str) else None
        if mark is None:
            return _no_mark(REWARD_NAME, reply, f"{dimension}: ")
        marks[dimension] = mark
    evidence = ", ".join(f"{dimension} {mark}" for dimension, mark in marks.items())
    return _check(REWARD_NAME, sum(marks.values()) / (REWARD_BEST * len(DIMENSIONS)), evidence)


def is_asked(when: AskJudge, rule: Check | None) -> bool:
    """Return whether the judge is asked after a rule; null: no rule speaks of this reference.

    A rule that failed by trouble of this machine is run again, so the judge does not speak in its place.
    """
    if when == "never":
        return False
    if rule is None:
        return True
    if rule.state == "pass" or kind_of(rule.reason) == "machine":
        return False
    return when == "any_no" or rule.state == "ungradable"


def math_request(query: Query, reference: str, answer: str) -> Request:
    """Return what `judge_math` asks."""
    return judge_request(MATH_PROMPT, query, answer, reference=reference)


def science_request(query: Query, reference: str, answer: str) -> Request:
    """Return what `judge_science` asks."""
    return judge_request(SCIENCE_PROMPT, query, answer, reference=reference)


def reward_requests(query: Query, answer: str) -> dict[str, Request]:
    """Return what `judge_reward` asks, by dimension."""
    return {
        dimension: judge_request(REWARD_PROMPT, query, answer, ask=ask)
        for dimension, ask in DIMENSIONS.items()
    }


def render(prompt: str, *, text: str, **fields: str) -> list[Message]:
    """Return the conversation that a prompt file makes of the text under judgement.

    The turns are taken from the file before anything is filled in, so that no text can open a turn of its own.
    """
    mark = content_hash("mark", text)[:MARK_DIGITS]
    # No text contains part of its own hash but by a miracle; then the mark inside is broken up.
    safe = text.replace(mark, "-".join(mark))
    return [
        Message(role=role, content=template.render(mark=mark, text=safe, **fields).strip())
        for role, template in _turns(prompt)
    ]


def parse_mark(reply: str, best: int) -> int | None:
    """Return the digit of a reply whose last line is `N` or `Score: N` and nothing else; null for any other."""
    said = re.fullmatch(rf"(?:Score:\s*)?([0-{best}])\.?", _last_line(reply))
    return int(said[1]) if said else None


def parse_word(reply: str, words: Sequence[str]) -> str | None:
    """Return the one of `words` that a reply's last line consists of, letter case and a final dot aside; else null."""
    line = _last_line(reply).rstrip(".").lower()
    return line if line in words else None


def judge_request(prompt: str, query: Query, text: str, **fields: str) -> Request:
    """Return the request that a prompt file makes of a query and a text; its seed follows from its words."""
    messages = render(prompt, text=text, question=_question(query), **fields)
    digest = content_hash("judge", prompt, *(message.content for message in messages))
    seed = int(digest, 16) >> (4 * len(digest) - SEED_BITS)
    return Request(messages=messages, seed=seed, query_id=query.id)


async def ask(judge: Judge, request: Request) -> str | EngineError:
    """Return the judge's words, or the error for which there are none."""
    try:
        completion = await judge.complete(request)
    except EngineError as error:
        return error
    return completion.text


def _question(query: Query) -> str:
    """Return the question as the judge reads it: the last turn, after the earlier ones where there are any."""
    turns = [message for message in query.messages if message.role != "system"]
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)


@functools.cache
def _turns(prompt: str) -> list[tuple[Any, Any]]:
    """Return the turns of a prompt file, each with its role and its template."""
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    parts = _TURN.split((PROMPTS / f"{prompt}.jinja").read_text(encoding="utf-8"))[1:]
    return [
        (role, environment.from_string(text))
        for role, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def _last_line(reply: str) -> str:
    lines = reply.strip().splitlines()
    return lines[-1].strip().strip("*").strip() if lines else ""


def no_reply(error: EngineError) -> Reason:
    """Return why there are no words: a judge that refuses this one text refuses it every time."""
    refused = isinstance(error, RefusedError | NoAnswerError)
    return "judge_noncompliant" if refused else "judge_unavailable"


def _no_mark(name: str, reply: str | EngineError, where: str = "") -> Check:
    if isinstance(reply, EngineError):
        return _check(name, None, f"{where}{reply}", no_reply(reply))
    return _check(name, None, f"{where}reply was {reply!r}", "judge_noncompliant")


def _check(name: str, score: float | None, evidence: str, reason: Reason | None = None) -> Check:
    if score is not None and score < 1.0:
        reason = "judge_says_no" if name == MATH_NAME else "low_mark"
    return make_check(name, VERSION, score, reason, evidence)
