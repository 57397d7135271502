"""Releases to the Hugging Face Hub: a folder as one step of its branch, read back, and tagged.

Publishing can be interrupted at any point and run again: a release is done when its tag stands on a commit whose files
were read back and found to be ours. A tag is never moved. Tokens come from the environment or `hf auth login`; they
appear in no message.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stillhouse.hashing import file_sha256
from stillhouse.hub.calls import HubError, Remote, RepoType, call, head, tags, tree
from stillhouse.hub.changes import Local, changes, local_files
from stillhouse.hub.transfer import Progress, size_text
from stillhouse.hub.upload import upload
from stillhouse.package.manifest import MANIFEST, differences, json_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi


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

    One step on top of the head that was compared; then every file is downloaded and compared by sha256; then the tag.
    `told` is called with a line before each step, and with files, bytes and time in between.

    Raises:
        HubError: the tag stands on other content; somebody else pushed meanwhile; the access differs; what came back is
            not what was sent; no access; or the Hub stayed unavailable.
        ManifestError: the folder is no release.
    """
    _refuse_differences(folder)
    remote = Remote(api, repo_id, repo_type)
    tag = f"v{version}"
    local = local_files(folder)
    size = sum(file.size for file in local.values())
    _open(remote, access)
    commit = tags(remote).get(tag)
    if commit is not None:
        told(f"{repo_id}: {tag} stands already; compared with it")
        _refuse_other_content(remote, tag, commit, local)
    else:
        commit = upload(remote, local, tag, told)
        told(f"{repo_id}: read back {len(local)} files, {size_text(size)}")
        _read_back(remote, commit, local, told)
        commit = _tag(remote, tag, commit, local)
        told(f"{repo_id}: tagged {tag}")
    return Receipt(repo=repo_id, commit=commit, tag=tag, files=len(local), bytes=size)


def preview(
    folder: Path, repo_id: str, version: str, *, api: "HfApi", repo_type: RepoType = "dataset"
) -> Preview:
    """Return what `publish` would change, without changing anything.

    Raises:
        HubError: the tag stands on other content, no access, or the Hub stayed unavailable.
        ManifestError: the folder is no release.
    """
    _refuse_differences(folder)
    remote = Remote(api, repo_id, repo_type)
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
    """Write what stands on the Hub, the git commit that made it, and the sha256 of its manifest in `folder`."""
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


def _open(remote: Remote, access: Access) -> None:
    """Create the repository if it is missing; refuse one that others may see than the parameters say."""
    call(
        f"creation of {remote.id}",
        lambda: remote.api.create_repo(
            remote.id, repo_type=remote.type, private=access.private, exist_ok=True
        ),
    )
    # Before the first release, and not only when the repository is new: an earlier try may have ended here.
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
            f"{remote.id}: the repository is {_words(found)}, but package.private and package.gated say "
            f"{_words(access)}; change one of the two by hand"
        )


def _words(access: Access) -> str:
    shown = "private" if access.private else "public"
    return f"{shown}, gated ({access.gated})" if access.gated else shown


def _refuse_other_content(remote: Remote, tag: str, commit: str, local: Local) -> None:
    change = changes(local, tree(remote, commit))
    if change.count:
        differing = ", ".join([*change.add, *change.delete])
        raise HubError(
            f"{remote.id}: tag {tag} stands on other content (commit {commit}; differs in {differing}); "
            "a published tag is never moved: raise package.version"
        )


def _read_back(remote: Remote, commit: str, local: Local, told: Callable[[str], None]) -> None:
    """Download every file of the commit, one at a time, and compare its sha256 with the local file's."""
    sizes = {name: file.size for name, file in local.items()}
    progress = Progress(f"{remote.id}: read back", sizes, told)
    for name, file in local.items():
        with tempfile.TemporaryDirectory() as scratch:
            found = file_sha256(_download(remote, commit, name, Path(scratch)))
        if found != file.sha256:
            raise HubError(
                f"{remote.id}@{commit}: {name} came back with sha256 {found} instead of {file.sha256}; it is not "
                "tagged, delete that file on the Hub and publish again"
            )
        progress.done(name)


def _download(remote: Remote, commit: str, name: str, scratch: Path) -> Path:
    return Path(
        call(
            f"read-back of {remote.id}/{name}",
            lambda: remote.api.hf_hub_download(
                remote.id, name, repo_type=remote.type, revision=commit, local_dir=scratch
            ),
        )
    )


def _tag(remote: Remote, tag: str, commit: str, local: Local) -> str:
    """Create the tag and return the commit on which it stands."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        call(
            f"tag {tag} of {remote.id}",
            lambda: remote.api.create_tag(
                remote.id, tag=tag, revision=commit, repo_type=remote.type
            ),
        )
    except HfHubHTTPError:
        # The answer to our own request was lost, or somebody was faster: right if the content is ours.
        standing = tags(remote).get(tag)
        if standing is None:
            raise HubError(
                f"{remote.id}: the Hub refuses the tag {tag}; look at the repository"
            ) from None
        _refuse_other_content(remote, tag, standing, local)
        return standing
    return commit
