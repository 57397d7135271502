"""Downloads a release from the Hugging Face Hub and checks every file against the manifest."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stillhouse.hub.calls import HubError, RepoType, call
from stillhouse.hub.transfer import bars_in_terminals_only
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

    `target` is created only after the download is complete and checked.

    Args:
        repo_id: The repository, as `owner/name`.
        revision: The tag or commit.
        target: The folder to create.
        api: The client of the Hub.
        repo_type: The type of the repository.

    Raises:
        HubError: `target` exists, the download failed, or a file differs from the manifest.
        ManifestError: the repository is not a release of stillhouse.
    """
    from huggingface_hub import HfApi

    if target.exists():
        raise HubError(f"{target}: exists already; remove it or choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    bars_in_terminals_only()
    client = api or HfApi()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as partial:
        folder = Path(partial) / "release"
        call(
            f"download of {repo_id}@{revision}",
            lambda: client.snapshot_download(
                repo_id, repo_type=repo_type, revision=revision, local_dir=folder
            ),
        )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # download metadata of the client
        for file, fault in differences(folder):
            raise HubError(
                f"{repo_id}@{revision}: {file} {fault}; do not use it, inform its publisher"
            )
        folder.rename(target)
    return target
