"""Filling a journal from this process or another, for the tests of its faults."""

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

from stillhouse.journal.journal import Journal, journal_key


def key_of(number: int) -> bytes:
    """Return the key of answer `number`."""
    return journal_key({"number": number})


def answer_of(number: int) -> bytes:
    """Return an answer that does not compress, of 40 to 3,040 bytes: on one page, or over several."""
    length = 40 + number * 997 % 3000
    return hashlib.shake_128(str(number).encode()).digest(length)


def fill(journal: Journal, numbers: range, purpose: str = "teacher", model: str = "m") -> None:
    """Put answers into an open journal."""

    async def run() -> None:
        puts = (journal.put(key_of(n), answer_of(n), purpose=purpose, model=model) for n in numbers)
        await asyncio.gather(*puts)

    asyncio.run(run())


def start(script: str, *arguments: str | Path, **options: object) -> "subprocess.Popen[str]":
    """Start a Python script in a process of its own, which speaks over stdin and stdout."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
