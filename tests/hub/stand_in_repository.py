"""Repositories of the Hub's stand-in: a list of immutable commits, each a map from path to blob."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stand_in_http import ApiError

DATE = "2025-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Blob:
    """The content of one file; `lfs` tells how it was stored, `xet` under which file hash if it came by Xet."""

    content: bytes
    lfs: bool = False
    xet: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """Git's blob id: of the content, or of the pointer file that stands for an LFS file."""
        stored = self.content
        if self.lfs:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
            stored = pointer.format(self.sha256, len(self.content)).encode()
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """The file as a listing shows it."""
        shown = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.lfs:
            shown["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        if self.xet:
            shown["xetHash"] = self.xet
        return shown


Tree = dict[str, Blob]


@dataclass
class Repository:
    """One repository, of a data set or a model."""

    id: str
    private: bool
    gated: str | bool = False
    commits: dict[str, Tree] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, tree: Tree, title: str) -> str:
        content = json.dumps([self.head, title, {path: blob.oid for path, blob in tree.items()}])
        self.head = hashlib.sha1(content.encode()).hexdigest()
        self.commits[self.head] = tree
        self.titles.append(title)
        return self.head

    def resolve(self, revision: str) -> str:
        revision = unquote(revision).removeprefix("refs/heads/")
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        if commit not in self.commits:
            raise ApiError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def tree(self, revision: str) -> Tree:
        return self.commits[self.resolve(revision)]

    def info(self, commit: str) -> dict[str, Any]:
        return {
            "_id": hashlib.sha1(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "author": self.id.partition("/")[0],
            "sha": commit,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "createdAt": DATE,
            "lastModified": DATE,
            "siblings": [{"rfilename": path} for path in sorted(self.commits[commit])],
        }
