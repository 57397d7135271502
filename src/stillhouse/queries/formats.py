"""Reads the rows of a file: CSV, TSV, JSON, JSON lines and Parquet, plain or compressed with gzip or Zstandard.

A row that cannot be read is yielded as `Unusable`, with its number like any other. A file that cannot be read at all is
an error. Rows of JSON lines have the numbers of their lines.
"""

import contextlib
import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from stillhouse.errors import StillhouseError
from stillhouse.queries.adapters.base import Unusable
from stillhouse.queries.faults import shown

Numbered = tuple[int, Mapping[str, Any] | Unusable]

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
BATCH_ROWS = 1000
MAX_CELL_CHARS = 2**31 - 1  # the module csv refuses cells above 131,072 characters by default


class SourceFormatError(StillhouseError):
    """A file cannot be read; the message names it, what was found, and the remedy."""


def file_rows(path: Path) -> Iterator[Numbered]:
    """Yield the rows of a file with their numbers from 1.

    Raises:
        SourceFormatError: there is no such file, its suffix is not read, or it is broken as a whole.
    """
    if not path.is_file():
        raise SourceFormatError(
            f"{path}: no such file; correct `path`, relative to the project root"
        )
    codec = COMPRESSED.get(path.suffix)
    suffix = Path(path.stem).suffix if codec else path.suffix
    if suffix not in SUFFIXES:
        raise SourceFormatError(
            f"{path}: the suffix {suffix or 'none'!r} is not read; write the file as one of "
            f"{', '.join(SUFFIXES)}, also with {' or '.join(COMPRESSED)} after it"
        )
    return _rows(path, suffix, codec)


def _rows(path: Path, suffix: str, codec: str | None) -> Iterator[Numbered]:
    import pyarrow as pa

    try:
        with _opened(path, codec) as file:
            match suffix:
                case ".parquet":
                    yield from _parquet(file, codec)
                case ".csv" | ".tsv":
                    yield from _csv(file, "\t" if suffix == ".tsv" else ",")
                case ".json":
                    yield from _json(file, path)
                case _:
                    yield from _json_lines(file)
    except (pa.ArrowException, OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SourceFormatError(
            f"{path}: unreadable {suffix.removeprefix('.')} ({reason}); write the file again"
        ) from None


@contextlib.contextmanager
def _opened(path: Path, codec: str | None) -> Iterator[IO[bytes]]:
    import pyarrow as pa

    if codec is None:
        with path.open("rb") as file:
            yield file
    else:
        with pa.CompressedInputStream(str(path), codec) as stream:
            yield io.BufferedReader(stream)


def _parquet(file: IO[bytes], codec: str | None) -> Iterator[Numbered]:
    """Yield the rows of a Parquet file. It is read from its end: a compressed one is unpacked to a temporary file."""
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        if codec is not None:
            plain = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, plain)
            plain.seek(0)
            file = plain
        parquet = stack.enter_context(pq.ParquetFile(file))
        batches = parquet.iter_batches(batch_size=BATCH_ROWS)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


def _csv(file: IO[bytes], delimiter: str) -> Iterator[Numbered]:
    csv.field_size_limit(MAX_CELL_CHARS)
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        for number, row in enumerate(
            csv.DictReader(text, delimiter=delimiter, strict=True), start=1
        ):
            if None in row:
                yield (
                    number,
                    Unusable("not_a_row", f"more cells than the header: {shown(row[None])}"),
                )
            elif None in row.values():
                yield number, Unusable("not_a_row", f"fewer cells than the header: {shown(row)}")
            else:
                yield number, row


def _json_lines(file: IO[bytes]) -> Iterator[Numbered]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            yield number, _object(line)


def _json(file: IO[bytes], path: Path) -> Iterator[Numbered]:
    """Yield the objects of an array, of the one array in an object, or of lines."""
    content = file.read()
    first, _, rest = content.lstrip().partition(b"\n")
    if rest.strip() and not isinstance(_object(first), Unusable):
        yield from _json_lines(io.BytesIO(content))
        return
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceFormatError(f"{path}: not JSON ({error}); correct the file") from None
    if isinstance(found, dict):
        arrays = [value for value in found.values() if isinstance(value, list)]
        found = arrays[0] if len(arrays) == 1 else [found]
    if not isinstance(found, list):
        raise SourceFormatError(f"{path}: an array of objects was expected, found {shown(found)}")
    for number, row in enumerate(found, start=1):
        yield number, row if isinstance(row, dict) else _no_object(row)


def _object(line: bytes) -> Mapping[str, Any] | Unusable:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # bad JSON, or bytes that are not UTF-8
        return Unusable(
            "not_a_row", f"not JSON ({error}): {shown(line[:80].decode('utf-8', 'replace'))}"
        )
    return row if isinstance(row, dict) else _no_object(row)


def _no_object(row: Any) -> Unusable:
    return Unusable("not_a_row", f"an object was expected, found {shown(row)}")
