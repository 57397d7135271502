"""The one way in which a verifier makes a `Check`, and all the reasons that it may give."""

from typing import Literal

from stillhouse.records import Check

MAX_EVIDENCE_CHARS = 400

# The answer itself: it is judged, and fails.
AnswerReason = Literal[
    "no_answer",  # empty, or its reasoning was never closed
    "truncated",  # cut at the token limit
    "no_final_answer",  # nothing that could be compared
    "wrong_answer",
    "answer_too_long",
    "constraints_broken",
    "low_mark",
    "judge_says_no",
    "no_code",
    "compile_error",
    "runtime_error",
    "wrong_output",
    "crashed",
    "time_limit",
    "memory_limit",
    "output_limit",
]
# What we were given, or cannot do: ungradable.
QueryReason = Literal[
    "no_reference",
    "bad_reference",
    "no_tests",
    "unsupported_test",
    "no_constraints",
    "unknown_constraint",
    "bad_constraint",
    "no_judge",
    "too_complex",
    "not_comparable",
    "too_long",
    "missing_package",
]
# Trouble of our own machinery: ungradable, and tried again before it is said.
TroubleReason = Literal[
    "timeout",
    "crash",
    "sandbox_failed",
    "checker_failed",
    "judge_unavailable",
    "judge_noncompliant",
]
Reason = AnswerReason | QueryReason | TroubleReason


def make_check(
    verifier: str,
    version: str,
    score: float | None,
    reason: Reason | None,
    evidence: str,
    passed: bool | None = None,
) -> Check:
    """Return what a verifier said; a null score is ungradable.

    Only the full score is a pass here, unless `passed` says otherwise: the threshold of the run is applied by `Grader`.
    """
    full = score == 1.0 if passed is None else passed
    return Check(
        verifier=verifier,
        version=version,
        state="ungradable" if score is None else "pass" if full else "fail",
        score=score,
        reason=reason,
        evidence=evidence[:MAX_EVIDENCE_CHARS],
    )
