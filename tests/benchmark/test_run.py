import asyncio
import hashlib
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML

from stillhouse.benchmark import run
from stillhouse.benchmark.grade import GradingError, Marks
from stillhouse.benchmark.items import Item
from stillhouse.benchmark.run import BenchmarkError, run_lighteval, sample_seed
from stillhouse.benchmark.spec import SPEC_VARIABLE
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.load import load_run, load_student
from stillhouse.params.stage import StageParams
from stillhouse.params.verify import Verify
from stillhouse.records import Sample
from stillhouse.tables.read import read_table

ROOT = Path(__file__).parents[2]
EVAL_PYTHON = Path(os.environ.get(run.ENVIRONMENT_VARIABLE, ".venv-eval/bin/python"))
needs_lighteval = pytest.mark.skipif(not EVAL_PYTHON.is_file(), reason="no lighteval environment")


class DoubleEngine:
    """Answers with a box around the item's own number; sample 1 is off by one; item 3's sample 0 is cut after it."""

    concurrency = 4
    fingerprint: ClassVar[dict[str, Any]] = {"engine": "double"}
    journaled = False

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def render(self, request: Request) -> str:
        return request.messages[-1].content

    async def close(self) -> None:
        pass

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        number = int(request.messages[-1].content.split()[0])
        cut = number == 3 and request.attempt == 0
        given = number + request.attempt
        return Completion(
            text=f"<think>\\boxed{{{number}}}</think> It is \\boxed{{{given}}}",
            finish_reason="length" if cut else "stop",
            prompt_tokens=3,
            completion_tokens=10 + number,
        )


class DoubleGrader:
    """Finds every answer right, without a look at it."""

    async def grade(self, item: Item, completion: Completion) -> Marks:
        return Marks(1.0, 1.0, None, unread=False)


class BrokenDoubleGrader:
    """Cannot grade, as on a machine whose workers are killed."""

    async def grade(self, item: Item, completion: Completion) -> Marks:
        raise GradingError("the workers die")


class BrokenDoubleEngine:
    """Fails as an engine does that lost its device."""

    async def complete(self, request: Request) -> Completion:
        raise EngineError("the device is gone")


def task(task_id: str, count: int, samples: int, instruction: str = "") -> BenchmarkTask:
    return BenchmarkTask(
        id=task_id,
        kind="file",
        path="inputs/unused.jsonl",
        count=count,
        samples=samples,
        instruction=instruction,
    )


def items_of(tasks: list[BenchmarkTask]) -> dict[str, list[Item]]:
    return {
        t.id: [Item(f"{t.id}{i}", t.id, f"{i} is what?", str(i)) for i in range(t.count)]
        for t in tasks
    }


def test_seeds_are_63_bits_and_differ_in_every_part() -> None:
    base = ("sums", "item", 0, 1)
    others = [
        ("sum", "item", 0, 1),
        ("sums", "itom", 0, 1),
        ("sums", "item", 1, 1),
        ("sums", "item", 0, 2),
    ]
    seeds = {sample_seed(*parts) for parts in [base, *others]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    framed = hashlib.sha256(json.dumps(list(base)).encode()).digest()
    assert sample_seed(*base) == int.from_bytes(framed[:8]) // 2


def test_missing_environment_says_make_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(BenchmarkError, match="make env"):
        asyncio.run(run_lighteval([], {}, DoubleEngine(), DoubleGrader(), 1, 1, tmp_path))


def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(path))


def test_a_failing_lighteval_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "echo it broke here; exit 3")
    tasks = [task("sums", 1, 1)]
    with pytest.raises(BenchmarkError, match=r"code 3.*\n.*it broke here"):
        asyncio.run(
            run_lighteval(tasks, items_of(tasks), DoubleEngine(), DoubleGrader(), 1, 1, tmp_path)
        )


def test_a_failing_engine_ends_lighteval_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "exec sleep 600")
    tasks = [task("sums", 1, 1)]
    with pytest.raises(EngineError, match="device is gone"):
        asyncio.run(
            run_lighteval(
                tasks, items_of(tasks), BrokenDoubleEngine(), DoubleGrader(), 1, 1, tmp_path
            )
        )


def test_an_answer_that_cannot_be_graded_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "exec sleep 600")
    tasks = [task("sums", 1, 1)]
    with pytest.raises(GradingError, match="the workers die"):
        asyncio.run(
            run_lighteval(
                tasks, items_of(tasks), DoubleEngine(), BrokenDoubleGrader(), 1, 1, tmp_path
            )
        )


def test_the_stage_tracks_what_decides_a_score() -> None:
    pipeline = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    tracked = [key for key in pipeline["stages"]["benchmark"]["params"] if isinstance(key, str)]
    assert tracked == [
        "plugins",
        "run.seed",
        "benchmark.tasks",
        "benchmark.sampling",
        "benchmark.score",
        "verify.item_cpu_seconds",
    ]
    assert "item_cpu_seconds" in Verify.model_fields


