import asyncio
import hashlib
import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML

from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.benchmark import run
from stillhouse.benchmark.grade import GradingError, Marks
from stillhouse.benchmark.items import Item
from stillhouse.benchmark.run import BenchmarkError, run_lighteval
from stillhouse.benchmark.served import Answers, Prepared, sample_seed
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
    """Answers with a box around the item's own number; sample 1 is off by one; item 3's sample 0 is cut after it.

    All numbers are off by `off` more.
    """

    concurrency = 4
    fingerprint: ClassVar[dict[str, Any]] = {"engine": "double"}
    journaled = False

    def __init__(self, off: int = 0) -> None:
        self.requests: list[Request] = []
        self.off = off

    def render(self, request: Request) -> str:
        return request.messages[-1].content

    async def close(self) -> None:
        pass

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        number = int(request.messages[-1].content.split()[0])
        cut = number == 3 and request.attempt == 0
        given = number + request.attempt + self.off
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
        asyncio.run(run_lighteval([], {}, [DoubleEngine()], DoubleGrader(), 1, 1, tmp_path))


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
            run_lighteval(tasks, items_of(tasks), [DoubleEngine()], DoubleGrader(), 1, 1, tmp_path)
        )


def test_a_failing_engine_ends_lighteval_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, monkeypatch, "exec sleep 600")
    tasks = [task("sums", 1, 1)]
    with pytest.raises(EngineError, match="device is gone"):
        asyncio.run(
            run_lighteval(
                tasks, items_of(tasks), [BrokenDoubleEngine()], DoubleGrader(), 1, 1, tmp_path
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
                tasks, items_of(tasks), [DoubleEngine()], BrokenDoubleGrader(), 1, 1, tmp_path
            )
        )


def test_the_stage_tracks_what_decides_a_score() -> None:
    pipeline = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    names = ("benchmark", "benchmark_untrained")
    trained, untrained = (
        [key for key in pipeline["stages"][name]["params"] if isinstance(key, str)]
        for name in names
    )
    # Neither a teacher nor a seed makes the untrained student answer again.
    assert [key for key in trained if key not in untrained] == [
        "compared_ids",
        "training_seeds",
        "controls",
    ]
    assert untrained == [
        "plugins",
        "run.seed",
        "benchmark.tasks",
        "benchmark.sampling",
        "benchmark.score",
        "verify.item_cpu_seconds",
    ]
    assert "item_cpu_seconds" in Verify.model_fields


