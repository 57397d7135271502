"""The one way in which a verifier makes a `Check`, and all the reasons that it may give."""

from typing import Literal, get_args

from stillhouse.records import Check

# Raised when other checks are made of an answer than before (grade.py); how they are combined does not matter to it.
GRADING_VERSION = "3"
MAX_EVIDENCE_CHARS = 400
MAX_ANSWER_CHARS = 1000  # of the part of an answer that was compared; references are shorter

# The answer itself: it is judged, and fails.
AnswerReason = Literal[
    "no_answer",  # empty, or its reasoning was never closed
    "truncated",  # cut at the token limit, or incomplete for another finish reason, which is the evidence
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
# What we were given, or cannot read: ungradable, and it stays so however often it is graded. The loop asks the next
# attempt; a student's answer scores 0.
ContentReason = Literal[
    "no_reference",
    "bad_reference",
    "no_tests",
    "unsupported_test",
    "missing_package",  # the answer or its tests import a package that the sandbox does not have
    "no_constraints",
    "unknown_constraint",
    "bad_constraint",
    "no_judge",
    "unread",  # part of the answer was not read, and is not equal as text
    "too_complex",  # past its CPU time or memory, or it crashes the checker each time
    "not_comparable",
    "too_long",
    "checker_failed",  # a library that reads the answer raised an error of its own
    "judge_noncompliant",
]
# Trouble of our own machine: graded again, alone. It is never stored, and never a reason to ask a teacher again.
MachineReason = Literal[
    "timeout",  # past the guard on wall time
    "crash",  # the worker was killed from outside
    "sandbox_failed",
    "judge_unavailable",
]
Reason = AnswerReason | ContentReason | MachineReason
Kind = Literal["answer", "content", "machine"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(get_args(AnswerReason), "answer"),
    **dict.fromkeys(get_args(ContentReason), "content"),
    **dict.fromkeys(get_args(MachineReason), "machine"),
}


def kind_of(reason: str | None) -> Kind | None:
    """Return what a reason is about; null for none, as in a check that passes.

    Raises:
        KeyError: the reason is in none of the lists above.
    """
    return None if reason is None else _KINDS[reason]


def by_judge_alone(verifier: str) -> bool:
    """Return whether a verdict of this verifier rests on a judge's word and on no rule.

    Where checkers had their say too the name starts with theirs (`ifeval+judge_demands`).
    """
    return verifier.startswith("judge_")


def make_check(
    verifier: str,
    version: str,
    score: float | None,
    reason: Reason | None,
    evidence: str,
    passed: bool | None = None,
    answer: str | None = None,
) -> Check:
    """Return what a verifier found. Only `Grader` applies the threshold of the run.

    Args:
        verifier: its name.
        version: its version.
        score: in 0..1; null: ungradable.
        reason: why it is not the full score.
        evidence: what was compared; cut at `MAX_EVIDENCE_CHARS`.
        passed: whether it is a pass; null: where the score is the full one.
        answer: the part of the answer that was compared; cut at `MAX_ANSWER_CHARS`.
    """
    full = score == 1.0 if passed is None else passed
    return Check(
        verifier=verifier,
        version=version,
        state="ungradable" if score is None else "pass" if full else "fail",
        score=score,
        reason=reason,
        evidence=evidence[:MAX_EVIDENCE_CHARS],
        answer=None if answer is None else answer[:MAX_ANSWER_CHARS],
    )


def compared(verifier: str, version: str, right: bool, evidence: str, answer: str | None) -> Check:
    """Return what a rule found that read an answer and compared it: right, or the reason "wrong_answer".

    Args:
        verifier: its name.
        version: its version.
        right: whether the answer is the reference.
        evidence: what was compared.
        answer: the part of the answer that was compared.
    """
    reason: Reason | None = None if right else "wrong_answer"
    return make_check(verifier, version, float(right), reason, evidence, answer=answer)
