"""Compares the files of a release with those on the Hub, without a download."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.hashing import file_sha256
from stillhouse.package.manifest import release_files

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

Tree = dict[str, "RepoFile"]


@dataclass(frozen=True)
class LocalFile:
    """One local file of a release. Its hashes are computed at first use and kept."""

    path: Path
    size: int

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the content, in hex."""
        return str(file_sha256(self.path))

    @cached_property
    def blob_id(self) -> str:
        """The id of the content as a git blob."""
        content = self.path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def matches(self, remote: "RepoFile") -> bool:
        """Return whether the Hub lists the same content: by sha256 for large files, by git blob id for small ones."""
        if self.size != remote.size:
            return False
        if remote.lfs is not None:
            return bool(self.sha256 == remote.lfs.sha256)
        return bool(self.blob_id == remote.blob_id)


Local = dict[str, LocalFile]


def local_files(folder: Path) -> Local:
    """Return the files of a release by name."""
    paths = {name: folder / name for name in release_files(folder)}
    return {name: LocalFile(path, path.stat().st_size) for name, path in paths.items()}


@dataclass(frozen=True)
class Changes:
    """Files to add, by name, and names to delete."""

    add: Local
    delete: list[str]

    @property
    def count(self) -> int:
        """The number of files that differ."""
        return len(self.add) + len(self.delete)

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes to send for each name."""
        sizes = {name: file.size for name, file in self.add.items()}
        return sizes | dict.fromkeys(self.delete, 0)

    def operations(self) -> list[Any]:
        """Return the changes as operations of the client, which are valid for one commit only."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        return [
            *(CommitOperationAdd(name, file.path) for name, file in self.add.items()),
            *(CommitOperationDelete(name) for name in self.delete),
        ]

    def parts(self, files: int) -> "Iterator[Changes]":
        """Yield the changes in parts of at most `files` files, additions first."""
        names = iter([*self.add, *self.delete])
        while part := list(islice(names, files)):
            yield Changes(
                {name: self.add[name] for name in part if name in self.add},
                [name for name in part if name not in self.add],
            )

    def applied_in(self, remote: Tree) -> bool:
        """Return whether the Hub's files already contain these changes."""
        added = all(
            name in remote and file.matches(remote[name]) for name, file in self.add.items()
        )
        return added and not any(name in remote for name in self.delete)


def changes(local: Local, remote: Tree) -> Changes:
    """Return what to add and what to delete so that the repository holds exactly the release."""
    add = {
        name: file
        for name, file in local.items()
        if name not in remote or not file.matches(remote[name])
    }
    return Changes(add, sorted(set(remote) - set(local)))
