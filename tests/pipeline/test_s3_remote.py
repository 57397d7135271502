"""`dvc push` and `dvc pull` against S3, for which moto's server stands in."""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillhouse.hub.readiness import (
    NotReadyError,
    refuse_missing_in_remote,
)

boto3 = pytest.importorskip("boto3", reason="needs the full environment: make env")
# Searched for and not imported: with Flask in the process, vLLM's tests fail in the same run.
if importlib.util.find_spec("moto") is None:
    pytest.skip("needs the full environment: make env", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "stillhouse-test"
KEY, SECRET = "ours-alone", "not-for-anybodys-eyes"
# As this project's own, after the commands of docs/how-to/remotes.md.
CONFIG = f"""[core]
    analytics = false
    autostage = false
    remote = store
['remote "store"']
    url = s3://{BUCKET}/stillhouse
    verify = true
"""
GONE = "http://127.0.0.1:9"  # the port of the discard service, where nobody listens
MAKE = """
from pathlib import Path
folder = Path("data/answers/shards")
folder.mkdir(parents=True)
for number in range(5):
    (folder / f"{number}.bin").write_bytes(bytes(range(256)) * 999 * number)
(folder.parent / "notes.txt").write_text("Caf\\u00e9\\n", encoding="utf-8")
"""
PIPELINE = """stages:
  answers:
    cmd: python make.py
    desc: Stands for a stage with a folder as its output
    deps: [make.py]
    outs: [data/answers]
"""


class Project:
    """A git and DVC project configured as this one is, but with its remote in S3."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tried(self, *command: str) -> tuple[int, str]:
        """Run a command; return its exit code and all that it said."""
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def run(self, *command: str) -> str:
        """Run a command that must work; return what it said."""
        code, said = self.tried(*command)
        assert code == 0, said
        return said

    def configure(self, endpoint: str, bucket: str = BUCKET) -> None:
        """Write what git must not see, as `dvc remote modify --local` does."""
        (self.folder / ".dvc/config.local").write_text(
            f"""['remote "store"']
    url = s3://{bucket}/stillhouse
    endpointurl = {endpoint}
    access_key_id = {KEY}
    secret_access_key = {SECRET}
"""
        )

    def outputs(self) -> dict[str, bytes]:
        """Return the files of the stage's output by their paths."""
        files = [path for path in (self.folder / "data").rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


class Store:
    """The running S3: its address, and its one bucket as an S3 client sees it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        self._client.create_bucket(Bucket=BUCKET)

    def objects(self) -> dict[str, bytes]:
        """Return all objects by their keys."""
        found = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        keys = [entry["Key"] for entry in found]
        return {k: self._client.get_object(Bucket=BUCKET, Key=k)["Body"].read() for k in keys}

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No account of whoever runs the tests, and one try: DVC's own waits are not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            patch.delenv(name, raising=False)
        for kind in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{kind}_NAME", "test")
            patch.setenv(f"GIT_{kind}_EMAIL", "test@test")
        yield


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        while server.poll() is None and not _listens(port):
            time.sleep(0.1)
        assert server.returncode is None, "moto's server has ended"
        yield Store(f"http://127.0.0.1:{port}")
        server.terminate()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Project:
    """A project that has run, with its data pushed and its cache kept."""
    folder = tmp_path_factory.mktemp("s3") / "project"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".gitignore", ".dvcignore", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc/config").write_text(CONFIG)
    (folder / "make.py").write_text(MAKE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    project = Project(folder)
    project.run("git", "init", "-q")
    project.configure(store.endpoint)
    project.run("dvc", "repro")
    project.run("dvc", "push")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "all of it")
    return project


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Project:
    """A fresh clone on another machine: no cache, no data, no settings of its own."""
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    return Project(tmp_path / "clone")


def test_a_fresh_clone_gets_every_byte_and_has_nothing_to_do(
    project: Project, clone: Project, store: Store
) -> None:
    assert clone.outputs() == {}
    clone.configure(store.endpoint)
    clone.run("dvc", "pull")
    assert len(clone.outputs()) == 6
    assert clone.outputs() == project.outputs()
    said = clone.run("dvc", "repro", "--dry")
    assert "didn't change" in said
    assert "Running stage" not in said


def test_git_knows_the_remote_and_no_credentials(project: Project, clone: Project) -> None:
    assert f"s3://{BUCKET}" in project.run("git", "grep", BUCKET, "HEAD")
    for credential in (KEY, SECRET):
        assert project.tried("git", "grep", credential, "HEAD") == (1, "")
    assert project.run("git", "status", "--porcelain") == ""
    assert not (clone.folder / ".dvc/config.local").exists()


def test_a_pull_from_a_server_that_is_gone_fails_and_leaves_nothing(clone: Project) -> None:
    clone.configure(GONE)
    code, output = clone.tried("dvc", "pull")
    assert code != 0
    assert "Could not connect to the endpoint URL" in output
    assert "failed to pull" in output
    assert SECRET not in output
    assert clone.outputs() == {}


def test_a_push_into_no_bucket_fails_and_names_it(project: Project, store: Store) -> None:
    before = store.objects()
    project.configure(store.endpoint, bucket="no-such-bucket")
    code, output = project.tried("dvc", "push")
    project.configure(store.endpoint)
    assert code != 0
    assert "The specified bucket does not exist" in output
    assert store.objects() == before


@pytest.mark.parametrize("kept", [0, 1000], ids=["lost", "half"])
def test_a_pull_of_what_the_bucket_lost_fails_and_leaves_no_half_file(
    project: Project, clone: Project, store: Store, kept: int
) -> None:
    key, content = max(store.objects().items(), key=lambda item: len(item[1]))
    store.delete(key)
    if kept:
        store.put(key, content[:kept])
    clone.configure(store.endpoint)
    code, output = clone.tried("dvc", "pull")
    store.put(key, content)
    assert code != 0
    assert "failed to pull" in output
    whole = project.outputs()
    assert clone.outputs().items() < whole.items()


def test_a_release_is_refused_when_data_is_not_in_the_bucket(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    refuse_missing_in_remote()
    listing = next(key for key in store.objects() if key.endswith(".dir"))
    content = store.objects()[listing]
    store.delete(listing)
    try:
        with pytest.raises(
            NotReadyError, match=r"data is not in the DVC remote \(data/answers\); run"
        ):
            refuse_missing_in_remote()
    finally:
        store.put(listing, content)


def test_a_release_is_refused_when_the_bucket_cannot_be_asked(
    project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    project.configure(GONE)
    try:
        with pytest.raises(NotReadyError, match=r"dvc status failed \(.*Could not connect"):
            refuse_missing_in_remote()
    finally:
        project.configure(store.endpoint)
