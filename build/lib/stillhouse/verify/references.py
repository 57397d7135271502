"""A rule against each of several references: the answer is right if it matches one of them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from stillhouse.records import Check
from stillhouse.verify.checks import kind_of
from stillhouse.verify.pool import Pool

C = TypeVar("C", bound=Check | None)  # null: a rule that does not apply


async def check_references(
    pool: Pool,
    rule: Callable[[str, str, str], C],
    references: Sequence[str],
    answer: str,
    prompt: str,
) -> C | Check:
    """Return the check of a rule that decides, over all references.

    Args:
        pool: runs the rule, with its limits for each reference.
        rule: takes reference, answer and prompt; null: it does not apply to this reference.
        references: at least one.
        answer: the whole answer, without reasoning.
        prompt: the question.

    Raises:
        StillhouseError: as `Pool.run`.
    """
    checks: list[C | Check] = []
    for reference in references:
        check = await pool.run(rule, reference, answer, prompt)
        checks.append(check)
        if check is not None and check.state == "pass":
            break
    return deciding(checks)


def deciding(checks: Sequence[C]) -> C:
    """Return the check that decides: a pass; else the most open one, so that a fail means no reference was matched.

    Trouble of the machine comes first, since it may hide a pass; then no rule (a judge may know); then ungradable.
    """
    return min(checks, key=_rank)


def _rank(check: Check | None) -> int:
    if check is None:
        return 2
    if check.state == "pass":
        return 0
    if kind_of(check.reason) == "machine":
        return 1
    return 3 if check.state == "ungradable" else 4
