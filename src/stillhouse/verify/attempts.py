"""Grades all attempts of one teacher, and writes the table of verdicts."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from stillhouse import layout
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.progress import Progress
from stillhouse.records import Verdict
from stillhouse.tables.attempts import Attempt, read_attempts
from stillhouse.tables.read import column_counts
from stillhouse.tables.write import TableWriter
from stillhouse.verify.grade import Grader
from stillhouse.verify.open import opened_grader
from stillhouse.verify.tally import VerdictTally

AT_ONCE = 64  # responses graded at once: enough to keep the worker pool and a judge busy
LOOKED_UP_AT_ONCE = 500


async def grade_all(teacher: str, verify: Verify, judge: Teacher, journal: Journal) -> VerdictTally:
    """Grade all responses of a teacher, write their verdicts, and return their counts.

    What the loop or an earlier run has graded comes from the journal.

    Args:
        teacher: the teacher's id.
        verify: the parameters of grading.
        judge: the parameters of the judge that `verify` names.
        journal: has the stored verdicts.

    Raises:
        UngradedError: some could not be graded for trouble of the machine or the judge; all others are stored.
    """
    tally = VerdictTally(verify.code)
    total = column_counts(layout.attempts(teacher), "teacher").total()
    async with ModelRoom(journal) as room, opened_grader(room, verify, judge) as grader:
        with (
            TableWriter(layout.verdicts(teacher), Verdict) as table,
            Progress(f"verify {teacher}", total, tally.figures) as progress,
        ):

            def done(attempt: Attempt, verdict: Verdict) -> None:
                table.write(verdict)
                tally.add(attempt, verdict)
                progress.advance()

            attempts = (
                attempt
                for _, found in read_attempts(teacher, answers_only=True)
                for attempt in found
            )
            ungraded = not_stored(attempts, grader, done)

            async def worker() -> None:
                for attempt in ungraded:
                    done(attempt, await grader.grade(attempt.query, attempt.response))

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            tally.ungradable.require_none_of_machine(f"verify {teacher}")
            table.finish()
    return tally


def not_stored(
    attempts: Iterator[Attempt], grader: Grader, done: Callable[[Attempt, Verdict], None]
) -> Iterator[Attempt]:
    """Yield the attempts that have to be graded; `done` gets the others with their verdicts."""
    while some := list(islice(attempts, LOOKED_UP_AT_ONCE)):
        verdicts = grader.known([(attempt.query, attempt.response) for attempt in some])
        for attempt, verdict in zip(some, verdicts, strict=True):
            if verdict is None:
                yield attempt
            else:
                done(attempt, verdict)
