"""Releases on the Hugging Face Hub: publish a folder as one commit and one tag, pull a tag and check it.

Publishing can be interrupted at any point and run again: a release is done when its tag stands on a commit whose files
were read back and found to be ours. A tag is never moved. Tokens come from the environment or `hf auth login`; they
appear in no message.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.release.manifest import (
    HUB_OWN_FILES,
    MANIFEST,
    differences,
    json_text,
    release_files,
    sha256_of,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

BRANCH = "main"
TRIES = 5
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
CONFLICT = frozenset({409, 412})

RepoType = Literal["dataset", "model"]
ResultT = TypeVar("ResultT")


class HubError(StillhouseError):
    """The Hub did not take or give a release as it should; the message says what to do."""


@dataclass(frozen=True)
class Receipt:
    """What stands on the Hub: repository, commit, tag, number of files and their total bytes."""

    repo: str
    commit: str
    tag: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Preview:
    """What publishing would change: files that would be sent with their bytes, and deleted; `tag` None: it stands."""

    repo: str
    exists: bool
    tag: str | None
    add: dict[str, int]
    delete: list[str]
    unchanged: int


@dataclass(frozen=True)
class Access:
    """Who may see a repository: `private`, and whether others must ask (`auto`: granted at once, `manual`: by hand)."""

    private: bool
    gated: Literal["auto", "manual", False] = False


@dataclass(frozen=True)
class _Remote:
    """One repository of the Hub."""

    api: "HfApi"
    id: str
    type: RepoType


def publish(
    folder: Path,
    repo_id: str,
    version: str,
    *,
    access: Access,
    api: "HfApi",
    repo_type: RepoType = "dataset",
    told: Callable[[str], None] = lambda _: None,
) -> Receipt:
    """Make the Hub repository hold exactly the files of `folder`, and tag that state `v<version>`.

    One commit on top of the head that was compared; then every file is downloaded and compared by sha256; then the tag.
    `told` is called with a line before each step.

    Raises:
        HubError: the tag stands on other content; somebody else pushed meanwhile; the access differs; what came back is
            not what was sent; no access; or the Hub stayed unavailable.
        ManifestError: the folder is no release.
    """
    _refuse_differences(folder)
    remote = _Remote(api, repo_id, repo_type)
    tag = f"v{version}"
    names = release_files(folder)
    size = sum((folder / name).stat().st_size for name in names)
    _open(remote, access)
    commit = _tags(remote).get(tag)
    if commit is not None:
        told(f"{repo_id}: {tag} stands already; compared with it")
        _refuse_other_content(remote, tag, commit, folder)
    else:
        commit = _commit(remote, folder, tag, told)
        told(f"{repo_id}: read back, {len(names)} files, {size_text(size)}")
        _read_back(remote, commit, folder)
        commit = _tag(remote, tag, commit, folder)
        told(f"{repo_id}: tagged {tag}")
    return Receipt(repo=repo_id, commit=commit, tag=tag, files=len(names), bytes=size)


def preview(
    folder: Path, repo_id: str, version: str, *, api: "HfApi", repo_type: RepoType = "dataset"
) -> Preview:
    """Return what `publish` would change, without changing anything.

    Raises:
        HubError: the tag stands on other content, no access, or the Hub stayed unavailable.
        ManifestError: the folder is no release.
    """
    _refuse_differences(folder)
    remote = _Remote(api, repo_id, repo_type)
    tag = f"v{version}"
    exists = bool(
        _call(f"look for {repo_id}", lambda: api.repo_exists(repo_id, repo_type=repo_type))
    )
    commit = _tags(remote).get(tag) if exists else None
    if commit is not None:
        _refuse_other_content(remote, tag, commit, folder)
    names = release_files(folder)
    tree = _tree(remote, commit or _head(remote)) if exists else {}
    add, delete = _changes(folder, tree)
    return Preview(
        repo=repo_id,
        exists=exists,
        tag=None if commit else tag,
        add={name: (folder / name).stat().st_size for name in add},
        delete=delete,
        unchanged=len(names) - len(add),
    )


def size_text(size: int) -> str:
    """Return a number of bytes as text, in kB or MB."""
    return f"{size / 1e3:,.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"


def write_receipt(path: Path, receipt: Receipt, folder: Path, git_commit: str) -> None:
    """Write what stands on the Hub, the git commit that made it, and the sha256 of its manifest in `folder`."""
    content = {
        **dataclasses.asdict(receipt),
        "git_commit": git_commit,
        "manifest_sha256": sha256_of(folder / MANIFEST),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_text(content), encoding="utf-8")


def _refuse_differences(folder: Path) -> None:
    for file, fault in differences(folder):
        raise HubError(f"{folder / file}: {fault}; run `dvc repro package` before publishing")


def pull(
    repo_id: str,
    revision: str,
    target: Path,
    *,
    api: "HfApi | None" = None,
    repo_type: RepoType = "dataset",
) -> Path:
    """Download a release at a tag or commit into `target` and check every file against its manifest.

    `target` appears whole and checked, or not at all.

    Raises:
        HubError: `target` exists, the Hub does not give the release, or a file is not as the manifest says.
        ManifestError: the repository holds no release of stillhouse.
    """
    from huggingface_hub import HfApi

    if target.exists():
        raise HubError(f"{target}: exists already; remove it or name another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    client = api or HfApi()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as partial:
        folder = Path(partial) / "release"
        _call(
            f"download of {repo_id}@{revision}",
            lambda: client.snapshot_download(
                repo_id, repo_type=repo_type, revision=revision, local_dir=folder
            ),
        )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes
        for file, fault in differences(folder):
            raise HubError(
                f"{repo_id}@{revision}: {file} {fault}; do not use it, tell its publisher"
            )
        folder.rename(target)
    return target


def _call(what: str, request: Callable[[], ResultT]) -> ResultT:
    """Run a request, again while the Hub is busy or out of reach.

    Raises:
        HubError: no access, no such repository, refused, or still failing after `TRIES` tries.
        HfHubHTTPError: the request conflicts with the state of the repository; the caller knows what that means.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    # Uploads by Xet raise Python's own ConnectionError and TimeoutError.
    unreachable = (
        httpx2.TransportError,
        LocalEntryNotFoundError,
        ConnectionError,
        TimeoutError,
    )

    def transient(error: BaseException | None) -> bool:
        if isinstance(error, RuntimeError):  # the client's wrapping of a failed upload
            return transient(error.__cause__)
        if isinstance(error, HfHubHTTPError):
            return error.response.status_code in TRANSIENT
        return isinstance(error, unreachable)

    tries = Retrying(
        retry=retry_if_exception(transient),
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential(FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        reraise=True,
    )
    try:
        return tries(request)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(
                f"{what}: no access (HTTP {status}); run `hf auth login` or set HF_TOKEN to a token that may write"
            ) from None
        if status in CONFLICT:
            raise
        if status == 404:
            raise HubError(f"{what}: there is no such repository, revision or file") from None
        if status in TRANSIENT:
            raise HubError(
                f"{what}: the Hub still answers HTTP {status} after {TRIES} tries; run the same command later"
            ) from None
        said = " ".join((error.server_message or "").split())
        raise HubError(f"{what}: HTTP {status} {said}".rstrip()) from None
    except RuntimeError as error:
        raise HubError(
            f"{what}: {' '.join(str(error).split())} ({type(error.__cause__).__name__}); run the same command again"
        ) from None
    except unreachable as error:
        raise HubError(
            f"{what}: the Hub cannot be reached ({type(error).__name__}); run the same command later"
        ) from None


def _open(remote: _Remote, access: Access) -> None:
    """Create the repository if it is missing; refuse one that others may see than the parameters say."""
    _call(
        f"creation of {remote.id}",
        lambda: remote.api.create_repo(
            remote.id, repo_type=remote.type, private=access.private, exist_ok=True
        ),
    )
    if access.gated and not _tags(
        remote
    ):  # before the first release: an earlier try may have ended here
        _call(
            f"settings of {remote.id}",
            lambda: remote.api.update_repo_settings(
                remote.id, repo_type=remote.type, gated=access.gated
            ),
        )
    info = _call(
        f"look at {remote.id}", lambda: remote.api.repo_info(remote.id, repo_type=remote.type)
    )
    found = Access(bool(info.private), info.gated or False)
    if found != access:
        raise HubError(
            f"{remote.id}: the repository is {_words(found)}, but package.private and package.gated say "
            f"{_words(access)}; change one of the two by hand"
        )


def _words(access: Access) -> str:
    shown = "private" if access.private else "public"
    return f"{shown}, gated ({access.gated})" if access.gated else shown


def _tags(remote: _Remote) -> dict[str, str]:
    """Return the commit of each tag."""
    refs = _call(
        f"refs of {remote.id}",
        lambda: remote.api.list_repo_refs(remote.id, repo_type=remote.type),
    )
    return {ref.name: ref.target_commit for ref in refs.tags}


def _tree(remote: _Remote, revision: str) -> dict[str, "RepoFile"]:
    from huggingface_hub import RepoFile

    entries = _call(
        f"files of {remote.id}@{revision}",
        lambda: list(
            remote.api.list_repo_tree(
                remote.id, recursive=True, revision=revision, repo_type=remote.type
            )
        ),
    )
    return {
        entry.path: entry
        for entry in entries
        if isinstance(entry, RepoFile) and entry.path not in HUB_OWN_FILES
    }


def _changes(folder: Path, remote: dict[str, "RepoFile"]) -> tuple[list[str], list[str]]:
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


def _refuse_other_content(remote: _Remote, tag: str, commit: str, folder: Path) -> None:
    add, delete = _changes(folder, _tree(remote, commit))
    if add or delete:
        raise HubError(
            f"{remote.id}: tag {tag} stands on other content (commit {commit}; differs in {', '.join(add + delete)}); "
            "a published tag is never moved: raise package.version"
        )


def _commit(remote: _Remote, folder: Path, tag: str, told: Callable[[str], None]) -> str:
    """Bring the head of the branch to the folder's content in one commit; return the commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    head = _head(remote)
    add, delete = _changes(folder, _tree(remote, head))
    if not add and not delete:
        return head
    size = sum((folder / name).stat().st_size for name in add)
    told(
        f"{remote.id}: send {len(add)} files, {size_text(size)}; delete {len(delete)}; in one commit on {head}"
    )
    operations: list[Any] = [
        *(CommitOperationAdd(name, folder / name) for name in add),
        *(CommitOperationDelete(name) for name in delete),
    ]
    # A conflict means that somebody else pushed, or that the answer to our own commit was lost and it was sent again.
    with contextlib.suppress(HfHubHTTPError):
        _call(
            f"commit to {remote.id}",
            lambda: remote.api.create_commit(
                remote.id,
                operations,
                commit_message=f"Release {tag}",
                repo_type=remote.type,
                revision=BRANCH,
                parent_commit=head,
            ),
        )
    now = _head(remote)
    if any(_changes(folder, _tree(remote, now))):
        raise HubError(
            f"{remote.id}: a concurrent push moved {BRANCH} from {head} to {now}; look at it, then publish again"
        )
    return now


def _head(remote: _Remote) -> str:
    info = _call(
        f"head of {remote.id}",
        lambda: remote.api.repo_info(remote.id, revision=BRANCH, repo_type=remote.type),
    )
    if info.sha is None:
        raise HubError(f"{remote.id}: the Hub names no commit for {BRANCH}")
    return str(info.sha)


def _read_back(remote: _Remote, commit: str, folder: Path) -> None:
    """Download every file of the commit, one at a time, and compare its sha256 with the local file's."""
    for name in release_files(folder):
        with tempfile.TemporaryDirectory() as scratch:
            path = _download(remote, commit, name, Path(scratch))
            found, wanted = sha256_of(path), sha256_of(folder / name)
        if found != wanted:
            raise HubError(
                f"{remote.id}@{commit}: {name} came back with sha256 {found} instead of {wanted}; it is not tagged, "
                "delete that file on the Hub and publish again"
            )


def _download(remote: _Remote, commit: str, name: str, scratch: Path) -> Path:
    return Path(
        _call(
            f"read-back of {remote.id}/{name}",
            lambda: remote.api.hf_hub_download(
                remote.id, name, repo_type=remote.type, revision=commit, local_dir=scratch
            ),
        )
    )


def _tag(remote: _Remote, tag: str, commit: str, folder: Path) -> str:
    """Create the tag and return the commit on which it stands."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        _call(
            f"tag {tag} of {remote.id}",
            lambda: remote.api.create_tag(
                remote.id, tag=tag, revision=commit, repo_type=remote.type
            ),
        )
    except HfHubHTTPError:
        # The answer to our own request was lost, or somebody was faster: right if the content is ours.
        standing = _tags(remote).get(tag)
        if standing is None:
            raise HubError(
                f"{remote.id}: the Hub refuses the tag {tag}; look at the repository"
            ) from None
        _refuse_other_content(remote, tag, standing, folder)
        return standing
    return commit
