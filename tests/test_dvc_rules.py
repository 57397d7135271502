"""The traps that make DVC give stale or silent results, as rules over our own files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools.stage_code import missing_paths

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = [ROOT / "dvc.yaml", ROOT / "publish/dvc.yaml", ROOT / "publish/students/dvc.yaml"]
RUN_FILES = [
    ROOT / "params.yaml",
    *ROOT.glob("conf/*/*.yaml"),
    *ROOT.glob("profiles/*/params.yaml"),
    *ROOT.glob("profiles/*/conf/*/*.yaml"),
]


def keys(content: object) -> set[str]:
    if isinstance(content, dict):
        return set(content) | {key for value in content.values() for key in keys(value)}
    if isinstance(content, list):
        return {key for value in content for key in keys(value)}
    return set()


@pytest.mark.parametrize("path", PIPELINES + RUN_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_anchor_and_no_merge(path):
    # a shared default behind an anchor is not seen by `dvc exp run -S`
    assert not re.search(r"(^|\s)[&*][A-Za-z_]\w*\s*$|<<:", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_key_that_the_run_cache_ignores(path):
    assert not keys(YAML(typ="safe").load(path.read_text())) & {"size", "nfiles"}


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: str(p.relative_to(ROOT)))
def test_stages_are_described_cached_and_hold_ids_only(path):
    for name, stage in YAML(typ="safe").load(path.read_text())["stages"].items():
        assert stage.get("desc"), name
        assert not keys(stage) & {"persist", "always_changed"}, name
        templates = re.findall(r"\$\{([^}]+)\}", stage["cmd"])
        assert set(templates) <= {"item.teacher", "item.student", "item.seed"}, name
        if path.parent == ROOT:
            assert all(isinstance(out, str) for out in stage.get("outs", [])), name


def test_every_stage_depends_on_its_code_and_on_paths_that_exist():
    done = subprocess.run(
        [sys.executable, "tools/stage_code.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path",
    ["src/stillhouse.hub.transfer.py", "src/stillhouse/none.py", "conf/none", "data/none"],
)
def test_a_path_that_nothing_makes_is_named(path):
    stage = {"cmd": "python stages/queries.py", "deps": [path], "outs": ["data/queries"]}
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    found = missing_paths({"dvc.yaml": {"stages": {"queries": stage}}}, params)
    assert found == [f"dvc.yaml: queries: {path} does not exist"]


def test_what_the_stages_make_is_ignored_by_git():
    paths = ["data/queries", "models/a/b", "report/report.html", ".stillhouse/journal"]
    done = subprocess.run(
        ["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == paths
