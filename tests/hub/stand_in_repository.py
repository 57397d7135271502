"""Repositories of the Hub's stand-in: a list of immutable commits, each a map from path to blob."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.hub.stand_in_http import ApiError

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
class PullRequest:
    """A pull request to `main`; its commits are at `refs/pr/<number>`."""

    number: int
    title: str
    base: str
    status: str = "draft"

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.number}"

    def shown(self, repo_id: str, kind: str) -> dict[str, Any]:
        """The pull request as the Hub shows it."""
        return {
            "num": self.number,
            "title": self.title,
            "status": self.status,
            "isPullRequest": True,
            "author": {"name": "tester"},
            "createdAt": DATE,
            "repo": {"name": repo_id, "type": kind},
            "events": [],
            "changes": {"base": "refs/heads/main"},
            "filesWithConflicts": [],
        }


@dataclass
class Repository:
    """One repository, of a data set or a model."""

    id: str
    private: bool
    gated: str | bool = False
    commits: dict[str, Tree] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=lambda: {"main": ""})
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[int, PullRequest] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.heads["main"]

    @property
    def titles(self) -> list[str]:
        """Titles of the commits of `main`, the first one first."""
        return [self.messages[commit] for commit in reversed(self.history(self.head))]

    def history(self, commit: str) -> list[str]:
        """The commit and those before it, the last one first."""
        found = []
        while commit:
            found.append(commit)
            commit = self.parents[commit]
        return found

    def commit(self, tree: Tree, title: str, branch: str = "main") -> str:
        parent = self.heads[branch]
        content = json.dumps([parent, title, {path: blob.oid for path, blob in tree.items()}])
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit], self.parents[commit], self.messages[commit] = tree, parent, title
        self.heads[branch] = commit
        return commit

    def open_pull_request(self, title: str) -> PullRequest:
        number = len(self.pull_requests) + 1
        made = self.pull_requests[number] = PullRequest(number, title, self.head)
        self.heads[made.ref] = self.head
        return made

    def merge(self, number: int) -> None:
        """Put a pull request's changes on `main` as one commit, whatever its number of commits.

        What `main` has got since the pull request began stays, unless both changed the same file.
        """
        request = self.pull_requests[number]
        if request.status != "open":
            raise ApiError(400, f"this branch is {request.status}, publish it to be able to merge")
        base, main = self.commits[request.base], self.commits[self.head]
        held = self.commits[self.heads[request.ref]]
        changed = [path for path in {*base, *held} if base.get(path) != held.get(path)]
        if any(main.get(path) not in (base.get(path), held.get(path)) for path in changed):
            raise ApiError(409, "this branch has conflicts with main")
        merged = {path: blob for path, blob in main.items() if path not in changed}
        merged |= {path: held[path] for path in changed if path in held}
        self.commit(merged, f"{request.title} (#{number})")
        request.status = "merged"

    def resolve(self, revision: str) -> str:
        revision = unquote(revision).removeprefix("refs/heads/")
        commit = self.heads.get(revision) or self.tags.get(revision, revision)
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
