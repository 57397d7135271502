"""Writes and checks the manifest of a release folder, which lists every file with its hash, size and rows."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.hashing import file_sha256

MANIFEST = "manifest.json"
FORMAT = 1
# The Hub creates this file with a repository; it is not part of a release.
HUB_OWN_FILES = frozenset({".gitattributes"})


class ManifestError(StillhouseError):
    """A manifest is missing or unreadable."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a release. `rows` is null for a file that is not a table."""

    path: str
    sha256: str
    bytes: int
    rows: int | None


def json_text(content: Any) -> str:
    """Return content as JSON text; equal content gives equal bytes."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def release_files(folder: Path) -> list[str]:
    """Return the sorted relative paths of all files of a release folder, including the manifest."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        name
        for name in (path.relative_to(folder).as_posix() for path in paths)
        if name not in HUB_OWN_FILES
    )


def write_manifest(folder: Path) -> list[FileEntry]:
    """Write manifest.json, which lists all other files of the folder, and return its entries."""
    entries = []
    for name in release_files(folder):
        if name == MANIFEST:
            continue
        path = folder / name
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
        entries.append(FileEntry(name, file_sha256(path), path.stat().st_size, rows))
    content = {"format": FORMAT, "files": [asdict(entry) for entry in entries]}
    (folder / MANIFEST).write_text(json_text(content), encoding="utf-8")
    return entries


def read_manifest(folder: Path) -> list[FileEntry]:
    """Return the entries of a folder's manifest.

    Raises:
        ManifestError: the manifest is missing, is not JSON, or has another format.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ManifestError(
                f"{path}: format {content['format']!r}, but this version of stillhouse reads format {FORMAT}"
            )
        return [FileEntry(**entry) for entry in content["files"]]
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such file; the folder is not a release of stillhouse"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: not a manifest ({type(error).__name__}: {error})") from None


def differences(folder: Path) -> list[tuple[str, str]]:
    """Return the differences between a folder and its manifest as pairs of file and fault.

    Raises:
        ManifestError: there is no readable manifest.
    """
    faults = []
    entries = read_manifest(folder)
    for entry in entries:
        path = folder / entry.path
        if not path.is_file():
            faults.append((entry.path, "is in the manifest but is missing"))
            continue
        size = path.stat().st_size
        if size != entry.bytes:
            faults.append((entry.path, f"has {size} bytes, the manifest says {entry.bytes}"))
        elif (found := file_sha256(path)) != entry.sha256:
            faults.append((entry.path, f"has sha256 {found}, the manifest says {entry.sha256}"))
        elif path.suffix == ".parquet":
            faults += [(entry.path, fault) for fault in _row_fault(path, entry)]
    known = {entry.path for entry in entries} | {MANIFEST}
    faults += [
        (name, "is not in the manifest") for name in release_files(folder) if name not in known
    ]
    return faults


def _row_fault(path: Path, entry: FileEntry) -> list[str]:
    try:
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        return [f"is not a readable Parquet file ({' '.join(str(error).split())})"]
    return [] if rows == entry.rows else [f"has {rows} rows, the manifest says {entry.rows}"]
