r"""How many rows of the parallel set are expected to be wrong, from the measured errors of the verifiers.

A verifier accepts a wrong answer with probability a (false accept) and rejects a right one with probability b (false
reject). If a share p of the answers that it decides is right, it passes q = a(1-p) + p(1-b) of them, so

    p = (q - a) / (1 - a - b),        wrong share of the accepted ones = a(1-p) / q = a(1-b-q) / (q(1-a-b)).

p is the estimate of Rogan and Gladen (1978, Am. J. Epidemiology 107:71) of a prevalence from an imperfect test, and the
wrong share is one minus the test's positive predictive value. a and b are measured on golden cases (metrics/audit.json,
metrics/judge_audit.json), q on all attempts of a teacher at the queries of a category, so that the estimate does not
depend on how often a hard query is asked again.

Each of a, b and q has its exact binomial interval (Clopper and Pearson 1934, Biometrika 26:404), at a level that leaves
at least 95 % for all three together (Bonferroni); the bounds of the wrong share are those at the ends of the three.
The bounds allow for the number of golden cases, not for the fact that the rules were corrected against them.
No false accept in n cases is thus not taken for a = 0. With a + b >= 1 a verifier says nothing about an answer: where
the golden cases do not exclude this, the bounds are no and every accepted answer.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from stillhouse import layout
from stillhouse.filter.survivors import JOINED, Said
from stillhouse.tables.streams import read_batches
from stillhouse.verify.checks import by_judge_alone

CONFIDENCE = 0.95
JOINT_CONFIDENCE = 1 - (1 - CONFIDENCE) / 3  # of each of the three intervals that give one bound
# The kinds of golden questions that measure the judge, by the names of its verdicts.
JUDGE_KINDS = {
    "judge_math": "math",
    "judge_science": "science",
    "judge_reward": "reward",
    "judge_demands": "demand",
}
DIGITS = 4
ROW_DIGITS = 2

Metrics = Mapping[str, Any]


class Errors(NamedTuple):
    """Golden cases of a verifier: the wrong answers and those accepted, the right ones and those rejected."""

    wrong: int
    accepted_wrong: int
    right: int
    rejected_right: int


class ShareBounds(NamedTuple):
    """A share with its interval; `share` is null where it cannot be estimated."""

    share: float | None
    low: float
    high: float


def exact(successes: int, trials: int, confidence: float = CONFIDENCE) -> ShareBounds:
    """Return a binomial share with its exact interval (Clopper-Pearson); 0 to 1 without trials."""
    from scipy.stats import binomtest

    if trials == 0:
        return ShareBounds(None, 0.0, 1.0)
    found = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return ShareBounds(successes / trials, float(found.low), float(found.high))


def errors_of(verifier: str, audit: Metrics | None, judge_audit: Metrics | None) -> Errors | None:
    """Return what the golden cases say about a verifier; null if it was not measured.

    A verdict of two verifiers together is taken to be as wrong as the one that accepts more wrong answers.

    Args:
        verifier: the name in a verdict.
        audit: metrics/audit.json. All cases for which a pass is not right are its wrong answers.
        judge_audit: metrics/judge_audit.json. An unreadable reply on a right answer counts as its rejection.
    """
    parts = [
        _errors_of_one(name, audit or {}, judge_audit or {}) for name in verifier.split(JOINED)
    ]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return max(known, key=lambda part: exact(part.accepted_wrong, part.wrong).high)


def wrong_share(false_accept: float, false_reject: float, passed: float) -> float | None:
    """Return a(1-b-q) / (q(1-a-b)) within 0 to 1 (formula of the module).

    Args:
        false_accept: a.
        false_reject: b.
        passed: q, the share of answers that pass, above 0.

    Returns:
        The expected share of wrong answers among those accepted; null for a + b >= 1.
    """
    informed = 1 - false_accept - false_reject
    if informed <= 0:
        return None
    right = min(1.0, max(0.0, (passed - false_accept) / informed))
    return min(1.0, false_accept * (1 - right) / passed)


def estimate(errors: Errors | None, passed: int, decided: int) -> ShareBounds:
    """Return the expected share of wrong answers among those that a verifier accepted, with its interval.

    Args:
        errors: of the verifier; null: not measured, so that nothing is known.
        passed: the answers that it accepted.
        decided: the answers that it accepted or rejected.
    """
    if errors is None or passed == 0:
        return ShareBounds(None, 0.0, 1.0)
    accepts = exact(errors.accepted_wrong, errors.wrong, JOINT_CONFIDENCE)
    rejects = exact(errors.rejected_right, errors.right, JOINT_CONFIDENCE)
    passes = exact(passed, decided, JOINT_CONFIDENCE)
    share = None
    if accepts.share is not None and rejects.share is not None:
        share = wrong_share(accepts.share, rejects.share, passed / decided)
    if share is None or accepts.high + rejects.high >= 1:
        return ShareBounds(share, 0.0, 1.0)
    # The share grows with a. It falls with q and, where q > a, with b; for q <= a it is 1.
    low = wrong_share(accepts.low, rejects.high, passes.high)
    high = wrong_share(accepts.high, rejects.low, passes.low)
    assert low is not None  # a + b < 1 at both ends
    assert high is not None
    return ShareBounds(share, min(low, share), max(high, share))


def count_rows(teacher: str) -> Counter[tuple[str, str]]:
    """Return the rows of a teacher's parallel set by category and verifier."""
    found: Counter[tuple[str, str]] = Counter()
    for batch in read_batches(layout.aligned(teacher), ["category", "verifier"]):
        columns = (batch.column(name).to_pylist() for name in ("category", "verifier"))
        found.update(zip(*columns, strict=True))
    return found


