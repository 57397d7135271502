"""How lighteval's own tasks are asked in the profile of the paper, and what their scorers read of an answer."""

import base64
import json
import os
import pickle
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stillhouse.benchmark import run
from stillhouse.benchmark.answer_tags import untagged
from stillhouse.benchmark.run import write_spec
from stillhouse.benchmark.spec import SPEC_VARIABLE
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.load import load_run

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("STILLHOUSE_SHARED_DATA", "../shared/data"))
EVAL_PYTHON = Path(os.environ.get(run.ENVIRONMENT_VARIABLE, ".venv-eval/bin/python"))
needs_lighteval = pytest.mark.skipif(not EVAL_PYTHON.is_file(), reason="no lighteval environment")
INSTRUCTION = "Think step by step and put the final answer in \\boxed{}."
AIME = {"problem": " Find $x$ if $x = 200 + 4$.\n", "answer": "204"}
MATH = {
    "problem": "What is half of $1$?",
    "solution": "It is $\\boxed{\\frac{1}{2}}$.",
    "answer": "x",
}
TESTS = [{"input": "3\n", "output": "6\n", "testtype": "stdin"}]
CODE = {
    "question_content": "Double a number.",
    "starter_code": "",
    "public_test_cases": json.dumps(TESTS),
    "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(json.dumps(TESTS)))).decode(),
    "metadata": "{}",
}
# Reads one JSON document {task id: {"line": row, "answers": [...]}} from stdin, and prints prompt and strict scores.
SCRIPT = """
import json, sys, lighteval_main
lighteval_main._bind_package(); lighteval_main._leave_out_download()
import tasks
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.prompt_manager import PromptManager
from lighteval.tasks.tasks.lcb.main import prepare_prompt
found = {}
from stillhouse.benchmark.spec import split_name
configs = {split_name(config.name)[1]: config for config in tasks.TASKS_TABLE}
for key, asked in json.load(sys.stdin).items():
    config = configs[key.partition("/")[0]]
    doc = config.prompt_function({**asked["line"], "__index": 0}, config.name)
    answers = [{"answer": a, "finish_reason": "stop", "marks": None} for a in asked["answers"]]
    doc.specific["stillhouse"]["answers"] = answers
    (metric,) = config.metrics
    if answers:
        metric.compute_sample(doc=doc, model_response=ModelResponse(text=asked["answers"]))
    turns = PromptManager(use_chat_template=True).prepare_prompt_api(doc)
    scores = [a["marks"]["strict"] for a in answers]
    lcb = prepare_prompt(asked["line"]) if "question_content" in asked["line"] else None
    found[key] = [turns, doc.specific["stillhouse"]["prompt"], scores, lcb]
print(json.dumps(found))
"""


def paper_tasks() -> list[BenchmarkTask]:
    tasks = load_run(ROOT / "profiles/paper").benchmark.tasks
    return [task.model_copy(update={"revision": None}) for task in tasks]


