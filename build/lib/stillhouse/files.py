"""Reading and writing of files: a file or folder appears whole or not at all, and an error names file and line."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError

_SUFFIX = ".partial"


class FileError(StillhouseError):
    """A file is missing or is not what it should be; the message names it, the line, and the remedy."""


@contextlib.contextmanager
def partial(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give the path of a new file or folder beside `target`, which takes its place when the block ends.

    After an error nothing is left of it. What a killed process has left is removed first.

    Args:
        target: the file or folder that is to appear; its parents are made.
        replace: whether a folder that is there already is replaced; if not, it is kept and the new one dropped.
    """
    path = partial_path(target)
    remove_abandoned(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path
        if not path.is_dir():
            path.replace(target)
        elif replace:
            shutil.rmtree(target, ignore_errors=True)
            path.rename(target)
        else:
            with contextlib.suppress(OSError):  # another process was faster
                path.rename(target)
    finally:
        _remove(path)


def partial_path(target: Path) -> Path:
    """Return where this process writes what becomes `target`."""
    return target.with_name(f"{target.name}.{os.getpid()}{_SUFFIX}")


def remove_abandoned(target: Path) -> None:
    """Remove what killed processes have left beside `target`."""
    for path in target.parent.glob(f"{target.name}.*{_SUFFIX}"):
        number = path.name.removeprefix(f"{target.name}.").removesuffix(_SUFFIX)
        if number.isdigit() and (
            int(number) == os.getpid() or not Path(f"/proc/{number}").exists()
        ):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, so that equal content is equal bytes."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with partial(path) as new:
        new.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that an earlier stage wrote.

    Raises:
        FileError: it is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: {error}; run the stage that makes it, or `dvc checkout`"
        ) from None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, with the numbers of their lines from 1.

    Raises:
        FileError: the file cannot be read, or a line is not a JSON object.
    """
    try:
        for number, line in lines(path):
            try:
                row = json.loads(line)
            except ValueError as error:  # bad JSON, or bytes that are not UTF-8
                raise FileError(
                    f"{path}: row {number} is not JSON ({error}); fix the line"
                ) from None
            if not isinstance(row, dict):
                raise FileError(
                    f"{path}: row {number} is a {type(row).__name__}; an object was expected"
                )
            yield number, row
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
