import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in import HubStandIn

from stillhouse.release.package import write_release
from tests.release.release_fixture import CARDS, facts, write_tables

ROOT = Path(__file__).parents[2]
PARAMS = """teacher_ids: [tiny, worked]
package:
  namespace: tester
  name: parallel_sums
  version: 1.0.0
  license: Apache-2.0
  pretty_name: Parallel sums
  private: false
"""
PIPELINE = """stages:
  hello:
    cmd: echo hello
"""


class Project:
    """A git and DVC project that has two releases and can publish them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        binaries = str(Path(sys.executable).parent)
        self._environment = {**environment, "PATH": f"{binaries}:{environment['PATH']}"}
        for kind in ("AUTHOR", "COMMITTER"):
            self._environment |= {f"GIT_{kind}_NAME": "test", f"GIT_{kind}_EMAIL": "test@test"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def commit(self) -> str:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "all of it")
        return self.run("git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def project(tmp_path: Path, hub_environment: dict[str, str]) -> Project:
    folder = tmp_path / "project"
    for name in ("publish", "stages"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "publish" / "dvc.yaml", folder / "publish")
    shutil.copy(ROOT / "stages" / "publish.py", folder / "stages")
    # The code that the stage depends on, at its place: DVC hashes it.
    shutil.copytree(
        ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/data/\n__pycache__/\n")
    tables = write_tables(tmp_path / "tables")
    write_release(folder / "data" / "release", tables, facts(), CARDS)
    project = Project(folder, hub_environment)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    project.run("dvc", "config", "core.analytics", "false")
    project.commit()
    return project


@pytest.mark.slow
def test_publish_is_asked_for_by_name_and_leaves_receipts(
    hub: HubStandIn, project: Project
) -> None:
    plain = project.run("dvc", "repro")
    assert plain.returncode == 0, plain.stderr
    assert hub.log == []
    commit = project.commit()
    published = project.run("dvc", "repro", "publish/dvc.yaml")
    assert published.returncode == 0, published.stderr
    for teacher in ("tiny", "worked"):
        receipt = json.loads((project.folder / f"publish/receipts/{teacher}.json").read_text())
        repo = hub.repositories[f"tester/parallel_sums-{teacher}"]
        assert receipt["git_commit"] == commit
        assert receipt["commit"] == repo.tags["v1.0.0"] == repo.head
    requests = len(hub.log)
    assert "didn't change" in project.run("dvc", "repro", "publish/dvc.yaml").stdout
    assert len(hub.log) == requests


@pytest.mark.slow
def test_dirty_tree_is_refused(hub: HubStandIn, project: Project) -> None:
    (project.folder / "notes.txt").write_text("not committed")
    refused = project.run("dvc", "repro", "publish/dvc.yaml:publish@tiny")
    assert refused.returncode != 0
    assert "git tree is dirty (notes.txt)" in refused.stdout + refused.stderr
    assert hub.log == []


@pytest.mark.slow
def test_lint_errors_are_refused(hub: HubStandIn, project: Project) -> None:
    card = project.folder / "data" / "release" / "tiny" / "README.md"
    card.write_text(card.read_text().replace("license: apache-2.0\n", ""))
    refused = project.run("dvc", "repro", "publish/dvc.yaml:publish@tiny")
    assert refused.returncode != 0
    assert "no license in the head" in refused.stdout + refused.stderr
    assert hub.log == []