def asked(folder: Path, tasks: list[BenchmarkTask], rows: dict[str, Any]) -> dict[str, list[Any]]:
    """Return for each key (a task's id, perhaps `/` and more): turns, item, scores of the answers, LCB's own prompt."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(EVAL_PYTHON), "-c", SCRIPT],
        env={
            SPEC_VARIABLE: str(write_spec(folder, tasks, {}, address="")),
            "PYTHONPATH": str(Path(run.__file__).parent),
            "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@needs_lighteval
def test_the_paper_s_tasks_are_asked_as_in_the_paper_and_tags_score_as_boxes_do(
    tmp_path: Path,
) -> None:
    def forms(value: str) -> list[str]:
        boxed = f"\\boxed{{{value}}}"
        return [
            f"So it is ${boxed}$.",
            f"<answer>{value}</answer>",
            f"Thus we have it.\n\n<answer>\n{value}\n</answer>",
            f"<answer>{boxed}</answer>",
            f"<answer>The answer is ${value}$.</answer>",
        ]

    found = asked(
        tmp_path,
        paper_tasks(),
        {
            "aime24": {
                "line": AIME,
                "answers": [*forms("204"), *forms("205"), "<answer></answer>"],
            },
            "aime25": {"line": AIME, "answers": forms("204")},
            "math500": {
                "line": MATH,
                "answers": [*forms("\\frac{1}{2}"), *forms("0.5"), *forms("\\frac{1}{3}")],
            },
            "livecodebench": {"line": CODE, "answers": []},
        },
    )
    for task in ("aime24", "aime25"):
        text = f"Find $x$ if $x = 200 + 4$.\n\n{INSTRUCTION}"
        assert found[task][0] == [{"role": "user", "content": text}]
        assert found[task][1] == "Find $x$ if $x = 200 + 4$."
    text = f"What is half of $1$?\n\n{INSTRUCTION}"
    assert found["math500"][0] == [{"role": "user", "content": text}]
    assert found["aime24"][2] == [1.0] * 5 + [0.0] * 6
    assert found["aime25"][2] == [1.0] * 5
    assert found["math500"][2] == [1.0] * 10 + [0.0] * 5
    turns, _, _, unchanged = found["livecodebench"]
    assert turns == [{"role": "user", "content": unchanged}]


@pytest.mark.slow
@needs_lighteval
def test_lighteval_s_template_is_an_option(tmp_path: Path) -> None:
    tasks = [task.model_copy(update={"prompt": "lighteval"}) for task in paper_tasks()]
    found = asked(
        tmp_path,
        tasks,
        {
            "aime24": {"line": AIME, "answers": ["<answer>204</answer>", "\\boxed{204}"]},
            "math500": {"line": MATH, "answers": ["<answer>1/2</answer>", "ANSWER: 1/2"]},
        },
    )
    for task, words in (("aime24", "efficiently and clearly"), ("math500", '"ANSWER: $ANSWER"')):
        text = found[task][0][0]["content"]
        assert words in text
        assert text.endswith(f"\n\n{INSTRUCTION}")
        assert found[task][2] == [1.0, 1.0]


@pytest.mark.slow
@needs_lighteval
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data")
def test_every_reference_of_math500_scores_the_same_in_tags_and_in_a_box(tmp_path: Path) -> None:
    lines = (DATA / "benchmarks/math500.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 500
    found = asked(
        tmp_path,
        paper_tasks(),
        {
            f"math500/{number}": {
                "line": row,
                "answers": [
                    f"It is $\\boxed{{{row['answer']}}}$.",
                    f"<answer>{row['answer']}</answer>",
                    f"<answer>${row['answer']}$</answer>",
                ],
            }
            for number, row in enumerate(rows)
        },
    )
    scores = [found[f"math500/{number}"][2] for number in range(len(rows))]
    differ = [row["answer"] for row, each in zip(rows, scores, strict=True) if each[0] != each[1]]
    assert differ == []
    assert sum(each[0] for each in scores) >= 490


def test_tags_are_taken_off_and_a_formula_is_put_into_a_box_where_the_prompt_asks_for_one() -> None:
    for answer, plain, boxed in [
        ("It is 4.", "It is 4.", "It is 4."),
        ("<answer>4</answer>", "4", "\\boxed{4}"),
        ("<ANSWER> x \n</Answer> bye", "x", "\\boxed{x}"),
        ("<answer>3</answer> no, <answer>4</answer>", "4", "\\boxed{4}"),
        ("<answer>a <answer>b</answer>", "b", "\\boxed{b}"),
        ("<answer>$4$</answer>", "$4$", "$4$"),
        ("<answer>\\$4</answer>", "\\$4", "\\boxed{\\$4}"),
        ("<answer>$4</answer>", "$4", "\\boxed{$4}"),
        ("<answer>\\(4\\)</answer>", "\\(4\\)", "\\(4\\)"),
        (
            "<answer>\\boxed{4}</answer>",
            "<answer>\\boxed{4}</answer>",
            "<answer>\\boxed{4}</answer>",
        ),
        ("\\boxed{3} <answer>4</answer>", *["\\boxed{3} <answer>4</answer>"] * 2),
        ("<answer>two\nlines</answer>", "two\nlines", "two\nlines"),
        ("<answer>```python\npass\n```</answer>", *["```python\npass\n```"] * 2),
        ("<answer></answer>", "", ""),
        ("<answer>20", "<answer>20", "<answer>20"),
        ("20</answer>", "20</answer>", "20</answer>"),
    ]:
        assert untagged(answer, boxed=False) == plain
        assert untagged(answer, boxed=True) == boxed
    assert untagged("<answer>" * 200_000, boxed=True).startswith("<answer>")  # linear time
    assert untagged(f"<answer>{'$' * 200_000}</answer>", boxed=True) == "$" * 200_000


def test_who_asks_by_item_is_decided_by_the_task_unless_the_parameters_say_it() -> None:
    def task(**values: object) -> BenchmarkTask:
        common = {"id": "a", "kind": "lighteval", "task": "aime24", "count": 1, "samples": 1}
        return BenchmarkTask.model_validate(common | values)

    assert [t.asks_by_item for t in paper_tasks()] == [True, True, True, False]
    assert task().asks_by_item
    assert not task(prompt="lighteval").asks_by_item
    assert not task(task="gpqa:diamond").asks_by_item
    assert task(task="gsm8k", prompt="item").asks_by_item
    with pytest.raises(ValidationError, match="only kind lighteval has `prompt`"):
        task(kind="gsm8k", task=None, prompt="item")
