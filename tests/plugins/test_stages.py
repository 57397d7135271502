"""One small run through the stage scripts with a plugin of every kind."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stillhouse import plugins
from stillhouse.params.files import read_yaml
from stillhouse.params.stage import StageParams
from stillhouse.records import Decision, Example, Perplexity, Query, Rejected, Verdict
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.plugins.conftest import EXAMPLES, ROOT

# What the teacher prints: a right date, a wrong one, a right one after many equal lines.
ANSWERS = {
    "spring": "In spring:\n2024-04-01",
    "autumn": "2024-04-01",
    "winter": "Snow.\n" * 9 + "2024-01-01",
}
SCRIPT = f"""
import json, sys
prompt = json.load(sys.stdin)[-1]["content"]
print(next(text for word, text in {ANSWERS!r}.items() if word in prompt))
"""
DATES = [
    ("Name any day of spring 2024, as a date alone in the last line.", r"2024-0[345]-\d\d"),
    ("Which day of autumn would you choose for a walk?", r"2024-(09|10|11)-\d\d"),
    ("The coldest day of winter, please!", r"2024-(12|01|02)-\d\d"),
    ("A question that stands in the benchmark too.", r"2024-\d\d-\d\d"),
]


def stage(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mine_{name}", ROOT / f"stages/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_csv(path: str, rows: list[tuple[str, str]]) -> None:
    lines = ["question,answer", *(f'"{question}",{answer}' for question, answer in rows)]
    Path(path).write_text("\n".join(lines) + "\n")


@pytest.fixture
def project(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A project whose plugins are copies of the examples; returns its parameters as its stages track them."""
    shutil.copytree(ROOT / "examples", "mine_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    write_csv("inputs/dates.csv", DATES)
    write_csv("inputs/held_out.csv", [DATES[-1]])
    params = read_yaml(ROOT / "params.yaml")
    params["plugins"] = [name.replace("examples", "mine_plugins") for name in EXAMPLES]
    params["queries"]["sources"] = [
        {
            "id": "dates",
            "kind": "plugin",
            "category": "other",
            "license": "mit",
            "adapter": "csv",
            "config": {"path": "inputs/dates.csv", "prompt": "question", "ground_truth": "answer"},
            "verifier": "regex",
        }
    ]
    params["benchmark"]["tasks"] = [
        {
            "id": "held_out",
            "kind": "plugin",
            "plugin": "csv",
            "config": {"path": "inputs/held_out.csv"},
            "count": 1,
            "samples": 1,
            "verifier": "regex",
        }
    ]
    params["generate"]["max_attempts"] = 1
    params["filter"]["rules"] = [{"repeated_lines": {"max_share": 0.5}}]
    teacher = {
        "label": "scripted command",
        "engine": "plugin",
        "plugin": {"name": "command", "config": {"argv": [sys.executable, "-c", SCRIPT]}},
        "model": "script",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64},
    }
    params["verify"]["judge"]["model"] = "scripted"  # it is never asked
    Path("conf/teachers").mkdir(parents=True)
    file = {"teacher": teacher, "perplexity_cut": None}
    Path("conf/teachers/scripted.yaml").write_text(json.dumps(file))
    Path("params.yaml").write_text(json.dumps(params))  # JSON is YAML
    tracked = params | {f"conf/teachers/scripted.yaml:{key}": part for key, part in file.items()}
    monkeypatch.setenv("STILLHOUSE_JOURNAL", "journal")
    plugins.load(params["plugins"])
    return tracked


def run(
    monkeypatch: pytest.MonkeyPatch, project: dict[str, Any], name: str, *arguments: str
) -> None:
    script = stage(name)
    monkeypatch.setattr(script, "load_stage", lambda: StageParams(name, project))
    script.main.callback(*arguments)


def test_plugins_of_every_kind_from_queries_to_decisions(project, monkeypatch):
    run(monkeypatch, project, "benchmark_items")
    run(monkeypatch, project, "queries")
    queries = {q.prompt: q for q in read_table(Path("data/queries/curated"), Query)}
    assert set(queries) == {question for question, _ in DATES[:3]}
    assert {q.verifier for q in queries.values()} == {"regex"}
    (rejected,) = read_table(Path("data/queries/rejected"), Rejected)
    assert rejected.query.prompt == DATES[-1][0], "it is in the plugin's benchmark"

    run(monkeypatch, project, "generate", "scripted")
    run(monkeypatch, project, "verify", "scripted")
    verdicts = {v.query_id: v for v in read_table(Path("data/verdicts/scripted"), Verdict)}
    found = {
        word: verdicts[query.id]
        for prompt, query in queries.items()
        for word in ANSWERS
        if word in prompt
    }
    assert {v.verifier for v in found.values()} == {"regex"}
    assert {word: v.state for word, v in found.items()} == {
        "spring": "pass",
        "autumn": "fail",
        "winter": "pass",
    }
    assert found["spring"].checks[0].answer == "2024-04-01"

    rows = [
        Perplexity(response_id=v.response_id, perplexity=2.0, tokens=9)
        for v in sorted(verdicts.values(), key=lambda v: v.response_id)
    ]
    write_table(Path("data/perplexity/scripted"), Perplexity, rows)
    run(monkeypatch, project, "filter", "scripted")
    reasons = {
        d.query_id: d.reason for d in read_table(Path("data/filtered/scripted/decisions"), Decision)
    }
    assert {word: reasons[v.query_id] for word, v in found.items()} == {
        "spring": None,
        "autumn": "not_verified",
        "winter": "repeated_lines",
    }
    (kept,) = read_table(Path("data/filtered/scripted/accepted"), Example)
    assert (kept.verifier, kept.answer) == ("regex", ANSWERS["spring"])
    metrics = json.loads(Path("metrics/filter/scripted.json").read_text())
    assert metrics["dropped"] == {"not_verified": 1, "repeated_lines": 1}
    assert {"rule": "repeated_lines", "kept": 1, "dropped": 1} in metrics["rules"]
    effort = json.loads(Path("metrics/effort/filter/scripted.json").read_text())
    assert set(effort["seconds"]) == {row["rule"] for row in metrics["rules"]}


def test_a_second_run_asks_and_grades_nothing(project, monkeypatch):
    for name, *arguments in (
        ["benchmark_items"],
        ["queries"],
        ["generate", "scripted"],
        ["verify", "scripted"],
    ):
        run(monkeypatch, project, name, *arguments)
    effort = Path("metrics/effort/scripted.json")
    assert json.loads(effort.read_text())["asked"] == 3

    async def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was graded")

    monkeypatch.setattr("stillhouse.verify.pool.Pool.run", refuse)
    run(monkeypatch, project, "generate", "scripted")
    run(monkeypatch, project, "verify", "scripted")
    assert json.loads(effort.read_text())["asked"] == 0
