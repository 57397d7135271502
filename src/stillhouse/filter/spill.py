"""Sorted 64-bit keys of any number: in memory up to a limit, from there on in a temporary file without a name.

The operating system deletes such a file with the process that opened it, however that ends.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import click
import numpy as np

from stillhouse.errors import StillhouseError
from stillhouse.filter.tokens import Keys

KEY_BYTES = 8
BUCKETS = 4096  # into which the keys of a run are counted; a part has at least one


class SpillError(StillhouseError):
    """The temporary file cannot be made, written or read; the message names its folder and a remedy."""


class _Run(NamedTuple):
    """One sorted array: `keys` in memory or null, its place in the file in bytes, and where each bucket begins."""

    keys: Keys | None
    place: int
    begins: "np.ndarray[tuple[int], np.dtype[np.uint32]]"


class Spill:
    """Takes sorted runs of keys and gives them back as one sorted sequence, in parts.

    Args:
        folder: where the temporary file is made; it is announced on stderr with its size.
        memory: bytes of keys that are held in memory; once there are more, all are in the file.
        shift: the bucket of a key is `key >> shift`, and less than `BUCKETS`.
    """

    def __init__(self, folder: Path, memory: int, shift: int) -> None:
        self._folder, self._memory = folder, memory
        self._bounds = np.arange(1, BUCKETS, dtype=np.uint64) << np.uint64(shift)
        self._runs: list[_Run] = []
        self._file: IO[bytes] | None = None
        self._sizes = np.zeros(BUCKETS, np.int64)
        self.keys = 0

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runs.clear()
        if self._file is not None:
            size = self._file.tell()
            self._file.close()
            click.echo(f"n-gram filter: the temporary file of {_size(size)} is deleted", err=True)

    @property
    def spilled(self) -> bool:
        """Whether the keys are in the file."""
        return self._file is not None

    def add(self, keys: Keys) -> None:
        """Add a sorted run.

        Raises:
            SpillError: the file cannot be made or written, for example because the disk is full.
        """
        inside = np.searchsorted(keys, self._bounds)
        begins = np.concatenate([[0], inside, [len(keys)]]).astype(np.uint32)
        self._sizes += np.diff(begins.astype(np.int64))
        self._runs.append(_Run(keys, 0, begins))
        self.keys += len(keys)
        if self._file is None and self.keys * KEY_BYTES <= self._memory:
            return
        try:
            self._file = self._file or self._announced()
            for number, run in enumerate(self._runs):
                if run.keys is not None:
                    place = self._file.tell()
                    _write(self._file, run.keys)
                    self._runs[number] = _Run(None, place, run.begins)
        except OSError as error:
            raise self._error(error) from error

    def parts(self, part_bytes: int) -> list[range]:
        """Return ranges of buckets, in order, of at most `part_bytes` each where they have more than one bucket."""
        found: list[range] = []
        first = size = 0
        for bucket, more in enumerate((self._sizes * KEY_BYTES).tolist()):
            if size and size + more > part_bytes:
                found.append(range(first, bucket))
                first, size = bucket, 0
            size += more
        return [*found, range(first, BUCKETS)]

    def read(self, part: range) -> Keys:
        """Return the keys of a range of buckets, sorted. Threads may read at the same time.

        Raises:
            SpillError: the file cannot be read.
        """
        keys = np.empty(int(self._sizes[part.start : part.stop].sum()), np.uint64)
        filled = 0
        for run in self._runs:
            start, stop = int(run.begins[part.start]), int(run.begins[part.stop])
            into = keys[filled : filled + stop - start]
            filled += stop - start
            if run.keys is not None:
                into[:] = run.keys[start:stop]
            elif stop > start and self._file is not None:
                try:
                    _read_fully(self._file, into, run.place + start * KEY_BYTES)
                except OSError as error:
                    raise self._error(error) from error
        keys.sort()
        return keys

    def sorted_parts(self, part_bytes: int) -> Iterator[Keys]:
        """Yield all keys in order, part by part."""
        return map(self.read, self.parts(part_bytes))

    def _announced(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        click.echo(
            f"n-gram filter: more than {_size(self._memory)} of n-grams; they go to a temporary file in {self._folder} "
            f"({KEY_BYTES} bytes for each token of the responses), deleted at the end",
            err=True,
        )
        return tempfile.TemporaryFile(dir=self._folder, buffering=0)

    def _error(self, error: OSError) -> SpillError:
        return SpillError(
            f"n-gram filter: its temporary file in {self._folder} failed at {_size(self.keys * KEY_BYTES)}: {error}. "
            f"It needs {KEY_BYTES} bytes for each token of the teacher's responses: free as much there, or raise "
            "filter.ngram_memory_mb in conf/runtime.yaml"
        )


def _write(file: IO[bytes], keys: Keys) -> None:
    left = keys.view(np.uint8).data
    while left:  # one call writes at most 2 GiB, and less where the disk gets full
        left = left[file.write(left) :]


def _read_fully(file: IO[bytes], keys: Keys, place: int) -> None:
    left = keys.view(np.uint8).data
    while left:
        done = os.preadv(file.fileno(), [left], place)
        if not done:
            raise OSError("it is shorter than what was written")
        left, place = left[done:], place + done


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
