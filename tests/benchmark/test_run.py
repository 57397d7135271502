import asyncio
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from stillhouse.benchmark import run, scores
from stillhouse.benchmark.grade import GradingError, Marks, StudentGrader
from stillhouse.benchmark.items import Item
from stillhouse.benchmark.run import BenchmarkError, run_lighteval, sample_seed
from stillhouse.benchmark.spec import SPEC_VARIABLE
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params import Benchmark, BenchmarkSampling, BenchmarkTask

EVAL_PYTHON = Path(os.environ.get(run.ENVIRONMENT_VARIABLE, ".venv-eval/bin/python"))
needs_lighteval = pytest.mark.skipif(not EVAL_PYTHON.is_file(), reason="no lighteval environment")


class DoubleEngine:
    """Answers with a box around the item's own number; sample 1 is off by one; item 3's sample 0 is cut after it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

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


@pytest.mark.slow
@needs_lighteval
def test_lighteval_scores_what_the_engine_answers(tmp_path: Path) -> None:
    tasks = [task("sums", 5, 2, "Box it."), task("gsm8k", 3, 1)]
    benchmark = Benchmark(
        tasks=tasks,
        score="lenient",
        sampling=BenchmarkSampling(
            temperature=0.6, top_p=0.95, max_new_tokens=64, system_prompt=None
        ),
    )
    engine = DoubleEngine()

    async def answered() -> Path:
        grader = StudentGrader(cpu_seconds=30, workers=1)
        try:
            return await run_lighteval(tasks, items_of(tasks), engine, grader, 4, 1, tmp_path)
        finally:
            await grader.close()

    samples = scores.read_samples(asyncio.run(answered()), benchmark, "teacher", "student")
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
    summary = scores.metrics(samples, benchmark)
    assert summary["sums"] == {
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
    assert summary["gsm8k"]["score"] == 1.0


@pytest.mark.slow
@needs_lighteval
def test_a_task_of_lighteval_s_own_keeps_its_prompt_and_scorer(tmp_path: Path) -> None:
    """Its items come from the Hub, so only the task is built here, and its prompt and scorer are called by hand."""
    entry = {
        "id": "aime24",
        "kind": "lighteval",
        "task": "aime24",
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
