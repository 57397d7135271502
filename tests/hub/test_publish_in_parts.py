"""A release of many files goes in parts to a pull request, and to the branch in one step."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from stillhouse.hashing import file_sha256
from stillhouse.hub.calls import HubError
from stillhouse.hub.publish import Access, publish
from stillhouse.hub.pull import pull
from stillhouse.package.manifest import release_files
from tests.hub.small_release import REPO, write_many_files
from tests.hub.stand_in import CUT, HubStandIn
from tests.hub.stand_in_repository import Repository

PUBLIC = Access(private=False)
FILES = 2
PART = "POST .*/commit/refs%2Fpr%2F1"
MERGE = "POST .*/discussions/1/merge"
REQUESTS = [
    r"GET .*/discussions\?",
    "POST .*/discussions$",
    r"GET .*/discussions/1\?",
    "GET .*/revision/refs%2Fpr%2F1",
    "GET .*/tree/refs%2Fpr%2F1",
    "POST .*/preupload/refs%2Fpr%2F1",
    "GET .*/xet-write-token/refs%2Fpr%2F1",
    PART,
    "POST .*/discussions/1/status",
    MERGE,
    "POST .*/tag/",
]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_many_files(tmp_path / "release", 1)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillhouse.hub.upload.FILES_PER_COMMIT", FILES)


def content_at(repo: Repository, commit: str) -> dict[str, str]:
    return {path: blob.sha256 for path, blob in repo.commits[commit].items() if path[0] != "."}


def content_of(folder: Path) -> dict[str, str]:
    return {name: file_sha256(folder / name) for name in release_files(folder)}


def published(hub: HubStandIn, folder: Path) -> bool:
    repo = hub.repositories[REPO]
    return (
        repo.titles == ["initial commit", "Release v1.0.0 (#1)"]
        and [request.status for request in repo.pull_requests.values()] == ["merged"]
        and repo.tags == {"v1.0.0": repo.head}
        and content_at(repo, repo.head) == content_of(folder)
    )


@pytest.mark.parametrize("mode", ["lfs", "xet"], indirect=True)
def test_each_version_is_one_step_of_the_branch(
    hub: HubStandIn, api: HfApi, many: Path, tmp_path: Path, mode: str
) -> None:
    first = content_of(many)
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    write_many_files(many, 2)
    publish(many, REPO, "1.1.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0 (#1)", "Release v1.1.0 (#2)"]
    for tag, wanted in (("v1.0.0", first), ("v1.1.0", content_of(many))):
        assert content_of(pull(REPO, tag, tmp_path / tag, api=api)) == wanted
    for request in repo.pull_requests.values():
        commits = repo.history(repo.heads[request.ref])
        commits = commits[: commits.index(request.base) + 1]
        assert len(commits) > 3
        for made, parent in pairwise(commits):
            before, after = repo.commits[parent].items(), repo.commits[made].items()
            assert 0 < len({path for path, _ in before ^ after}) <= FILES


def test_as_many_files_as_fit_are_one_commit(
    hub: HubStandIn, api: HfApi, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.hub.upload.FILES_PER_COMMIT", len(release_files(many)))
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.pull_requests == {}


def test_it_tells_files_bytes_and_time(
    hub: HubStandIn, api: HfApi, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.progress.LINE_SECONDS", 0)
    lines: list[str] = []
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api, report=lines.append)
    sent = [line for line in lines if "pull request 1: sent" in line]
    read = [line for line in lines if re.search(r"read back \d+ of ", line)]
    assert len(sent) == 4
    assert len(read) == 8
    for line in (sent[-1], read[-1]):
        assert re.search(r"8 of 8 files, (\d+\.\d kB) of \1, \d+ s$", line)


@pytest.mark.parametrize(("status", "after"), [(503, False), (CUT, True)])
@pytest.mark.parametrize("request_line", REQUESTS)
def test_a_fault_of_a_moment_changes_nothing(
    hub: HubStandIn, api: HfApi, many: Path, request_line: str, after: bool, status: int
) -> None:
    hub.fail(request_line, status, after=after)
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert hub.faults[0].times == 0
    assert published(hub, many)


@pytest.mark.parametrize("request_line", REQUESTS)
def test_interrupted_anywhere_the_next_try_goes_on(
    hub: HubStandIn, api: HfApi, many: Path, request_line: str
) -> None:
    hub.fail(request_line, 400, times=1000)
    with pytest.raises(HubError):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert hub.repositories[REPO].tags == {}
    hub.faults.clear()
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert published(hub, many)


def test_parts_that_are_there_are_not_sent_again(hub: HubStandIn, api: HfApi, many: Path) -> None:
    hub.run_after(PART, lambda: hub.fail(PART, 400, times=1000))
    with pytest.raises(HubError):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    hub.faults.clear()
    sent = len(hub.requests(PART))
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert len(hub.requests(PART)) - sent == 3
    assert published(hub, many)


def test_a_push_to_the_branch_meanwhile_is_refused(hub: HubStandIn, api: HfApi, many: Path) -> None:
    hub.run_after(PART, lambda: hub.push(REPO, {"theirs.txt": b"theirs"}) and None)
    with pytest.raises(HubError, match="a concurrent push moved main"):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "somebody else's commit"]
    assert repo.tags == {}
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert repo.titles[-1] == "Release v1.0.0 (#2)"
    assert repo.pull_requests[1].status == "draft"
    assert repo.tags == {"v1.0.0": repo.head}
    assert content_at(repo, repo.head) == content_of(many)


@pytest.mark.parametrize("path", ["theirs.txt", "README.md"])
def test_a_push_in_the_moment_of_merging_is_kept_and_not_tagged(
    hub: HubStandIn, api: HfApi, many: Path, path: str
) -> None:
    hub.run_before(MERGE, lambda: hub.push(REPO, {path: b"theirs"}) and None)
    with pytest.raises(HubError, match="a concurrent push moved main"):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.commits[repo.head][path].content == b"theirs"
    assert repo.tags == {}


def test_a_push_to_the_pull_request_is_refused(hub: HubStandIn, api: HfApi, many: Path) -> None:
    theirs = {"theirs.txt": b"theirs"}
    hub.run_after(PART, lambda: hub.push(REPO, theirs, "refs/pr/1") and None)
    with pytest.raises(
        HubError, match="somebody else pushed to refs/pr/1; close that pull request"
    ):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit"]
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert [request.status for request in repo.pull_requests.values()] == ["draft", "merged"]
    assert content_at(repo, repo.head) == content_of(many)


def test_a_push_to_the_complete_pull_request_is_not_merged(
    hub: HubStandIn, api: HfApi, many: Path
) -> None:
    theirs = {"theirs.txt": b"theirs"}
    hub.run_before(
        "GET .*/tree/refs%2Fpr%2F1", lambda: hub.push(REPO, theirs, "refs/pr/1") and None
    )
    with pytest.raises(HubError, match="pull request 1 differs from the release; close it"):
        publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert hub.repositories[REPO].titles == ["initial commit"]


@pytest.mark.parametrize("status", ["draft", "open"])
def test_a_foreign_pull_request_of_the_same_title_is_left_alone(
    hub: HubStandIn, api: HfApi, many: Path, status: str
) -> None:
    api.create_repo(REPO, repo_type="dataset", private=False)
    repo = hub.repositories[REPO]
    repo.open_pull_request("Release v1.0.0").status = status
    theirs = hub.push(REPO, {"README.md": b"theirs"}, "refs/pr/1")
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert repo.titles == ["initial commit", "Release v1.0.0 (#2)"]
    assert repo.heads["refs/pr/1"] == theirs
    assert repo.pull_requests[1].status == status


def test_a_pull_request_from_an_older_head_is_left_alone(
    hub: HubStandIn, api: HfApi, many: Path
) -> None:
    api.create_repo(REPO, repo_type="dataset", private=False)
    repo = hub.repositories[REPO]
    repo.open_pull_request("Release v1.0.0")
    hub.push(REPO, {"README.md": b"older"})
    publish(many, REPO, "1.0.0", access=PUBLIC, api=api)
    assert repo.titles[-1] == "Release v1.0.0 (#2)"
    assert content_at(repo, repo.head) == content_of(many)


PUBLISH = f"""
import sys
from itertools import pairwise
from pathlib import Path
from huggingface_hub import HfApi
from stillhouse.hub import upload as hub_upload
from stillhouse.hub.publish import Access, publish
hub_upload.FILES_PER_COMMIT = {FILES}
publish(Path(sys.argv[1]), sys.argv[2], "1.0.0", access=Access(private=False), api=HfApi())
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("request_line", REQUESTS)
def test_killed_anywhere_then_run_again(
    hub: HubStandIn,
    hub_environment: dict[str, str],
    run_killed: Callable[..., None],
    many: Path,
    request_line: str,
    after: bool,
) -> None:
    command = [sys.executable, "-c", PUBLISH, str(many), REPO]
    run_killed(command, request_line, after=after)
    done = subprocess.run(command, env=hub_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert published(hub, many)
