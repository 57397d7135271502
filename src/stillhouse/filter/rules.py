"""The rules of the filter that look at one response: each keeps it, or drops it with a reason.

| rule | drops with the reason |
|---|---|
| `not_verified` | `not_verified`: the verdict is not `pass` |
| `truncated` | `truncated`: cut at the token limit, or incomplete for another finish reason |
| `control_token` | `control_token`: one of `filter.control_tokens` is in the prompt, the reasoning or the answer |
| `structure` | those of `structure_fault` |
| `too_long` | `too_long`: more than `filter.max_tokens` tokens |
| `perplexity` | `perplexity`: above the teacher's `perplexity_cut` |
| those of `filter.rules`, in their order | what the plugin's rule returns |

They are tried in this order, and the first reason counts. Two more compare responses (`select.py`): `repetition` and
`surplus`.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from stillhouse import plugins
from stillhouse.filter.structure import structure_fault
from stillhouse.marks import ThinkMarks, find_control_token
from stillhouse.params.filter import Filter
from stillhouse.tables.attempts import Attempt

BETWEEN_RESPONSES = ("repetition", "surplus")
BUILT_IN = (
    "not_verified",
    "truncated",
    "control_token",
    "structure",
    "too_long",
    "perplexity",
    *BETWEEN_RESPONSES,
)
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Rule(NamedTuple):
    """A named rule: null keeps an attempt, a reason drops it."""

    name: str
    reason: Callable[[Attempt], str | None]


class RuleCounts:
    """What one rule did: how many responses it kept and dropped, and the seconds that it took."""

    def __init__(self) -> None:
        self.kept = 0
        self.dropped = 0
        self.seconds = 0.0

    def add(self, reason: str | None) -> None:
        """Count one decision."""
        if reason is None:
            self.kept += 1
        else:
            self.dropped += 1


class Rules:
    """The rules of one run in their order, and what each of them did.

    Args:
        params: parameters of the filter.
        perplexity_cut: the largest perplexity that is kept; null: any.
        marks: those of the teacher's reasoning format; null if it has none of its own.

    Raises:
        PluginError: a rule of `filter.rules` is not registered, has the name of a built-in one, or does not take its
            parameters.
    """

    def __init__(
        self, params: Filter, perplexity_cut: float | None, marks: ThinkMarks | None = None
    ) -> None:
        self._rules = [
            *_built_in(params, perplexity_cut, marks),
            *map(_custom, params.custom_rules),
        ]
        names = [rule.name for rule in self._rules]
        self.counts = {name: RuleCounts() for name in (*names, *BETWEEN_RESPONSES)}

    def reason(self, attempt: Attempt, count: bool = False) -> str | None:
        """Return why an attempt is dropped, or null; `count` says whether the rules' decisions are counted."""
        for rule in self._rules:
            counts = self.counts[rule.name]
            started = time.perf_counter()
            reason = rule.reason(attempt)
            counts.seconds += time.perf_counter() - started
            if count:
                counts.add(reason)
            if reason is not None:
                return reason
        return None

    @property
    def total_seconds(self) -> float:
        """The seconds of all rules together."""
        return sum(counts.seconds for counts in self.counts.values())

    def metrics(self) -> list[dict[str, object]]:
        """Return by rule, in order, how many responses it was asked about and what it decided."""
        return [
            {"rule": name, "kept": counts.kept, "dropped": counts.dropped}
            for name, counts in self.counts.items()
        ]

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each rule over all passes; those of `repetition` include reading the tables again."""
        return {name: round(counts.seconds, 3) for name, counts in self.counts.items()}


def _built_in(params: Filter, perplexity_cut: float | None, marks: ThinkMarks | None) -> list[Rule]:
    tokens = tuple(params.control_tokens)

    def not_verified(attempt: Attempt) -> bool:
        return attempt.verdict is None or attempt.verdict.state != "pass"

    def truncated(attempt: Attempt) -> bool:
        return attempt.response.finish_reason != "stop"

    def control_token(attempt: Attempt) -> bool:
        prompt = (message.content for message in attempt.query.messages)
        texts = (*prompt, attempt.response.think, attempt.response.answer)
        return find_control_token(texts, tokens) is not None

    def structure(attempt: Attempt) -> str | None:
        return structure_fault(
            attempt.query, attempt.response, require_think=params.require_think, marks=marks
        )

    def too_long(attempt: Attempt) -> bool:
        return attempt.response.completion_tokens > params.max_tokens

    def perplexity(attempt: Attempt) -> bool:
        found = attempt.perplexity
        return (
            perplexity_cut is not None and found is not None and found.perplexity > perplexity_cut
        )

    def dropping(name: str, drops: Callable[[Attempt], bool]) -> Rule:
        return Rule(name, lambda attempt: name if drops(attempt) else None)

    return [
        dropping("not_verified", not_verified),
        dropping("truncated", truncated),
        dropping("control_token", control_token),
        Rule("structure", structure),
        dropping("too_long", too_long),
        dropping("perplexity", perplexity),
    ]


def _custom(named: tuple[str, dict[str, object]]) -> Rule:
    name, params = named
    where = f"params.yaml: filter.rules: {name}"
    found = plugins.find("filter rule", name, where)
    if name in BUILT_IN:
        raise plugins.PluginError(
            f"{found.place}: a built-in rule of the filter is called {name!r}; use another name"
        )
    found.refuse_unknown(params, where, given=1)
    return Rule(name, partial(_asked, found, params))


def _asked(rule: plugins.Extension, params: dict[str, object], attempt: Attempt) -> str | None:
    # A user's code: what it raises differs, hence the width.
    try:
        reason = rule.function(attempt, **params)
    except Exception as error:
        raise plugins.PluginError(
            f"filter rule {rule.name!r} ({rule.place}) failed on response {attempt.response.id}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if reason is None:
        return None
    if not isinstance(reason, str) or not _REASON.fullmatch(reason):
        raise plugins.PluginError(
            f"filter rule {rule.name!r} ({rule.place}) returned {reason!r} for response {attempt.response.id}; null "
            "(keep) or a short reason such as `wrong_language` was expected"
        )
    return reason
