"""Plugins on the command line: `params check` finds wrong uses, and `verify check` grades with a plugin's verifier."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stillhouse.cli import main
from stillhouse.cli.check import survey
from stillhouse.params.files import read_yaml
from tests.plugins.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default project, with the examples as its plugins."""
    for name in ("conf", "params.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "mine_plugins", ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(**changes: Any) -> None:
    """Change sections of params.yaml: `filter={"rules": [...]}`."""
    params = read_yaml(Path("params.yaml"))
    for key, value in changes.items():
        params[key] = params[key] | value if isinstance(value, dict) else value
    Path("params.yaml").write_text(json.dumps(params))


def faults() -> list[str]:
    return survey(Path(), Path()).faults


def test_a_sound_use_has_no_faults(project: Path) -> None:
    edit(
        plugins=["mine_plugins.repeated_lines"],
        filter={"rules": [{"repeated_lines": {"max_share": 0.5}}]},
    )
    assert faults() == []


def test_each_wrong_use_is_a_line(project: Path) -> None:
    source = {"id": "a", "kind": "plugin", "category": "other", "license": "mit"}
    task = {"id": "t", "kind": "plugin", "count": 1, "samples": 1}
    edit(
        plugins=["mine_plugins.csv_source", "mine_plugins.command_engine"],
        filter={"rules": ["nobody"]},
        queries={"sources": [source | {"adapter": "csv", "config": {"path": "x"}}]},
        benchmark={"tasks": [task | {"plugin": "csv", "verifier": "regex"}]},
    )
    path = Path("conf/teachers/worked.yaml")
    teacher = read_yaml(path)
    teacher["teacher"] |= {
        "engine": "plugin",
        "plugin": {"name": "command", "config": {"arg": []}},
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
    }
    path.write_text(json.dumps(teacher))
    said = faults()
    assert [line.partition(": ")[0] for line in said] == [
        "params.yaml",
        "params.yaml",
        "params.yaml",
        "params.yaml",
        "conf/teachers/worked.yaml",
    ]
    assert "filter.rules: nobody: no plugin registers the filter rule" in said[0]
    assert "queries.sources.0.config: source adapter 'csv': missing" in said[1]
    assert "benchmark.tasks.0.verifier: no plugin registers the verifier 'regex'" in said[2]
    assert "benchmark.tasks.0.config: no plugin registers the benchmark task 'csv'" in said[3]
    assert "teacher.plugin: engine 'command'" in said[4]
    assert "it takes: argv" in said[4]


def test_a_module_that_cannot_be_imported_is_one_line(project: Path) -> None:
    (project / "mine_plugins/broken.py").write_text("import nothing_here\n")
    edit(plugins=["mine_plugins.broken"])
    (said,) = faults()
    assert said.startswith("params.yaml: plugins: plugin mine_plugins.broken cannot be imported")


def check(rows: list[dict[str, Any]]) -> tuple[Result, list[dict[str, Any]]]:
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["verify", "check", "in.jsonl", "--out", "out.jsonl", "--workers", "1"]
    done = CliRunner().invoke(main, command)
    if done.exit_code != 0:
        return done, []
    return done, [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]


def test_answers_are_graded_by_a_verifier_of_a_plugin(project: Path) -> None:
    edit(plugins=["mine_plugins.regex_verifier"])
    row = {"id": "a", "category": "other", "prompt": "Which day?", "ground_truth": r"\d+"}
    done, rows = check(
        [
            row | {"response": "<think>Hm.</think>Day\n12", "verifier": "regex"},
            row | {"response": "Day 12", "verifier": "regex"},
            row | {"response": "12", "verifier": "nobody"},
        ]
    )
    assert done.exit_code == 0, done.output
    found = [(r["state"], r["reason"], r["verifier"], r["answer"]) for r in rows]
    assert found == [
        ("pass", None, "regex", "12"),
        ("fail", "wrong_answer", "regex", "Day 12"),
        ("ungradable", "bad_row", "row", None),
    ]
    assert "no plugin registers the verifier 'nobody'; registered: regex" in rows[2]["evidence"]


def test_a_broken_plugin_ends_the_command_with_one_line(project: Path) -> None:
    (project / "mine_plugins/broken.py").write_text("1 / 0\n")
    edit(plugins=["mine_plugins.broken"])
    done, _ = check([])
    assert done.exit_code == 2
    assert "plugin mine_plugins.broken cannot be imported: ZeroDivisionError" in done.output
