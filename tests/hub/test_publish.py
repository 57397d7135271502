import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from stillhouse.hashing import file_sha256
from stillhouse.hub.calls import HubError
from stillhouse.hub.publish import Access, preview, publish
from stillhouse.hub.pull import pull
from stillhouse.package.manifest import MANIFEST, release_files, write_manifest
from tests.hub.small_release import CARD, REPO, SHARD, write_folder, write_two_configs
from tests.hub.stand_in import HubStandIn


@pytest.fixture(params=["lfs", "xet"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_one_commit_and_one_tag(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    receipt = publish(folder, REPO, "1.0.0", access=Access(private=True), api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}
    assert repo.private
    size = sum((folder / name).stat().st_size for name in release_files(folder))
    assert dataclasses.asdict(receipt) == {
        "repo": REPO,
        "commit": repo.head,
        "tag": "v1.0.0",
        "files": 3,
        "bytes": size,
    }
    assert {path: blob.sha256 for path, blob in repo.commits[repo.head].items()} == {
        **{name: file_sha256(folder / name) for name in release_files(folder)},
        ".gitattributes": repo.commits[repo.head][".gitattributes"].sha256,
    }


def test_second_version_replaces_and_first_stays(
    hub: HubStandIn, api: HfApi, folder: Path, tmp_path: Path
) -> None:
    (folder / "old.txt").write_text("gone in the next version")
    write_manifest(folder)
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    first = {name: file_sha256(folder / name) for name in release_files(folder)}
    (folder / "old.txt").unlink()
    write_folder(folder, 30)
    publish(folder, REPO, "1.1.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert len(repo.titles) == 3
    assert "old.txt" not in repo.commits[repo.tags["v1.1.0"]]
    for tag, wanted in (("v1.0.0", first), ("v1.1.0", None)):
        target = pull(REPO, tag, tmp_path / tag, api=api)
        found = {name: file_sha256(target / name) for name in release_files(target)}
        assert found == (wanted or {n: file_sha256(folder / n) for n in release_files(folder)})


def test_unchanged_files_are_not_sent_again(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    (folder / "README.md").write_text(CARD.format(rows=20) + "One word more.\n")
    write_manifest(folder)
    publish(folder, REPO, "1.0.1", access=Access(private=False), api=api)
    assert len(hub.requests(r"^PUT /(lfs|cas/granted)/")) == 1


def test_again_is_nothing(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    first = publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert publish(folder, REPO, "1.0.0", access=Access(private=False), api=api) == first
    assert len(hub.requests(r"^POST .*/commit/")) == 1
    assert len(hub.requests(r"^POST .*/tag/")) == 1


def test_a_tag_is_never_moved(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    before = dict(hub.repositories[REPO].tags)
    write_folder(folder, 21)
    with pytest.raises(HubError, match=r"tag v1\.0\.0 points to other content.*raise package"):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert hub.repositories[REPO].tags == before
    assert len(hub.requests(r"^POST .*/commit/")) == 1


def test_concurrent_push_is_refused(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    write_folder(folder, 21)
    hub.run_before(r"POST .*/commit/", lambda: hub.push(REPO, {"theirs.txt": b"theirs"}) and None)
    with pytest.raises(HubError, match="a concurrent push moved main"):
        publish(folder, REPO, "1.1.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert "v1.1.0" not in repo.tags
    assert "theirs.txt" in repo.commits[repo.head]


def test_push_after_the_commit_is_refused(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    hub.run_before(r"POST .*/tag/", lambda: hub.push(REPO, {"theirs.txt": b"theirs"}) and None)
    receipt = publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert receipt.commit == repo.tags["v1.0.0"] != repo.head
    assert "theirs.txt" not in repo.commits[receipt.commit]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "request_line",
    [
        r"POST /api/repos/create",
        r"GET .*/refs",
        r"GET .*/tree/",
        r"POST .*/preupload/",
        r"POST .*/(lfs/objects/batch|xorb-grants/)",
        r"POST .*/commit/",
        r"POST .*/tag/",
    ],
)
def test_a_busy_hub_is_asked_again(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str, status: int
) -> None:
    hub.fail(request_line, status, times=1)
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}


@pytest.mark.parametrize("request_line", [r"POST .*/commit/", r"POST .*/tag/"])
def test_a_lost_answer_is_no_conflict(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str
) -> None:
    hub.fail(request_line, 503, after=True)
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}


def test_a_hub_that_stays_away_is_an_error(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    hub.fail(r"POST .*/commit/", 503, times=100)
    with pytest.raises(HubError, match="still answers HTTP 503 after 5 tries"):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert hub.repositories[REPO].tags == {}


@pytest.mark.parametrize(
    "request_line",
    [
        r"GET .*/refs",
        r"GET .*/tree/",
        r"POST .*/preupload/",
        r"PUT /(lfs|cas/granted)/|POST /cas/v1/xorbs/",
        r"POST .*/commit/",
        r"GET .*/resolve/",
        r"POST .*/tag/",
    ],
)
def test_interrupted_anywhere_then_run_again(
    hub: HubStandIn, api: HfApi, folder: Path, request_line: str
) -> None:
    hub.fail(request_line, 400, times=100)
    with pytest.raises((HubError, OSError)):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert hub.repositories[REPO].tags == {}
    hub.faults.clear()
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}


def test_what_comes_back_spoiled_is_not_tagged(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    hub.corrupt(SHARD)
    with pytest.raises(HubError, match=f"the downloaded {SHARD} has sha256"):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert hub.repositories[REPO].tags == {}


def test_another_visibility_is_refused(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    with pytest.raises(
        HubError, match=r"is public, but package\.private and package\.gated say private"
    ):
        publish(folder, REPO, "1.1.0", access=Access(private=True), api=api)


def test_no_access_names_the_remedy_and_hides_the_token(hub: HubStandIn, folder: Path) -> None:
    secret = "hf_" + "wrongtoken"
    stranger = HfApi(endpoint=hub.endpoint, token=secret)
    with pytest.raises(HubError, match="hf auth login") as caught:
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=stranger)
    assert secret not in str(caught.value)


def test_a_folder_that_is_not_as_its_manifest_is_not_sent(
    hub: HubStandIn, api: HfApi, folder: Path
) -> None:
    (folder / "README.md").write_text("changed after packaging")
    with pytest.raises(HubError, match=r"README\.md"):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    assert hub.log == []


def test_pull_checks_every_file(hub: HubStandIn, api: HfApi, folder: Path, tmp_path: Path) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    hub.corrupt(SHARD)
    with pytest.raises(HubError, match=f"{SHARD} has sha256"):
        pull(REPO, "v1.0.0", tmp_path / "pulled", api=api)
    assert not (tmp_path / "pulled").exists()
    assert list(tmp_path.glob(".pulled*")) == []


def test_pull_leaves_a_standing_folder_alone(api: HfApi, folder: Path) -> None:
    with pytest.raises(HubError, match="exists already"):
        pull(REPO, "v1.0.0", folder, api=api)


def test_pull_of_an_unknown_tag_is_an_error(
    hub: HubStandIn, api: HfApi, folder: Path, tmp_path: Path
) -> None:
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    with pytest.raises(HubError, match="no such repository, revision or file"):
        pull(REPO, "v9.9.9", tmp_path / "pulled", api=api)


LOAD = """
import json, datasets
loaded = {}
for tag in ("v1.0.0", "v1.1.0"):
    for config in datasets.get_dataset_config_names(REPO, revision=tag):
        whole = datasets.load_dataset(REPO, config, revision=tag, split="train")
        stream = datasets.load_dataset(REPO, config, revision=tag, split="train", streaming=True)
        assert list(stream) == list(whole)
        loaded[f"{tag} {config}"] = [whole.num_rows, whole[0]]
print(json.dumps(loaded))
"""


@pytest.mark.parametrize(
    "mode", ["xet", pytest.param("lfs", marks=pytest.mark.slow)], indirect=True
)
def test_datasets_loads_every_config_of_both_tags_whole_and_streamed(
    hub: HubStandIn, api: HfApi, folder: Path, run_python: Callable[[str], str]
) -> None:
    for version, rows in (("1.0.0", 20), ("1.1.0", 30)):
        write_two_configs(folder, rows)
        publish(folder, REPO, version, access=Access(private=True), api=api)
    printed = run_python(LOAD.replace("REPO", repr(REPO)))
    loaded = json.loads(printed.splitlines()[-1])
    assert {name: rows for name, (rows, _) in loaded.items()} == {
        "v1.0.0 default": 20,
        "v1.0.0 sums": 20,
        "v1.1.0 default": 30,
        "v1.1.0 sums": 30,
    }
    last = {"role": "assistant", "content": "0"}
    assert loaded["v1.0.0 default"][1]["messages"][-1] == last
    assert loaded["v1.1.0 sums"][1] == {"id": f"{0:032x}", "sum": 0}
    assert MANIFEST in hub.repositories[REPO].commits[hub.repositories[REPO].head]


def test_a_preview_tells_what_would_change_and_changes_nothing(
    hub: HubStandIn, api: HfApi, folder: Path
) -> None:
    first = preview(folder, REPO, "1.0.0", api=api)
    assert (first.exists, first.tag, first.delete) == (False, "v1.0.0", [])
    assert first.add == {name: (folder / name).stat().st_size for name in release_files(folder)}
    assert REPO not in hub.repositories
    publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)
    again = preview(folder, REPO, "1.0.0", api=api)
    assert (again.exists, again.tag, again.add, again.unchanged) == (True, None, {}, 3)
    (folder / "README.md").write_text(CARD.format(rows=20) + "One word more.\n")
    write_manifest(folder)
    with pytest.raises(HubError, match="a published tag is never moved"):
        preview(folder, REPO, "1.0.0", api=api)
    requests = len(hub.requests("^(POST|PUT) "))
    second = preview(folder, REPO, "1.0.1", api=api)
    assert (set(second.add), second.unchanged) == ({"README.md", MANIFEST}, 1)
    assert len(hub.requests("^(POST|PUT) ")) == requests


def test_a_gated_repository_is_made_so_once(hub: HubStandIn, api: HfApi, folder: Path) -> None:
    gated = Access(private=False, gated="manual")
    publish(folder, REPO, "1.0.0", access=gated, api=api)
    assert hub.repositories[REPO].gated == "manual"
    publish(folder, REPO, "1.0.0", access=gated, api=api)
    assert len(hub.requests("^PUT .*/settings")) == 1
    with pytest.raises(HubError, match=r"is public, gated \(manual\), but"):
        publish(folder, REPO, "1.0.0", access=Access(private=False), api=api)


def test_a_model_is_published_and_pulled(hub: HubStandIn, api: HfApi, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (folder / "model.safetensors").write_bytes(bytes(range(256)))
    write_manifest(folder)
    public = Access(private=False)
    publish(folder, REPO, "1.0.0", access=public, api=api, repo_type="model")
    pulled = pull(REPO, "v1.0.0", tmp_path / "pulled", api=api, repo_type="model")
    assert (pulled / "model.safetensors").read_bytes() == bytes(range(256))
    assert hub.requests("/api/models/")
    assert not hub.requests("/api/datasets/")
