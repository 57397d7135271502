"""The stage `code` under DVC, and the refusal of code that it has not recorded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.code_hash.record import record, refuse_stale
from stillhouse.code_hash.source import CodeHashError
from tests.code_hash.test_meaning import BASE, RULES, Tree

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = """stages:
  code:
    cmd: python stages/code_hash.py
    deps: [src, stages, requirements]
    outs: [code]
  filter:
    cmd: python stages/filter.py
    deps: [code/filter.sha256]
    outs: [data]
"""
STAGE = '''
"""The stage."""
from pathlib import Path

from house.room.rules import keep

from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Run it."""
    Path("data").write_text(str(keep("one")))


main()
'''


def test_the_record_has_one_file_per_stage_and_old_ones_go(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("stages/other.py", "x = 1\n")
    record(tmp_path)
    assert sorted(p.name for p in (tmp_path / "code").iterdir()) == [
        "filter.sha256",
        "inputs.json",
        "other.sha256",
        "plugins.sha256",
    ]
    (tmp_path / "stages/other.py").unlink()
    record(tmp_path)
    assert not (tmp_path / "code/other.sha256").exists()
    assert (tmp_path / "code/filter.sha256").read_text() == tree.digest() + "\n"


def test_a_stale_record_is_refused_and_a_comment_is_not(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with pytest.raises(CodeHashError, match=r"no hash .* run `dvc repro -s code`"):
        refuse_stale(tmp_path, "filter")
    record(tmp_path)
    refuse_stale(tmp_path, "filter")
    tree.replace(RULES, "# a comment", "# another")
    refuse_stale(tmp_path, "filter")
    tree.replace(RULES, "least: int = 1", "least: int = 2")
    with pytest.raises(CodeHashError, match=r"has changed since; run `dvc repro -s code`"):
        refuse_stale(tmp_path, "filter")
    record(tmp_path)
    refuse_stale(tmp_path, "filter")


def test_a_stage_is_refused_whose_plugins_have_changed_since(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("params.yaml", "plugins: [plugins.mine]\n")
    tree.write("plugins/mine.py", "x = 1\n")
    record(tmp_path)
    tree.replace("plugins/mine.py", "1", "2")
    with pytest.raises(CodeHashError, match=r"plugins\.sha256: .* run `dvc repro -s code`"):
        refuse_stale(tmp_path, "filter")


class Repository:
    """A git and DVC repository with two stages."""

    def __init__(self, folder: Path) -> None:
        self.tree = Tree(folder)
        self.tree.write("dvc.yaml", PIPELINE)
        self.tree.write("stages/filter.py", STAGE)
        shutil.copy(ROOT / "stages/code_hash.py", folder / "stages")
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "src/stillhouse", folder / "src/stillhouse", ignore=ignored)
        for path in (ROOT / "requirements").iterdir():
            shutil.copy(path, folder / "requirements")
        for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            assert self.run(*command).returncode == 0
        shutil.copy(ROOT / ".dvcignore", folder)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        folder = self.tree.root
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "DVC_NO_ANALYTICS": "1",
        }
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    def repro(self, *arguments: str) -> list[str]:
        """Return the stages that `dvc repro` ran."""
        done = self.run("dvc", "repro", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"Running stage '([^']+)'", done.stdout)


def test_under_dvc_a_docstring_runs_code_alone_and_a_single_item_refuses_stale_code(
    tmp_path: Path,
) -> None:
    repository = Repository(tmp_path)
    assert repository.repro() == ["code", "filter"]
    assert repository.repro() == []
    repository.tree.replace(RULES, '"""Whether a text is kept."""', '"""Whether it is."""')
    assert repository.repro() == ["code"]
    repository.tree.replace(BASE, "return len(text)", "return 9 * len(text)")
    # DVC itself sees no change before `code` has run; what starts the stage anyway is refused.
    refused = repository.run("dvc", "repro", "--single-item", "--force", "filter")
    assert refused.returncode != 0
    assert "filter: code/filter.sha256: the code of this stage has changed since" in refused.stderr
    assert "run `dvc repro -s code`" in refused.stderr
    assert repository.repro("-s", "code") == ["code"]
    assert repository.repro("--single-item", "filter") == ["filter"]
