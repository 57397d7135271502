"""Reads the plain rows of files with answers: JSONL and Parquet, here or in a data set of the Hub."""

import codecs
import fnmatch
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.files import lines
from stillhouse.models.engine import EngineError
from stillhouse.params.teacher import ReplayHub

SUFFIXES = (".jsonl", ".parquet")
BATCH_ROWS = 100


def numbered_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a file with their numbers from 1; in JSONL the number is that of the line, blank ones included.

    Raises:
        EngineError: the file cannot be read, or a line is not JSON.
    """
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                batches = (b.to_pylist() for b in parquet.iter_batches(batch_size=BATCH_ROWS))
                yield from enumerate(itertools.chain.from_iterable(batches), start=1)
            return
        for number, line in lines(path):
            yield number, _decoded(line.removeprefix(codecs.BOM_UTF8), f"{path}: row {number}")
    except (OSError, pa.ArrowException) as error:
        raise EngineError(f"{path}: cannot be read as JSONL or Parquet answers: {error}") from None


def _decoded(line: bytes, place: str) -> Any:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # Python's own reader is slower and takes more: NaN, and halves of a surrogate pair. Both may be in a column
    # that nobody reads.
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{place} is not JSON ({error}); fix the line") from None


_decode = msgspec.json.Decoder().decode


def fetched(source: ReplayHub) -> dict[str, Path]:
    """Return the files of a Hub data set by their names there; they are downloaded into the Hub's cache.

    Raises:
        EngineError: the download failed, or no file has a wanted name.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"{source.repo}@{source.revision}"
    try:
        folder = Path(
            snapshot_download(
                source.repo,
                repo_type="dataset",
                revision=source.revision,
                allow_patterns=source.files,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineError(f"replay: {where} cannot be fetched from the Hub: {error}") from None
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in SUFFIXES)
    chosen = [n for n in names if any(fnmatch.fnmatch(n, pattern) for pattern in source.files)]
    if not chosen:
        raise EngineError(
            f"replay: {where} has no {' or '.join(SUFFIXES)} file that matches {', '.join(source.files)}; fix `files`"
        )
    return {name: folder / name for name in chosen}
