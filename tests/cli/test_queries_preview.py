"""`stillhouse queries preview`: rows as they would be read, with nothing of the pipeline run before."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from stillhouse.cli import main
from tests.cli.json_output import document

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    {"text": "Write double(x).", "test_list": ["assert double(1) == 2", "assert double(2) == 4"]},
    {"text": "Print \x1b[31m1.", "test_list": ["assert ("]},
    {"text": "Write half(x).", "test_list": []},
    {"text": "Write one(x).", "test_list": ["assert one(1) == 1"]},
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that was never run, with one source."""
    monkeypatch.chdir(tmp_path)
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["queries"]["sources"] = [
        {
            "id": "tasks",
            "kind": "file",
            "category": "code",
            "license": "cc-by-4.0",
            "path": "inputs/tasks.jsonl",
            "columns": {"prompt": "text", "tests": "test_list"},
            "constants": {"language": "python"},
        }
    ]
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    Path("inputs").mkdir()
    Path("inputs/tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["queries", "preview", *arguments])


def test_rows_are_shown_as_they_would_be_read(project: None) -> None:
    done = run("tasks")
    assert done.exit_code == 0, done.output
    assert "  | Write double(x)." in done.output
    assert "tests: 2 (python); the first:\n    assert double(1) == 2" in done.output
    assert "row 2 rejected: invalid_tests" in done.output
    assert "row 3 rejected: no_tests" in done.output
    assert "tasks: 4 rows read, 2 queries, 2 rejected" in done.output
    assert "fails above a share of 0.2" in done.output
    assert "\x1b" not in done.output
    assert not Path("data").exists()


def test_the_number_of_rows_is_limited(project: None) -> None:
    found = document("queries", "preview", "tasks", "--rows", "2")
    assert (found["read"], found["queries"], found["rejected"]) == (2, 1, {"invalid_tests": 1})
    first, second = found["rows"]
    assert (first["kind"], first["tests"], first["references"]) == ("query", 2, [])
    assert (second["kind"], second["row"], second["reason"]) == ("rejection", 2, "invalid_tests")


def test_what_is_wrong_with_the_source_is_told(project: None) -> None:
    done = run("taks")
    assert (done.exit_code, done.output) == (2, "no query source 'taks'; there are: tasks\n")
    Path("inputs/tasks.jsonl").unlink()
    done = run("tasks")
    assert done.exit_code == 2
    assert "inputs/tasks.jsonl: no such file" in done.output
