"""Estimates the bytes of an upload: cuts files into content-defined chunks, as Xet storage on the Hub does.

The rule is Xet's: a rolling gear hash over 64 bytes, a boundary where its top 16 bits are zero, chunks of 8 to 128 KiB
with a mean of 64 KiB. The table of the hash is our own. Single boundaries therefore differ from the Hub's, but the
shares of new bytes do not.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MIN_CHUNK = 8 * 1024
MAX_CHUNK = 128 * 1024
# Bytes; a 64-bit hash that shifts by one bit per byte depends only on the last 64 bytes.
WINDOW = 64
_BORDER_BITS = 16  # a boundary about every 2^16 bytes
_READ_BYTES = 4 * 1024 * 1024
_GEAR = np.random.default_rng(2505).integers(0, 2**64, size=256, dtype=np.uint64)


def chunks_of(paths: Iterable[Path]) -> Iterator[tuple[bytes, int]]:
    """Yield hash and size of each chunk of each file, in order and bounded memory."""
    for path in paths:
        for chunk in _cut(path):
            yield hashlib.blake2b(chunk, digest_size=16).digest(), len(chunk)


def new_bytes(old: Iterable[Path], new: Iterable[Path]) -> tuple[int, int]:
    """Return the bytes of new chunks and the bytes of all new files.

    A new chunk is one that is in no old file; if it repeats, it counts once.
    """
    seen = {digest for digest, _ in chunks_of(old)}
    sent = total = 0
    for digest, size in chunks_of(new):
        total += size
        if digest not in seen:
            seen.add(digest)
            sent += size
    return sent, total


def _cut(path: Path) -> Iterator[bytes]:
    held = b""
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            held += block
            start = 0
            for border in _borders(held):
                # The rest must hold a whole chunk, so that the block size of reading does not move a boundary.
                if border - start < MIN_CHUNK:
                    continue
                while border - start > MAX_CHUNK:
                    yield held[start : start + MAX_CHUNK]
                    start += MAX_CHUNK
                if border - start >= MIN_CHUNK:
                    yield held[start:border]
                    start = border
            while len(held) - start > MAX_CHUNK + WINDOW:
                yield held[start : start + MAX_CHUNK]
                start += MAX_CHUNK
            held = held[start:]
    if held:
        yield held


def _borders(block: bytes) -> list[int]:
    """Return the positions after which the rolling hash has a boundary."""
    hashes: NDArray[np.uint64] = _GEAR[np.frombuffer(block, dtype=np.uint8)]
    width = 1
    # The hash of the last w bytes doubles its window: H_2w(i) = H_w(i) + (H_w(i - w) << w).
    while width < WINDOW:
        hashes[width:] += hashes[:-width] << np.uint64(width)
        width *= 2
    marks = hashes >> np.uint64(64 - _BORDER_BITS) == 0
    found: list[int] = (np.flatnonzero(marks) + 1).tolist()
    return found
