"""Faults of the store that takes and gives large files by Xet, with the real client's own tries in between."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from small_release import REPO, write_folder
from stand_in import CUT, HubStandIn

from stillhouse.release.hub import Access, publish
from stillhouse.release.hub_calls import HubError
from stillhouse.release.manifest import release_files, sha256_of
from stillhouse.release.pull import pull

PUBLIC = Access(private=False)
UPLOAD = [
    "GET .*/xet-write-token/",
    "POST /cas/v1/xorb-grants/",
    "PUT /cas/granted/|POST /cas/v1/xorbs/",  # the second is what the client falls back to
    "POST /cas/v1/xorb-commits/",
    "POST /cas/v2/shards",
]
READ_BACK = [
    "GET .*/xet-read-token/",
    "GET /cas/v2/reconstructions/",
    "GET /cas/bytes/",
]
FAULTS = [503, 429, CUT]


def published(hub: HubStandIn) -> bool:
    repo = hub.repositories[REPO]
    return repo.titles == ["initial commit", "Release v1.0.0"] and repo.tags == {
        "v1.0.0": repo.head
    }


@pytest.mark.parametrize("status", FAULTS)
@pytest.mark.parametrize("request_line", [*UPLOAD, *READ_BACK])
def test_a_fault_of_a_moment_changes_nothing(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str, status: int
) -> None:
    hub.fail(request_line, status, times=1)
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert published(hub)
    assert hub.faults[0].times == 0


@pytest.mark.parametrize("request_line", [*UPLOAD, *READ_BACK])
def test_a_lost_answer_changes_nothing(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str
) -> None:
    hub.fail(request_line, CUT, after=True)
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert published(hub)
    assert hub.faults[0].times == 0


@pytest.mark.parametrize("status", [400, *FAULTS])
@pytest.mark.parametrize("request_line", [*UPLOAD, *READ_BACK])
def test_a_fault_that_stays_is_an_error_and_the_next_try_goes_on(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str, status: int
) -> None:
    hub.fail(request_line, status, times=1000)
    with pytest.raises(HubError, match=rf"^(commit to|read-back of) {REPO}.*: .+"):
        publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.tags == {}
    assert len(repo.titles) == (1 if request_line in UPLOAD else 2)
    hub.faults.clear()
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert published(hub)


def test_what_is_not_the_content_is_refused(
    hub: HubStandIn, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client names another content than it sends.
    monkeypatch.setattr("huggingface_hub.lfs.UploadInfo.sha256", property(lambda _: bytes(32)))
    monkeypatch.setattr("huggingface_hub.lfs.UploadInfo.is_hashed", property(lambda _: True))
    with pytest.raises(HubError):
        publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert hub.repositories[REPO].titles == ["initial commit"]
    assert hub.cas.by_sha256 == {}


@pytest.mark.parametrize("scheme", ["none", "lz4", "bg4-lz4", "auto"])
def test_large_files_come_back_whatever_their_compression(
    hub: HubStandIn,
    api: HfApi,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    monkeypatch.setenv("HF_XET_XORB_COMPRESSION_POLICY", scheme)
    write_folder(folder, 30_000)
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    pulled = pull(REPO, "v1.0.0", tmp_path / "pulled", api=api)
    assert {name: sha256_of(pulled / name) for name in release_files(pulled)} == {
        name: sha256_of(folder / name) for name in release_files(folder)
    }
    assert sum(len(xorb.chunks) for xorb in hub.cas.xorbs.values()) > 4


def test_a_store_of_the_first_version_is_served_too(
    hub: HubStandIn, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_XET_CLIENT_RECONSTRUCTION_API_VERSION", "1")
    monkeypatch.setenv("HF_XET_CLIENT_SHARD_API_VERSION", "1")
    hub.cas.grants = False
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert published(hub)
    for request_line in ("POST /cas/v1/xorbs/", "POST /cas/v1/shards", "GET /cas/v1/recon"):
        assert hub.requests(request_line)