def wrong_rows(
    rows: Counter[tuple[str, str]], said: Said, audit: Metrics | None, judge_audit: Metrics | None
) -> dict[str, Any]:
    """Return the rows of a teacher that are expected to be wrong, in all and by category.

    Args:
        rows: the rows of the parallel set by category and verifier.
        said: what each verifier said about the teacher's attempts, by category, verifier and state.
        audit: as in `errors_of`.
        judge_audit: as in `errors_of`.

    Returns:
        rows, judge_alone (rows that only a judge accepted), expected (null if it is known for no row), low, high,
        unknown (rows without an estimate, which count as 0 in `low` and as wrong in `high`); and `by_category`, the
        same by category.
    """
    by_category: dict[str, dict[str, Any]] = {}
    for category in sorted({category for category, _ in rows}):
        parts = []
        for (of, verifier), number in sorted(rows.items()):
            if of == category:
                passed = said[category, verifier, "pass"]
                decided = passed + said[category, verifier, "fail"]
                found = estimate(errors_of(verifier, audit, judge_audit), passed, decided)
                parts.append(_part(number, by_judge_alone(verifier), found))
        by_category[category] = _sum(parts)
    return {**_sum(list(by_category.values())), "by_category": by_category}


def measured_errors(
    verifiers: set[str], audit: Metrics | None, judge_audit: Metrics | None
) -> dict[str, dict[str, Any] | None]:
    """Return the errors of the verifiers that decided rows, with 95 % intervals; null for one that was not measured.

    Args:
        verifiers: their names in verdicts.
        audit: as in `errors_of`.
        judge_audit: as in `errors_of`.

    Returns:
        By verifier, `false_accept` and `false_reject`: each of, found, share (null without cases), low, high.
    """

    def interval(found: int, of: int) -> dict[str, Any]:
        share, low, high = exact(found, of)
        return {
            "of": of,
            "found": found,
            "share": None if share is None else round(share, DIGITS),
            "low": round(low, DIGITS),
            "high": round(high, DIGITS),
        }

    return {
        verifier: found
        and {
            "false_accept": interval(found.accepted_wrong, found.wrong),
            "false_reject": interval(found.rejected_right, found.right),
        }
        for verifier in sorted(verifiers)
        for found in [errors_of(verifier, audit, judge_audit)]
    }


def _errors_of_one(verifier: str, audit: Metrics, judge_audit: Metrics) -> Errors | None:
    if verifier in audit:
        part = audit[verifier]
        wrong = part["cases"] - part["right_answers"]
        return Errors(wrong, part["false_accepts"], part["right_answers"], part["false_rejects"])
    part = judge_audit.get(JUDGE_KINDS.get(verifier, ""))
    if part is None:
        return None
    right = part["right"]
    return Errors(part["wrong"], part["accepted_wrong"], right, right - part["accepted_right"])


def _part(rows: int, judged: bool, found: ShareBounds) -> dict[str, Any]:
    known = found.share is not None
    return {
        "rows": rows,
        "judge_alone": rows if judged else 0,
        "expected": round(rows * found.share, ROW_DIGITS) if found.share is not None else None,
        "low": round(rows * found.low, ROW_DIGITS),
        "high": math.ceil(rows * found.high * 10**ROW_DIGITS)
        / 10**ROW_DIGITS,  # never rounded to 0
        "unknown": 0 if known else rows,
    }


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    known = [part["expected"] for part in parts if part["expected"] is not None]
    return {
        "rows": sum(part["rows"] for part in parts),
        "judge_alone": sum(part["judge_alone"] for part in parts),
        "expected": round(sum(known), ROW_DIGITS) if known or not parts else None,
        "low": round(sum(part["low"] for part in parts), ROW_DIGITS),
        "high": round(sum(part["high"] for part in parts), ROW_DIGITS),
        "unknown": sum(part["unknown"] for part in parts),
    }
