r"""What a student's answer scores: by the rule that grades a teacher's, on the same splitting of the text.

Students are trained on turns with `<think>..</think>`, so every answer is split in that format (`generate.reasoning`),
and only the answer part is graded, by `verify.math`: numbers, formulas, option letters and text that equals the
reference. An answer in answer tags is read like one in a box.
No judge is asked. A verifier of a plugin takes the rule's place where the item names one. An answer is graded once,
and has two scores:

| the answer | strict | lenient |
|---|---|---|
| ended by itself | the rule's | the rule's |
| was cut at the token limit, and its answer part marks a result | 0 | the rule's, on what is whole |
| was cut elsewhere, or its reasoning was never closed | 0 | 0 |

The third score, `finished`, is the strict one of the answers that ended by themselves; the others are left out of it.
"""

import os
from typing import NamedTuple

from stillhouse.benchmark.items import Item
from stillhouse.errors import StillhouseError
from stillhouse.generate import reasoning
from stillhouse.models.engine import Completion
from stillhouse.records import Check, Message, Query, references_of
from stillhouse.verify.checks import Reason, kind_of
from stillhouse.verify.custom import check_custom, find_verifier
from stillhouse.verify.pool import Pool
from stillhouse.verify.references import check_references
from stillhouse.verify.rules.final_answer import final_answer, last_boxed
from stillhouse.verify.rules.math import check_math


class GradingError(StillhouseError):
    """An answer could not be graded for trouble of this machine; the message names it and what happened."""


class Marks(NamedTuple):
    """What one answer scores, each 0 or 1.

    `reason` says why it did not pass, null where it did. `unread`: the rule could not read the answer or the reference,
    so that 0 is not its verdict.
    """

    strict: float
    lenient: float
    reason: str | None
    unread: bool


class StudentGrader:
    """Grades answers to items of ours, many at a time.

    Args:
        cpu_seconds: limit of one grading, `verify.item_cpu_seconds`.
        workers: processes; null: one per core.
    """

    def __init__(self, cpu_seconds: float, workers: int | None = None) -> None:
        self._pool = Pool(workers or len(os.sched_getaffinity(0)), cpu_seconds)

    async def grade(self, item: Item, completion: Completion) -> Marks:
        """Return what a completion scores.

        Raises:
            GradingError: trouble of this machine, when it was graded again alone too.
        """
        answer = answer_part(completion)
        if not answer:
            return Marks(0.0, 0.0, _no_answer(completion), unread=False)
        cut = completion.finish_reason == "length"
        graded = marked_part(answer) if cut else answer
        if graded is None:
            return Marks(0.0, 0.0, "truncated", unread=False)
        check = await self._check(item, graded)
        kind = kind_of(check.reason)
        if kind == "machine":
            raise GradingError(
                f"benchmark task {item.task}, item {item.id}: an answer could not be graded ({check.reason}: "
                f"{check.evidence}); run the stage again when the machine is less busy: no answer is asked for twice"
            )
        score = check.score or 0.0
        strict = 0.0 if cut else score
        return Marks(strict, score, check.reason, unread=kind == "content")

    async def _check(self, item: Item, answer: str) -> Check:
        if item.verifier is None:
            references = references_of(item.answer)
            return await check_references(self._pool, check_math, references, answer, item.prompt)
        found = find_verifier(item.verifier)
        query = Query(
            id=item.id,
            category="other",
            source=item.task,
            license="",
            messages=[Message(role="user", content=item.prompt)],
            ground_truth=item.answer,
            verifier=item.verifier,
        )
        return await self._pool.run(
            check_custom, found.function, found.name, str(found.version), query, answer
        )

    async def close(self) -> None:
        """Stop the workers."""
        await self._pool.close()


def answer_part(completion: Completion) -> str:
    """Return what of a student's completion is its answer; empty where its reasoning was never closed."""
    return reasoning.split(completion, "think_tags").answer


def marked_part(answer: str) -> str | None:
    r"""Return what of a cut answer gives its result; null where no result is marked.

    A complete `\boxed{}` or `<answer>..</answer>` is whole wherever the cut is. Any other mark ("The answer is 12")
    counts in a line that another one follows and outside a formula that is still open: what is cut may lack digits.
    """
    if last_boxed(answer) is not None:
        return answer
    before, end, _ = answer.rpartition("</answer>")
    whole = before + end if end else answer.rpartition("\n")[0]
    open_formula = whole.count("$$") % 2 or whole.count("\\[") > whole.count("\\]")
    return whole if final_answer(whole)[1] and not open_formula else None


def _no_answer(completion: Completion) -> Reason:
    return "truncated" if completion.finish_reason == "length" else "no_answer"
