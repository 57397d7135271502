"""Answers of three real models to the same 500 problems, replayed and verified by the stages' own functions.

The files are no part of the project: `../shared/data/traces`, or below what STILLHOUSE_SHARED_DATA names. Each row has
the `question`, the reference `answer`, a list `code` of answers, and another grader's verdict on them as `score`.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from stages import generate, verify
from stillhouse import layout
from stillhouse.files import read_json
from stillhouse.params.queries import FileSource
from stillhouse.params.stage import StageParams
from stillhouse.queries.sources import load_source
from stillhouse.records import Query, Verdict
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.doubles.scripted_endpoint import ScriptedEndpoint, completion

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(os.environ.get("STILLHOUSE_SHARED_DATA", ROOT / "../shared/data")) / "traces"
TEACHERS = {
    "qwen2_5_14b": "math500_Qwen2.5-14B-Instruct.jsonl",
    "qwen2_5_math_7b": "math500_Qwen2.5-Math-7B.jsonl",
    "gemma_2_27b": "math500_gemma-2-27b-it.jsonl",
}
# The other grader is not the truth; where it and ours differ it is mostly on how a result may be written.
LEAST_AGREEMENT = 0.95

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TRACES.is_dir(), reason=f"{TRACES} is not here"),
]


def tracked(tiny_model: Path) -> dict[str, Any]:
    content: dict[str, Any] = {
        "run": {"name": "traces", "seed": 1},
        "generate": {"max_attempts": 2},
        "verify": {
            "threshold": 0.9,
            "judge": {"model": "judge", "math": "never", "science": "never"},
            "item_cpu_seconds": 10.0,
            "code": {
                "isolation": "rlimits",
                "max_tests": 1,
                "test_seconds": 1.0,
                "total_seconds": 1.0,
                "memory_mb": 256,
            },
        },
    }
    for teacher, file in TEACHERS.items():
        content[f"conf/teachers/{teacher}.yaml:teacher"] = {
            "label": teacher,
            "engine": "replay",
            "model": teacher,
            "revision": "none",
            "license": "apache-2.0",
            "replay": {
                "kind": "file",
                "path": f"inputs/{file}",
                "columns": {"prompt": "question", "text": "code"},
            },
            "tokenizer": {"model": f"path:{tiny_model}", "revision": "0" * 40},
        }
    content["conf/teachers/judge.yaml:teacher"] = {
        "label": "judge",
        "engine": "openai",
        "model": "judge",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
    }
    return content


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path):
    """The three replays, generated and verified; half of the second teacher's file is missing."""
    folder = tmp_path_factory.mktemp("traces")
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedEndpoint(lambda _: completion("no")) as endpoint,
    ):
        patch.chdir(folder)
        patch.setenv("STILLHOUSE_JOURNAL", "journal")
        Path("inputs").mkdir()
        for file in TEACHERS.values():
            shutil.copy(TRACES / file, f"inputs/{file}")
        source = FileSource(
            id="math500",
            kind="file",
            category="math",
            license="mit",
            path=f"inputs/{TEACHERS['qwen2_5_14b']}",
            columns={"prompt": "question", "ground_truth": "answer"},
        )
        write_table(layout.CURATED_QUERIES, Query, load_source(source, 1))
        half = Path(f"inputs/{TEACHERS['qwen2_5_math_7b']}")
        lines = half.read_text().splitlines(keepends=True)
        half.write_text("".join(lines[:250]) + json.dumps({"question": "Which?", "code": ["1"]}))
        content = tracked(tiny_model)
        Path("conf/teachers").mkdir(parents=True)
        for name in (*TEACHERS, "judge"):
            teacher = content[f"conf/teachers/{name}.yaml:teacher"]
            file = {"teacher": teacher, "perplexity_cut": None}
            Path(f"conf/teachers/{name}.yaml").write_text(json.dumps(file))
        runtime = {"defaults": {"teachers": {"endpoints": [endpoint.url]}}}
        Path("conf/runtime.yaml").write_text(json.dumps(runtime))
        states: dict[str, dict[str, str]] = {}
        for teacher in TEACHERS:
            params = StageParams(f"generate@{teacher}", content)
            generate.run(teacher, params)
            queries = {query.id: query for query in read_table(layout.CURATED_QUERIES, Query)}
            verify.run(teacher, params)
            verdicts = read_table(Path("data/verdicts") / teacher, Verdict)
            states[teacher] = {queries[v.query_id].prompt: v.state for v in verdicts}
        yield folder, states


def test_every_answer_finds_its_query(project):
    folder, _ = project
    for teacher in ("qwen2_5_14b", "gemma_2_27b"):
        metrics = read_json(folder / f"metrics/generate/{teacher}.json")
        assert metrics["unmatched"] == {"rows": 500, "matched": 500, "queries": 0, "answers": 0}
        assert metrics["queries_by_stop"].keys() == {"accepted", "no_answer"}
        assert metrics["attempts"] == 500


def test_what_finds_none_is_counted_and_listed(project):
    folder, _ = project
    metrics = read_json(folder / "metrics/generate/qwen2_5_math_7b.json")
    assert metrics["unmatched"] == {"rows": 251, "matched": 250, "queries": 250, "answers": 1}
    lines = (folder / "data/responses/qwen2_5_math_7b/unmatched.jsonl").read_text().splitlines()
    assert len(lines) == 251
    assert json.loads(lines[-1])["asked"] == "Which?"


@pytest.mark.parametrize("teacher", TEACHERS)
def test_our_verdicts_agree_with_another_grader(project, teacher):
    _, states = project
    rows = [json.loads(line) for line in (TRACES / TEACHERS[teacher]).open()]
    others = {row["question"].strip(): bool(row["score"][0]) for row in rows}
    ours = states[teacher]
    assert len(ours) >= 250
    agreed = sum((state == "pass") == others[prompt] for prompt, state in ours.items())
    print(teacher, agreed, len(ours), sum(state == "ungradable" for state in ours.values()))
    assert agreed / len(ours) >= LEAST_AGREEMENT
