"""Verdicts in the journal, so that the loop, the verify stage and every later run agree and grade an answer once.

Stored is what the checks said, before thresholds and shares are applied: these are parameters that may be changed
without grading again. Whose response it is, is no part of the key. Trouble of the machine is never stored.
"""

from collections.abc import Iterable

import msgspec

from stillhouse.journal.files import Row
from stillhouse.journal.journal import Journal, JournalError
from stillhouse.records import Check, Query, Response
from stillhouse.verify.checks import kind_of
from stillhouse.verify.facts import Facts

PURPOSE = "verdict"
SEPARATOR = "+"  # between the names of the verifiers that spoke


class Graded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the checks said about an answer, and what the judge read and wrote for it."""

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
        """Return what is stored under a key.

        Raises:
            JournalError: the journal cannot be read, or what is kept is no verdict.
        """
        kept = self._journal.get(key)
        return None if kept is None else self._read(key, kept)

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Graded]:
        """Return what is stored of many keys, by key; those of which nothing is are left out.

        Raises:
            JournalError: as `get`.
        """
        return {key: self._read(key, kept) for key, kept in self._journal.get_many(keys).items()}

    async def put(self, key: bytes, graded: Graded) -> None:
        """Keep what the checks said; nothing, where the machine was in trouble.

        Raises:
            JournalError: it could not be written (a full disk).
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


def is_verdict(row: Row, verifier: str | None = None) -> bool:
    """Whether a row of the journal is a verdict; with a verifier, one that it has contributed to."""
    return row.purpose == PURPOSE and (verifier is None or verifier in row.model.split(SEPARATOR))
