import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.package.write import write_release
from tests.hub.stand_in import HubStandIn
from tests.package.release_fixture import CARDS, facts, write_tables

ROOT = Path(__file__).parents[2]
PARAMS = """compared_ids: [tiny, worked]
controls: {alias: [], shuffled: []}
package:
  namespace: tester
  name: parallel_sums
  version: 1.0.0
  license: Apache-2.0
  pretty_name: Parallel sums
  private: false
"""
PIPELINE = """stages:
  code:
    cmd: python stages/code_hash.py
    deps:
      - src
      - stages
    outs:
      - code
  package:
    cmd: cp -r {prepared} data/release
    outs:
      - data/release
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
def project(tmp_path: Path, hub: HubStandIn, hub_environment: dict[str, str]) -> Project:
    folder = tmp_path / "project"
    (folder / "publish").mkdir(parents=True)
    shutil.copy(ROOT / "publish" / "dvc.yaml", folder / "publish")
    # The code of the stages, at its place: its hash is one of their deps.
    for name in ("stages", "src", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "params.yaml").write_text(PARAMS)
    prepared = tmp_path / "prepared"
    (folder / "dvc.yaml").write_text(PIPELINE.format(prepared=prepared))
    (folder / ".gitignore").write_text("/code/\n/data/\n__pycache__/\n")
    cards = shutil.copytree(CARDS, tmp_path / "cards")
    with (cards / "changelog.md").open("a") as changelog:
        changelog.write("- **1.0.0**: the release of this test.\n")
    write_release(prepared, write_tables(tmp_path / "tables"), facts(), cards)
    project = Project(folder, hub_environment)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    shutil.copy(ROOT / ".dvcignore", folder)  # else byte code counts as changed code
    project.run("dvc", "config", "core.analytics", "false")
    project.run("dvc", "remote", "add", "-d", "here", str(tmp_path / "remote"))
    (folder / "data").mkdir()
    assert project.run("dvc", "repro").returncode == 0
    assert project.run("dvc", "push").returncode == 0
    assert hub.log == []  # a plain repro publishes nothing
    project.commit()
    return project


@pytest.mark.slow
def test_publish_is_asked_for_by_name_and_leaves_receipts(
    hub: HubStandIn, project: Project
) -> None:
    commit = project.commit()
    published = project.run("dvc", "repro", "--single-item", "publish/dvc.yaml:publish")
    assert published.returncode == 0, published.stdout + published.stderr
    for folder in ("tiny", "worked", "parallel"):
        repo_id = f"tester/parallel_sums-{folder}"
        for done in ("sent", "read back"):  # with bytes and time
            line = rf"^{repo_id}: {done} (\d+) of \1 files, ([\d.]+ kB) of \2, \d+ s$"
            assert re.search(line, published.stdout, re.MULTILINE), published.stdout
        receipt = json.loads((project.folder / f"publish/receipts/{folder}.json").read_text())
        repo = hub.repositories[repo_id]
        assert receipt["git_commit"] == commit
        assert receipt["commit"] == repo.tags["v1.0.0"] == repo.head
    requests = len(hub.log)
    assert (
        "didn't change"
        in project.run("dvc", "repro", "--single-item", "publish/dvc.yaml:publish").stdout
    )
    assert len(hub.log) == requests


def refused(project: Project) -> str:
    done = project.run("dvc", "repro", "--single-item", "publish/dvc.yaml:publish")
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.slow
def test_what_is_not_ready_is_refused(hub: HubStandIn, project: Project, tmp_path: Path) -> None:
    notes = project.folder / "notes.txt"
    notes.write_text("not committed")
    assert "git tree is dirty (notes.txt)" in refused(project)
    notes.unlink()
    pipeline = project.folder / "dvc.yaml"
    committed = pipeline.read_text()
    pipeline.write_text(committed.replace("cp -r", "cp -R"))
    project.commit()
    assert "the pipeline is not up to date (package)" in refused(project)
    pipeline.write_text(committed)
    project.commit()
    shutil.move(tmp_path / "remote", tmp_path / "elsewhere")
    assert "data is not in the DVC remote" in refused(project)
    shutil.move(tmp_path / "elsewhere", tmp_path / "remote")
    assert hub.log == []


@pytest.mark.slow
def test_lint_errors_are_refused(hub: HubStandIn, project: Project, tmp_path: Path) -> None:
    card = tmp_path / "prepared/tiny/README.md"
    card.write_text(card.read_text().replace("license: apache-2.0\n", ""))
    pipeline = project.folder / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("cp -r", "cp -R"))
    assert project.run("dvc", "repro").returncode == 0
    assert project.run("dvc", "push").returncode == 0
    project.commit()
    assert "no license in the front matter" in refused(project)
    assert hub.log == []
