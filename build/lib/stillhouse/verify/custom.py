"""Verifiers that a user writes: what a plugin's function says of an answer, as a check like any other."""

import math
from collections.abc import Callable
from typing import Any, cast, get_args

from stillhouse import plugins
from stillhouse.records import Check, Query
from stillhouse.verify.checks import AnswerReason, ContentReason, Reason, make_check

REASONS = frozenset(get_args(AnswerReason)) | frozenset(get_args(ContentReason))
# The names of our own verifiers, literal: their modules are not needed where students are graded. Those of the judge
# begin with `judge_`, by which its verdicts are recognized.
RESERVED = frozenset(
    {"answer", "code_tests", "ifeval", "math_rule", "pool", "reward_model", "science_rule"}
)
JUDGE_PREFIX = "judge_"


def find_verifier(name: str) -> plugins.Extension:
    """Return the verifier of a plugin.

    Raises:
        PluginError: no plugin registers it, or it has the name of one of ours.
    """
    found = plugins.find("verifier", name, f"verifier: {name}")
    if name in RESERVED or name.startswith(JUDGE_PREFIX):
        raise plugins.PluginError(
            f"{found.place}: a verifier of stillhouse is called {name!r}; use another name"
        )
    return found


def check_custom(
    function: Callable[[Query, str], Any], name: str, version: str, query: Query, answer: str
) -> Check:
    """Return the check of a plugin's verifier; runs in a worker of `pool.py`.

    Args:
        function: the verifier.
        name: its registered name.
        version: its registered version.
        query: the query, with all that an answer may be compared with.
        answer: the whole answer, without reasoning.

    Raises:
        PluginError: it returned something else than a `Score` in 0..1 with a known reason.
    """
    found = function(query, answer)
    if not isinstance(found, plugins.Score):
        raise _wrong(name, query, f"returned {type(found).__name__}, a Score was expected")
    score = None if found.score is None else float(found.score)
    if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
        raise _wrong(name, query, f"returned the score {score}; 0..1 or null was expected")
    reason = found.reason
    if reason is None and score != 1.0:
        reason = "not_comparable" if score is None else "wrong_answer"
    if reason is not None and reason not in REASONS:
        raise _wrong(
            name, query, f"gave the reason {reason!r}; there are: {', '.join(sorted(REASONS))}"
        )
    return make_check(
        name, version, score, cast("Reason | None", reason), found.evidence, answer=found.answer
    )


def _wrong(name: str, query: Query, what: str) -> plugins.PluginError:
    return plugins.PluginError(f"verifier {name!r}: on query {query.id} it {what}; fix the plugin")
