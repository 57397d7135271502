"""What a release changes on the Hub, and the commit that brings it there."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.release.hub_calls import BRANCH, HubError, Remote, call, head, tree
from stillhouse.release.manifest import release_files, sha256_of

if TYPE_CHECKING:
    from huggingface_hub import RepoFile


def changes(folder: Path, remote: dict[str, "RepoFile"]) -> tuple[list[str], list[str]]:
    """Return what to add and what to delete so that the repository holds exactly the folder."""
    names = release_files(folder)
    add = [name for name in names if name not in remote or not _same(folder / name, remote[name])]
    return add, sorted(set(remote) - set(names))


def _same(path: Path, remote: "RepoFile") -> bool:
    """Whether a local file has the content that the Hub lists: sha256 of large files, git's blob id of small ones."""
    if path.stat().st_size != remote.size:
        return False
    if remote.lfs is not None:
        return bool(sha256_of(path) == remote.lfs.sha256)
    blob = path.read_bytes()
    return bool(hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest() == remote.blob_id)


def size_text(size: int) -> str:
    """Return a number of bytes as text, in kB or MB."""
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"


def upload(remote: Remote, folder: Path, tag: str, told: Callable[[str], None]) -> str:
    """Bring the head of the branch to the folder's content in one commit; return the commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    start = head(remote)
    add, delete = changes(folder, tree(remote, start))
    if not add and not delete:
        return start
    size = sum((folder / name).stat().st_size for name in add)
    told(
        f"{remote.id}: send {len(add)} files, {size_text(size)}; delete {len(delete)}; in one commit on {start}"
    )
    operations: list[Any] = [
        *(CommitOperationAdd(name, folder / name) for name in add),
        *(CommitOperationDelete(name) for name in delete),
    ]
    # A conflict means that somebody else pushed, or that the answer to our own commit was lost and it was sent again.
    with contextlib.suppress(HfHubHTTPError):
        call(
            f"commit to {remote.id}",
            lambda: remote.api.create_commit(
                remote.id,
                operations,
                commit_message=f"Release {tag}",
                repo_type=remote.type,
                revision=BRANCH,
                parent_commit=start,
            ),
        )
    now = head(remote)
    if any(changes(folder, tree(remote, now))):
        raise HubError(
            f"{remote.id}: a concurrent push moved {BRANCH} from {start} to {now}; look at it, then publish again"
        )
    return now
