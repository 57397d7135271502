"""What a reader of the comparison asks about the parallel set: what it lost, and what is in it."""

from collections.abc import Sequence
from typing import Any

from stillhouse.filter.agreement import SAMPLED_QUERIES, SHINGLE_TOKENS, agreement
from stillhouse.filter.survivors import add_teacher, read_queries, survivors, without_each
from stillhouse.filter.wrong_rows import Metrics, count_rows, measured_errors, wrong_rows


def parallel_set_figures(
    teachers: Sequence[str], audit: Metrics | None, judge_audit: Metrics | None
) -> dict[str, Any]:
    """Return the figures of the parallel set that `align` has written.

    Args:
        teachers: those of the parallel set.
        audit: the measured errors of the rules; null: not measured.
        judge_audit: the measured errors of the judge; null or empty: not measured.

    Returns:
        `survivors` and `without` (`filter.survivors`), `agreement` with its `sampled` bounds (`filter.agreement`),
        `wrong_rows` by teacher and `verifier_errors` (`filter.wrong_rows`).

    Raises:
        JoinError: the tables come from different runs.
        TableError: a table is missing or corrupt.
    """
    queries = read_queries(teachers)
    said = {teacher: add_teacher(queries, teacher) for teacher in teachers}
    rows = {teacher: count_rows(teacher) for teacher in teachers}
    verifiers = {verifier for own in rows.values() for _, verifier in own}
    return {
        "survivors": survivors(queries),
        "without": without_each(queries),
        "agreement": agreement(teachers),
        "sampled": {"queries": SAMPLED_QUERIES, "shingle_tokens": SHINGLE_TOKENS},
        "wrong_rows": {
            teacher: wrong_rows(rows[teacher], said[teacher], audit, judge_audit)
            for teacher in teachers
        },
        "verifier_errors": measured_errors(verifiers, audit, judge_audit),
    }