@pytest.fixture
def stage_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the items of two tasks of ours, made the current one."""
    (tmp_path / "inputs").mkdir()
    for own in TASKS:
        rows = [
            {"id": i.id, "prompt": i.prompt, "answer": i.answer} for i in items_of([own])[own.id]
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"inputs/{own.id}.jsonl").write_text(lines)
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(EVAL_PYTHON.absolute()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


TASKS = [task("sums", 5, 2, "Box it."), task("gsm8k", 3, 1)]


def stage_script(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    engines: Callable[[list[Condition]], dict[Condition, DoubleEngine]],
    **tracked: object,
) -> ModuleType:
    """The stage script with the parameters as DVC would hand them over; only the engines are doubles."""
    params = load_run(ROOT)
    tracked |= {
        "run": params.run.model_dump(),
        "benchmark": params.benchmark.model_dump()
        | {
            "tasks": [t.model_dump() | {"path": f"inputs/{t.id}.jsonl"} for t in TASKS],
            "score": "lenient",
        },
        "verify": {"item_cpu_seconds": params.verify.item_cpu_seconds},
        "conf/students/smollm2_135m.yaml:student": load_student(
            "smollm2_135m", ROOT
        ).student.model_dump(),
    }
    spec = importlib.util.spec_from_file_location(f"{name}_stage", ROOT / f"stages/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    monkeypatch.setattr(stage, "load_stage", lambda: StageParams(name, tracked))
    monkeypatch.setattr(stage, "load_student", lambda name: load_student(name, ROOT))
    made = "trained_engines" if name == "benchmark" else "untrained_engine"
    monkeypatch.setattr(stage, made, lambda conditions, *_: engines(conditions))
    return stage


@pytest.mark.slow
@needs_lighteval
def test_the_stage_scores_what_each_student_answers(
    stage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage script with lighteval and the grader; only the engines are doubles."""
    right, wrong = DoubleEngine(), DoubleEngine(off=40)
    axes = {
        "compared_ids": ["worked"],
        "training_seeds": [1, 22],
        "controls": {"shuffled": ["worked"]},
    }
    asked: list[Condition] = []

    def engines(conditions: list[Condition]) -> dict[Condition, DoubleEngine]:
        asked.extend(conditions)
        return {one: wrong if "shuffled" in one.teacher else right for one in conditions}

    left = stage_folder / "models/smollm2_135m/removed/1/config.json"
    left.parent.mkdir(parents=True)
    left.touch()
    stage_script("benchmark", monkeypatch, engines, **axes).main.callback("smollm2_135m")

    assert asked == [
        Condition(teacher, "smollm2_135m", seed)
        for teacher in ("worked", "worked_shuffled")
        for seed in (1, 22)
    ]
    assert not left.exists()
    metrics = json.loads((stage_folder / "metrics/benchmark/smollm2_135m.json").read_text())
    assert {t: list(found) for t, found in metrics.items()} == {
        "worked": ["1", "22"],
        "worked_shuffled": ["1", "22"],
    }
    for seed in (1, 22):
        table = stage_folder / f"data/samples/smollm2_135m/worked/{seed}"
        samples = list(read_table(table, Sample))
        assert len(samples) == 13
        assert {(s.teacher, s.seed) for s in samples} == {("worked", seed)}
        found = {(s.task, s.item_id, s.sample) for s in samples if s.score == 1.0}
        assert found == {("sums", f"sums{i}", 0) for i in range(5)} | {
            ("gsm8k", f"gsm8k{i}", 0) for i in range(3)
        }
        assert {s.item_id for s in samples if s.score_strict < s.score_lenient} == {"sums3"}
        assert {s.reason for s in samples} == {None, "wrong_answer"}
        assert metrics["worked"][str(seed)]["gsm8k"]["score"] == 1.0
        assert metrics["worked_shuffled"][str(seed)]["gsm8k"]["score"] == 0.0
    assert len(right.requests) == len(wrong.requests) == 2 * 13, "each sample is asked for once"
    assert {r.messages[-1].content for r in right.requests} >= {
        "0 is what?\n\nBox it.",
        "0 is what?",
    }
    # Students are compared on the same draws.
    assert [r.seed for r in right.requests[:13]] == [r.seed for r in wrong.requests[:13]]
    assert metrics["worked"]["1"]["sums"] == {
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


@pytest.mark.slow
@needs_lighteval
def test_the_untrained_student_has_a_table_and_metrics_of_its_own(
    stage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DoubleEngine()
    stage = stage_script(
        "benchmark_untrained",
        monkeypatch,
        lambda student: {Condition(UNTRAINED, str(student), 0): engine},
    )
    stage.main.callback("smollm2_135m")
    samples = list(read_table(stage_folder / "data/samples_untrained/smollm2_135m", Sample))
    assert {(s.teacher, s.student, s.seed) for s in samples} == {("untrained", "smollm2_135m", 0)}
    found = json.loads((stage_folder / "metrics/benchmark_untrained/smollm2_135m.json").read_text())
    assert found["gsm8k"]["score"] == 1.0


def test_one_model_at_a_time_is_asked_and_only_in_order() -> None:
    """The next model waits until lighteval asks for it, which it does when it has all answers of the one before."""
    models = [DoubleEngine(), DoubleEngine(off=1)]
    own = items_of([task("sums", 2, 1)])["sums"]
    prepared = [Prepared("sums", item.id, 1, item.prompt) for item in own]
    wanted = [
        {
            "task": "sums",
            "item_id": item.id,
            "samples": 1,
            "messages": [{"role": "user", "content": item.prompt}],
        }
        for item in own
    ]

    async def ask() -> None:
        known = {("sums", item.id): item for item in own}
        answers = Answers(models, prepared, DoubleGrader(), known, 4, 1)
        await asyncio.sleep(0.01)
        assert [len(model.requests) for model in models] == [2, 0]
        first = await answers.of(0, wanted)
        assert [len(model.requests) for model in models] == [2, 0]
        second = await answers.of(1, wanted)
        assert [len(model.requests) for model in models] == [2, 2]
        assert [row[0]["answer"] for row in first] == ["It is \\boxed{0}", "It is \\boxed{1}"]
        assert [row[0]["answer"] for row in second] == ["It is \\boxed{1}", "It is \\boxed{2}"]
        with pytest.raises(BenchmarkError, match="condition 0 after condition 1"):
            await answers.of(0, wanted)
        other = [wanted[0] | {"messages": [{"role": "user", "content": "another prompt"}]}]
        with pytest.raises(BenchmarkError, match="another prompt than was prepared"):
            await answers.of(1, other)

    asyncio.run(ask())


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
    (tmp_path / "spec.json").write_text(json.dumps({"tasks": [entry], "conditions": 1}))
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
    assert (name, samples, past) == ("stillhouse_0_aime24", 4, None)
    assert "What is 2 + 2?" in query
    assert query.endswith("\n\nBox it.")
    assert each == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    assert mean == {"pass_at_1_strict": 0.25, "pass_at_1_lenient": 0.5}
