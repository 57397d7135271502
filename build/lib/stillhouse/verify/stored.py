"""Stores verdicts in the journal, so that the loop, the verify stage and later runs agree and grade an answer once.

The results of the checks are stored before thresholds and shares are applied, because these parameters may change
without grading again. The key does not contain the teacher. Failures of the machine are never stored.
"""

from collections.abc import Iterable

import msgspec

from stillhouse.journal.files import JournalRow
from stillhouse.journal.journal import Journal, JournalError
from stillhouse.records import Check, Query, Response
from stillhouse.verify.checks import kind_of
from stillhouse.verify.facts import Facts

PURPOSE = "verdict"
SEPARATOR = "+"  # between the names of the verifiers of a verdict


class Graded(msgspec.Struct, frozen=True, omit_defaults=True):
    """The results of the checks of an answer, and the judge's replies and tokens for it."""

    checks: list[Check]
    judge_replies: int = 0
    judge_prompt_tokens: int = 0
    judge_completion_tokens: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Graded).decode


class Stored:
    """The stored verdicts of one journal under the facts of one run."""

    def __init__(self, journal: Journal, facts: Facts) -> None:
        self._journal = journal
        self._facts = facts

    def key(self, query: Query, response: Response) -> bytes:
        """Return the key of a verdict."""
        return self._facts.key(query, response)

    def get(self, key: bytes) -> Graded | None:
        """Return the verdict that is stored under a key, or None.

        Raises:
            JournalError: the journal cannot be read, or the stored answer is not a verdict.
        """
        kept = self._journal.get(key)
        return None if kept is None else self._read(key, kept)

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Graded]:
        """Return the stored verdicts of many keys, by key; keys without a verdict are left out.

        Raises:
            JournalError: as `get`.
        """
        return {key: self._read(key, kept) for key, kept in self._journal.get_many(keys).items()}

    async def put(self, key: bytes, graded: Graded) -> None:
        """Store the results of the checks, unless one failed because of the machine.

        Raises:
            JournalError: the verdict could not be written, for example on a full disk.
        """
        if any(kind_of(check.reason) == "machine" for check in graded.checks):
            return
        names = SEPARATOR.join(check.verifier for check in graded.checks)
        await self._journal.put(key, _encode(graded), purpose=PURPOSE, model=names)

    def _read(self, key: bytes, kept: bytes) -> Graded:
        try:
            return _decode(kept)
        except msgspec.MsgspecError as error:
            raise JournalError(
                f"{self._journal.folder}: the verdict {key.hex()} cannot be read: {error}; remove all with "
                "`stillhouse journal drop --verdicts`"
            ) from None


def is_verdict(row: JournalRow, verifier: str | None = None) -> bool:
    """Return whether a row of the journal is a verdict, and if `verifier` is given, one to which it contributed."""
    return row.purpose == PURPOSE and (verifier is None or verifier in row.model.split(SEPARATOR))
