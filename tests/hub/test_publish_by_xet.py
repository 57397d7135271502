"""Faults of the store that takes and gives large files by Xet, with the real client's own tries in between."""

import random
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils._xet import XetSessionHolder

from stillhouse.hashing import file_sha256
from stillhouse.hub.calls import HubError
from stillhouse.hub.publish import Access, publish
from stillhouse.hub.pull import pull
from stillhouse.package.manifest import release_files, write_manifest
from tests.hub.small_release import REPO, write_folder
from tests.hub.stand_in import CUT, HubStandIn
from tests.hub.stand_in_cas import SIGNATURE

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


def published(hub: HubStandIn) -> bool:
    repo = hub.repositories[REPO]
    return repo.titles == ["initial commit", "Release v1.0.0"] and repo.tags == {
        "v1.0.0": repo.head
    }


def test_a_log_gets_no_progress_bars(
    hub: HubStandIn, api: HfApi, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    pull(REPO, "v1.0.0", tmp_path / "pulled", api=api)
    assert published(hub)
    assert "%" not in capfd.readouterr().err


@pytest.mark.parametrize("status", [503, 429, CUT])
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


@pytest.mark.parametrize("status", [400, CUT])
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


def test_no_access_names_the_remedy(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    hub.fail("GET .*/xet-write-token/", 403, times=1000)
    with pytest.raises(HubError, match=r"no access \(HTTP 403\); run `hf auth login`"):
        publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)


def test_a_refusal_is_not_tried_again(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    hub.fail("POST /cas/v2/shards", 400, times=1000)
    with pytest.raises(HubError, match="400 Bad Request"):
        publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert len(hub.requests("POST /cas/v2/shards")) == 1


@pytest.mark.parametrize("status", [403, 503, CUT])
def test_no_signed_address_is_in_a_message(
    hub: HubStandIn, api: HfApi, folder: Path, status: int
) -> None:
    hub.fail("GET /cas/bytes/", status, times=1000)
    with pytest.raises(HubError, match="read-back of") as caught:
        publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    assert SIGNATURE not in str(caught.value)


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
    assert {name: file_sha256(pulled / name) for name in release_files(pulled)} == {
        name: file_sha256(folder / name) for name in release_files(folder)
    }
    assert sum(len(xorb.chunks) for xorb in hub.cas.xorbs.values()) > 4


@pytest.mark.parametrize("remembered", [True, False])
def test_a_second_version_sends_new_chunks_only(
    hub: HubStandIn,
    api: HfApi,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remembered: bool,
) -> None:
    large = random.Random(1).randbytes(1_000_000)
    (folder / "large.bin").write_bytes(large)
    write_manifest(folder)
    publish(folder, REPO, "1.0.0", access=PUBLIC, api=api)
    if not remembered:  # another machine: the store has to say which chunks it has
        monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "another"))
        monkeypatch.setattr("huggingface_hub.utils._xet._GLOBAL_XET_HOLDER", XetSessionHolder())
    (folder / "large.bin").write_bytes(large + b"and some more" * 100)
    write_manifest(folder)
    before = set(hub.cas.xorbs)
    publish(folder, REPO, "1.1.0", access=PUBLIC, api=api)
    sent = sum(len(xorb.sent) for name, xorb in hub.cas.xorbs.items() if name not in before)
    assert 0 < sent < 200_000
    pulled = pull(REPO, "v1.1.0", tmp_path / "pulled", api=api)
    assert file_sha256(pulled / "large.bin") == file_sha256(folder / "large.bin")


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
