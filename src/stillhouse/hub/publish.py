"""Publishes a release folder on the Hugging Face Hub: uploads it as one commit, reads it back and tags the commit.

Publishing can be interrupted at any point and run again. A release is complete when its tag points to a commit whose
files were downloaded again and equal the local files. A tag is never moved. Tokens come from the environment or
`hf auth login`. No message contains a token.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stillhouse.hashing import file_sha256
from stillhouse.hub.calls import HubError, HubRepository, RepoType, call, head, tags, tree
from stillhouse.hub.changes import Local, changes, local_files
from stillhouse.hub.transfer import TransferProgress, bars_in_terminals_only, size_text
from stillhouse.hub.upload import upload
from stillhouse.package.manifest import MANIFEST, differences, json_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Receipt:
    """A published release: repository, commit, tag, number of files and their total bytes."""

    repo: str
    commit: str
    tag: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Preview:
    """What publishing would change.

    `add` maps each file to send to its bytes, `delete` names the files to delete. `tag` is None if it exists already.
    """

    repo: str
    exists: bool
    tag: str | None
    add: dict[str, int]
    delete: list[str]
    unchanged: int


@dataclass(frozen=True)
class Access:
    """Who may see a repository.

    `gated`: whether users must request access, which is granted automatically (`auto`) or by hand (`manual`).
    """

    private: bool
    gated: Literal["auto", "manual", False] = False


def publish(
    folder: Path,
    repo_id: str,
    version: str,
    *,
    access: Access,
    api: "HfApi",
    repo_type: RepoType = "dataset",
    report: Callable[[str], None] = lambda _: None,
) -> Receipt:
    """Make the Hub repository hold exactly the files of `folder`, and tag that state `v<version>`.

    The changes are one commit on top of the head that they were compared with. Then every file is downloaded and
    compared by sha256. Then the tag is created.

    Args:
        folder: The release.
        repo_id: The repository, as `owner/name`.
        version: The version of the release.
        access: Who may see the repository. A new repository gets this access, an existing one must have it.
        api: The client of the Hub.
        repo_type: The type of the repository.
        report: Progress callback. It gets a line before each step, and lines with files, bytes and time during a step.

    Raises:
        HubError: the tag points to other content; somebody else pushed meanwhile; the access differs; a downloaded file
            differs from the local one; no access; or the Hub stayed unavailable.
        ManifestError: the folder is not a release.
    """
    _refuse_differences(folder)
    bars_in_terminals_only()
    remote = HubRepository(api, repo_id, repo_type)
    tag = f"v{version}"
    local = local_files(folder)
    size = sum(file.size for file in local.values())
    _open(remote, access)
    commit = tags(remote).get(tag)
    if commit is not None:
        report(f"{repo_id}: {tag} exists already; comparing with it")
        _refuse_other_content(remote, tag, commit, local)
    else:
        commit = upload(remote, local, tag, report)
        report(f"{repo_id}: read back {len(local)} files, {size_text(size)}")
        _read_back(remote, commit, local, report)
        commit = _tag(remote, tag, commit, local)
        report(f"{repo_id}: tagged {tag}")
    return Receipt(repo=repo_id, commit=commit, tag=tag, files=len(local), bytes=size)


def preview(
    folder: Path, repo_id: str, version: str, *, api: "HfApi", repo_type: RepoType = "dataset"
) -> Preview:
    """Return what `publish` would change, without changing anything.

    Args:
        folder: The release.
        repo_id: The repository, as `owner/name`.
        version: The version of the release.
        api: The client of the Hub.
        repo_type: The type of the repository.

    Raises:
        HubError: the tag points to other content, no access, or the Hub stayed unavailable.
        ManifestError: the folder is not a release.
    """
    _refuse_differences(folder)
    remote = HubRepository(api, repo_id, repo_type)
    tag = f"v{version}"
    local = local_files(folder)
    exists = bool(
        call(f"look for {repo_id}", lambda: api.repo_exists(repo_id, repo_type=repo_type))
    )
    commit = tags(remote).get(tag) if exists else None
    if commit is not None:
        _refuse_other_content(remote, tag, commit, local)
    change = changes(local, tree(remote, commit or head(remote)) if exists else {})
    return Preview(
        repo=repo_id,
        exists=exists,
        tag=None if commit else tag,
        add={name: file.size for name, file in change.add.items()},
        delete=change.delete,
        unchanged=len(local) - len(change.add),
    )


def write_receipt(path: Path, receipt: Receipt, folder: Path, git_commit: str) -> None:
    """Write the receipt of a published release as JSON, with its git commit and the sha256 of its manifest.

    Args:
        path: The file to write.
        receipt: The published release.
        folder: The local release, which holds the manifest.
        git_commit: The commit of the project that made the release.
    """
    content = {
        **dataclasses.asdict(receipt),
        "git_commit": git_commit,
        "manifest_sha256": file_sha256(folder / MANIFEST),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_text(content), encoding="utf-8")


def _refuse_differences(folder: Path) -> None:
    for file, fault in differences(folder):
        raise HubError(f"{folder / file}: {fault}; run `dvc repro package` before publishing")


def _open(remote: HubRepository, access: Access) -> None:
    """Create the repository if it is missing; raise if its access differs from the parameters."""
    call(
        f"creation of {remote.id}",
        lambda: remote.api.create_repo(
            remote.id, repo_type=remote.type, private=access.private, exist_ok=True
        ),
    )
    # Until the first tag, and not only for a new repository: an earlier run may have stopped before this call.
    if access.gated and not tags(remote):
        call(
            f"settings of {remote.id}",
            lambda: remote.api.update_repo_settings(
                remote.id, repo_type=remote.type, gated=access.gated
            ),
        )
    info = call(
        f"look at {remote.id}", lambda: remote.api.repo_info(remote.id, repo_type=remote.type)
    )
    found = Access(bool(info.private), info.gated or False)
    if found != access:
        raise HubError(
            f"{remote.id}: the repository is {_access_text(found)}, but package.private and package.gated say "
            f"{_access_text(access)}; change one of the two by hand"
        )


def _access_text(access: Access) -> str:
    visibility = "private" if access.private else "public"
    return f"{visibility}, gated ({access.gated})" if access.gated else visibility


def _refuse_other_content(remote: HubRepository, tag: str, commit: str, local: Local) -> None:
    change = changes(local, tree(remote, commit))
    if change.count:
        differing = ", ".join([*change.add, *change.delete])
        raise HubError(
            f"{remote.id}: tag {tag} points to other content (commit {commit}; differs in {differing}); "
            "a published tag is never moved: raise package.version"
        )


def _read_back(
    remote: HubRepository, commit: str, local: Local, report: Callable[[str], None]
) -> None:
    """Download every file of the commit, one at a time, and compare its sha256 with the local file's."""
    sizes = {name: file.size for name, file in local.items()}
    progress = TransferProgress(f"{remote.id}: read back", sizes, report)
    for name, file in local.items():
        with tempfile.TemporaryDirectory() as scratch:
            found = file_sha256(_download(remote, commit, name, Path(scratch)))
        if found != file.sha256:
            raise HubError(
                f"{remote.id}@{commit}: the downloaded {name} has sha256 {found} instead of {file.sha256}; the commit "
                "is not tagged: delete that file on the Hub and publish again"
            )
        progress.done(name)


def _download(remote: HubRepository, commit: str, name: str, scratch: Path) -> Path:
    return Path(
        call(
            f"read-back of {remote.id}/{name}",
            lambda: remote.api.hf_hub_download(
                remote.id, name, repo_type=remote.type, revision=commit, local_dir=scratch
            ),
        )
    )


def _tag(remote: HubRepository, tag: str, commit: str, local: Local) -> str:
    """Create the tag and return the commit that it points to."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        call(
            f"tag {tag} of {remote.id}",
            lambda: remote.api.create_tag(
                remote.id, tag=tag, revision=commit, repo_type=remote.type
            ),
        )
    except HfHubHTTPError:
        # The response to our own request was lost, or somebody else created the tag. Both are fine if the content is
        # the same.
        existing = tags(remote).get(tag)
        if existing is None:
            raise HubError(
                f"{remote.id}: the Hub refuses the tag {tag}; look at the repository"
            ) from None
        _refuse_other_content(remote, tag, existing, local)
        return existing
    return commit
