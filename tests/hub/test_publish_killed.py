"""Publishing killed before or after each of its requests, then run again."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.small_release import REPO
from tests.hub.stand_in import HubStandIn

PUBLISH = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
from stillhouse.hub.publish import Access, publish
publish(Path(sys.argv[1]), sys.argv[2], "1.0.0", access=Access(private=False), api=HfApi())
"""
TAG = "POST .*/tag/"
BY_XET = [
    "POST /api/repos/create",
    "GET .*/refs",
    "GET .*/tree/",
    "POST .*/preupload/",
    "GET .*/xet-write-token/",
    "POST /cas/v1/xorb-grants/",
    "PUT /cas/granted/",
    "POST /cas/v1/xorb-commits/",
    "POST /cas/v2/shards",
    "POST .*/commit/main",
    "GET .*/resolve/",
    "GET .*/xet-read-token/",
    "GET /cas/v2/reconstructions/",
    "GET /cas/bytes/",
    TAG,
]
BY_LFS = ["POST .*/lfs/objects/batch", "PUT /lfs/"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "request_line"),
    [*(("xet", line) for line in BY_XET), *(("lfs", line) for line in BY_LFS)],
    indirect=["mode"],
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_then_run_again(
    hub: HubStandIn,
    hub_environment: dict[str, str],
    run_killed: Callable[..., None],
    folder: Path,
    request_line: str,
    after: bool,
) -> None:
    command = [sys.executable, "-c", PUBLISH, str(folder), REPO]
    run_killed(command, request_line, after=after)
    repo = hub.repositories.get(REPO)
    tagged = bool(repo and repo.tags)
    assert tagged == (request_line == TAG)  # killed "before": it was received, and is carried out
    done = subprocess.run(command, env=hub_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    repo = hub.repositories[REPO]
    assert repo.titles == ["initial commit", "Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}
