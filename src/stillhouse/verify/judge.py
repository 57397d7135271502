"""Grades answers with a language model as judge: agreement with a reference, or the quality of a free answer.

A prompt is a file `prompts/<name>_v<version>.jinja` that consists of turns with worked examples, because small judges
follow a form that they have seen. The text to judge is between delimiters that it cannot contain. Only a reply of
exactly the required form counts; any other reply is ungradable. A judge can still be wrong or be deceived, so the
metadata names the model, and a verdict that rests on a judge names the judge as its verifier.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from stillhouse.hashing import content_hash
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, RefusedError, Request
from stillhouse.params.verify import AskJudge
from stillhouse.records import Check, Message, Query
from stillhouse.verify.checks import Reason, kind_of, make_check

MATH_NAME = "judge_math"
SCIENCE_NAME = "judge_science"
REWARD_NAME = "judge_reward"
# The version of all three checks; raise it when a prompt or the parsing changes.
VERSION = "3"

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

SEED_BITS = 63  # engines accept seeds up to the largest signed 64-bit integer
MARK_DIGITS = 12
_TURN = re.compile(r"^\[\[(user|assistant)\]\]\n", re.MULTILINE)


class Judge(Protocol):
    """A judge model, such as `stillhouse.models.client.Model`. Its own configuration sets the sampling."""

    async def complete(self, request: Request) -> Completion:
        """Return the completion of one request.

        Raises:
            EngineError: the request failed permanently.
        """
        ...


class Metered:
    """A judge that counts its replies, and the tokens of its prompts and replies."""

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
    """Ask whether the final result of an answer equals the reference; the score is 1 or 0.

    Args:
        judge: The judge.
        query: The query.
        reference: The reference result.
        answer: The answer part of the response.
    """
    reply = await ask(judge, math_request(query, reference, answer))
    word = parse_word(reply, ("yes", "no")) if isinstance(reply, str) else None
    if word is None:
        return _no_score(MATH_NAME, reply)
    return _scored(MATH_NAME, float(word == "yes"), f"judge says {word}")


async def judge_science(judge: Judge, query: Query, reference: str, answer: str) -> Check:
    """Ask how well an answer agrees with the reference, from 0 to 5; the score is a fifth of the reply.

    Args:
        judge: The judge.
        query: The query.
        reference: The reference answer.
        answer: The answer part of the response.
    """
    reply = await ask(judge, science_request(query, reference, answer))
    score = parse_score(reply, SCIENCE_BEST) if isinstance(reply, str) else None
    if score is None:
        return _no_score(SCIENCE_NAME, reply)
    return _scored(SCIENCE_NAME, score / SCIENCE_BEST, f"judge says {score} of {SCIENCE_BEST}")


async def judge_reward(judge: Judge, query: Query, answer: str) -> Check:
    """Ask for coherence, correctness and helpfulness, from 0 to 4 each; the score is their sum over 12.

    Args:
        judge: The judge.
        query: The query.
        answer: The answer part of the response.
    """
    scores: dict[str, int] = {}
    for dimension, request in reward_requests(query, answer).items():
        reply = await ask(judge, request)
        score = parse_score(reply, REWARD_BEST) if isinstance(reply, str) else None
        if score is None:
            return _no_score(REWARD_NAME, reply, f"{dimension}: ")
        scores[dimension] = score
    evidence = ", ".join(f"{dimension} {score}" for dimension, score in scores.items())
    return _scored(REWARD_NAME, sum(scores.values()) / (REWARD_BEST * len(DIMENSIONS)), evidence)


def is_asked(when: AskJudge, rule: Check | None) -> bool:
    """Return whether the judge is asked after a rule; `rule` is None if no rule applies to the reference.

    The judge does not replace a rule that failed because of this machine; that rule is run again.
    """
    if when == "never":
        return False
    if rule is None:
        return True
    if rule.state == "pass" or kind_of(rule.reason) == "machine":
        return False
    return when == "any_no" or rule.state == "ungradable"


def math_request(query: Query, reference: str, answer: str) -> Request:
    """Return the request of `judge_math`.

    Args:
        query: The query.
        reference: The reference result.
        answer: The answer part of the response.
    """
    return judge_request(MATH_PROMPT, query, answer, reference=reference)


def science_request(query: Query, reference: str, answer: str) -> Request:
    """Return the request of `judge_science`.

    Args:
        query: The query.
        reference: The reference answer.
        answer: The answer part of the response.
    """
    return judge_request(SCIENCE_PROMPT, query, answer, reference=reference)


def reward_requests(query: Query, answer: str) -> dict[str, Request]:
    """Return the requests of `judge_reward`, by dimension."""
    return {
        dimension: judge_request(REWARD_PROMPT, query, answer, ask=ask)
        for dimension, ask in DIMENSIONS.items()
    }


def render(prompt: str, *, text: str, **fields: str) -> list[Message]:
    """Return the conversation of a prompt file with the text to judge filled in.

    The file is split into turns before any text is filled in, so that no text can open its own turn.

    Args:
        prompt: The name of the prompt file.
        text: The text to judge.
        fields: Further fields of the prompt.
    """
    mark = content_hash("mark", text)[:MARK_DIGITS]
    # The delimiter contains part of the text's hash. If it occurs in the text nevertheless, it is split there.
    safe = text.replace(mark, "-".join(mark))
    return [
        Message(role=role, content=template.render(mark=mark, text=safe, **fields).strip())
        for role, template in _turns(prompt)
    ]


def parse_score(reply: str, best: int) -> int | None:
    """Return the digit of a reply whose last line is exactly `N` or `Score: N`; None for any other reply."""
    match = re.fullmatch(rf"(?:Score:\s*)?([0-{best}])\.?", _last_line(reply))
    return int(match[1]) if match else None


def parse_word(reply: str, words: Sequence[str]) -> str | None:
    """Return the one of `words` that is the whole last line of a reply, without case and final dot; otherwise None."""
    line = _last_line(reply).rstrip(".").lower()
    return line if line in words else None


def judge_request(prompt: str, query: Query, text: str, **fields: str) -> Request:
    """Return the request of a prompt file for a query and a text; its seed is derived from its content.

    Args:
        prompt: The name of the prompt file.
        query: The query.
        text: The text to judge.
        fields: Further fields of the prompt.
    """
    messages = render(prompt, text=text, question=_question(query), **fields)
    digest = content_hash("judge", prompt, *(message.content for message in messages))
    seed = int(digest, 16) >> (4 * len(digest) - SEED_BITS)
    return Request(messages=messages, seed=seed, query_id=query.id)


async def ask(judge: Judge, request: Request) -> str | EngineError:
    """Return the judge's reply, or the error if there is none."""
    try:
        completion = await judge.complete(request)
    except EngineError as error:
        return error
    return completion.text


def _question(query: Query) -> str:
    """Return the question for the judge: the last turn, preceded by the earlier turns if there are any."""
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
    """Return the reason of a missing reply. A judge that refuses this text would refuse it again."""
    refused = isinstance(error, RefusedError | NoAnswerError)
    return "judge_noncompliant" if refused else "judge_unavailable"


def _no_score(name: str, reply: str | EngineError, where: str = "") -> Check:
    if isinstance(reply, EngineError):
        return make_check(name, VERSION, None, no_reply(reply), f"{where}{reply}")
    return make_check(name, VERSION, None, "judge_noncompliant", f"{where}reply was {reply!r}")


def _scored(name: str, score: float, evidence: str) -> Check:
    below: Reason = "judge_says_no" if name == MATH_NAME else "low_mark"
    return make_check(name, VERSION, score, below if score < 1.0 else None, evidence)