@pytest.mark.slow
@needs_lighteval
def test_the_stage_scores_what_the_student_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage script with lighteval and the grader; only the engine is a double."""
    tasks = [task("sums", 5, 2, "Box it."), task("gsm8k", 3, 1)]
    (tmp_path / "inputs").mkdir()
    for own in tasks:
        rows = [
            {"id": i.id, "prompt": i.prompt, "answer": i.answer} for i in items_of([own])[own.id]
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"inputs/{own.id}.jsonl").write_text(lines)
    params = load_run(ROOT)
    tracked = {
        "run": params.run.model_dump(),
        "benchmark": params.benchmark.model_dump()
        | {
            "tasks": [t.model_dump() | {"path": f"inputs/{t.id}.jsonl"} for t in tasks],
            "score": "lenient",
        },
        "verify": {"item_cpu_seconds": params.verify.item_cpu_seconds},
        "conf/students/smollm2_135m.yaml:student": load_student(
            "smollm2_135m", ROOT
        ).student.model_dump(),
    }
    engine = DoubleEngine()
    spec = importlib.util.spec_from_file_location("benchmark_stage", ROOT / "stages/benchmark.py")
    assert spec is not None
    assert spec.loader is not None
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(EVAL_PYTHON.absolute()))
    monkeypatch.setattr(stage, "load_stage", lambda: StageParams("benchmark", tracked))
    monkeypatch.setattr(stage, "load_student", lambda name: load_student(name, ROOT))
    monkeypatch.setattr(stage, "student_engine", lambda *_: engine)
    monkeypatch.chdir(tmp_path)
    stage.main.callback("worked", "smollm2_135m")

    samples = list(read_table(tmp_path / "data/samples/worked/smollm2_135m", Sample))
    assert len(engine.requests) == len(samples) == 13, "each sample is asked for once"
    assert {r.messages[-1].content for r in engine.requests} >= {
        "0 is what?\n\nBox it.",
        "0 is what?",
    }
    right = {(s.task, s.item_id, s.sample) for s in samples if s.score == 1.0}
    assert right == {("sums", f"sums{i}", 0) for i in range(5)} | {
        ("gsm8k", f"gsm8k{i}", 0) for i in range(3)
    }
    assert {s.item_id for s in samples if s.score_strict < s.score_lenient} == {"sums3"}
    assert {s.reason for s in samples} == {None, "wrong_answer"}
    metrics = json.loads((tmp_path / "metrics/benchmark/worked/smollm2_135m.json").read_text())
    assert metrics["sums"] == {
        "score": 0.5,
        "strict": 0.4,
        "lenient": 0.5,
        "finished": pytest.approx(0.4),  # item 3 has one finished answer, a wrong one
        "items": 5,
        "finished_items": 5,
        "samples": 10,
        "mean_tokens": 12.0,
        "truncated": pytest.approx(0.1),
        "unread": 0.0,
    }
    assert metrics["gsm8k"]["score"] == 1.0


@pytest.mark.slow
@needs_lighteval
def test_a_task_of_lighteval_s_own_keeps_its_prompt_and_scorer(tmp_path: Path) -> None:
    """Its items come from the Hub, so only the task is built here, and its prompt and scorer are called by hand."""
    entry = {
        "id": "aime24",
        "kind": "lighteval",
        "task": "aime24",
        "revision": None,
        "by_item": False,
        "samples": 4,
        "count": 2,
        "instruction": "\n\nBox it.",
    }
    (tmp_path / "spec.json").write_text(json.dumps({"tasks": [entry]}))
    script = """
import json, lighteval_main
lighteval_main._bind_package(); lighteval_main._leave_out_download()
import tasks
from lighteval.models.model_output import ModelResponse
(config,) = tasks.TASKS_TABLE
line = {"problem": "What is 2 + 2?", "answer": "004", "__index": 1}
doc = config.prompt_function(line, "aime")
(metric,) = config.metrics
answers = ["So \\\\boxed{4}.", "So \\\\boxed{5}.", "", "So \\\\boxed{4}."]
ends = ["stop", "stop", "stop", "length"]
doc.specific["stillhouse"]["answers"] = [
    {"answer": answer, "finish_reason": end, "marks": None} for answer, end in zip(answers, ends)
]
texts = ["<think>so</think>" + answer for answer in answers]
mean = metric.compute_sample(doc=doc, model_response=ModelResponse(text=texts))
past = config.prompt_function({**line, "__index": 2}, "aime")
samples = metric.sample_level_fn.num_samples()
marks = [answer["marks"] for answer in doc.specific["stillhouse"]["answers"]]
each = [[mark["strict"], mark["lenient"]] for mark in marks]
print(json.dumps([config.name, samples, doc.query, past, mean, each]))
"""
    done = subprocess.run(
        [str(EVAL_PYTHON), "-c", script],
        env={
            SPEC_VARIABLE: str(tmp_path / "spec.json"),
            "PYTHONPATH": str(Path(run.__file__).parent),
            "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    name, samples, query, past, mean, each = json.loads(done.stdout.splitlines()[-1])
    assert (name, samples, past) == ("stillhouse_aime24", 4, None)
    assert "What is 2 + 2?" in query
    assert query.endswith("\n\nBox it.")
    assert each == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    assert mean == {"pass_at_1_strict": 0.25, "pass_at_1_lenient": 0.5}
