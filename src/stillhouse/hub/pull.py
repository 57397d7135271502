"""A release from the Hugging Face Hub: a tag or commit into a folder, every file checked against its manifest."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stillhouse.hub.calls import HubError, RepoType, call
from stillhouse.package.manifest import differences

if TYPE_CHECKING:
    from huggingface_hub import HfApi


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
        call(
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
