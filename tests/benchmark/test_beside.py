"""Answers to lighteval's own tasks, graded by our rule beside the score of its scorer."""

from typing import Any

from stillhouse.benchmark.beside import ANSWER_CHARS, EXAMPLES, grade_beside
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.records import BenchmarkItem, FinishReason, Sample
from tests.benchmark.test_student_grade import with_grader

AIME = BenchmarkTask.model_validate(
    {"id": "aime24", "kind": "lighteval", "task": "aime24", "count": 8, "samples": 1}
)
CODE = AIME.model_copy(update={"id": "livecodebench"})


def item(task: str, item_id: str, reference: str | None) -> BenchmarkItem:
    return BenchmarkItem(
        id=f"{task}/{item_id}",
        task=task,
        item_id=item_id,
        prompt="What is it?",
        reference=reference,
    )


def sample(
    item_id: str, text: str, theirs: float, task: str = "aime24", end: FinishReason = "stop"
) -> Sample:
    return Sample(
        id=f"{task}{item_id}{text}",
        task=task,
        item_id=item_id,
        sample=0,
        teacher="t",
        student="s",
        seed=7,
        text=text,
        score=theirs,
        score_strict=theirs,
        score_lenient=theirs,
        reason=None,
        unread=False,
        completion_tokens=5,
        finish_reason=end,
    )


def compared(samples: list[Sample], items: list[BenchmarkItem]) -> dict[str, Any]:
    return with_grader(lambda grader: grade_beside(samples, [AIME, CODE], items, grader))


def test_both_scores_and_where_they_differ() -> None:
    items = [item("aime24", "a", "204"), item("aime24", "b", "25"), item("held_out", "a", "1")]
    samples = [
        sample("a", "<think>so</think>It is \\boxed{204}.", 1.0),
        sample("a", "It is \\boxed{205}.", 1.0),
        sample("b", "x" * 500 + " The answer is 25.", 0.0),
        sample("b", "<think>cut", 0.0, end="length"),
        sample("a", "It is 1.", 1.0, task="held_out"),  # no task of lighteval's
    ]
    found = compared(samples, items)["aime24"]
    assert {key: found[key] for key in ("compared", "lighteval", "ours", "disagree", "unread")} == {
        "compared": 4,
        "lighteval": 0.5,
        "ours": 0.5,
        "disagree": 0.5,
        "unread": 0,
    }
    assert found["items_read"]
    wrong, right = found["examples"]
    assert (wrong["item_id"], wrong["reference"], wrong["answer"]) == (
        "a",
        "204",
        "It is \\boxed{205}.",
    )
    assert (wrong["lighteval"], wrong["ours"]) == (1.0, 0.0)
    assert (right["lighteval"], right["ours"]) == (0.0, 1.0)
    assert right["answer"].endswith("The answer is 25.")
    assert len(right["answer"]) == ANSWER_CHARS


def test_a_task_without_references_is_lighteval_s_alone() -> None:
    samples = [sample("p", "```python\nprint(1)\n```", 1.0, task="livecodebench")]
    assert compared(samples, [item("livecodebench", "p", None)]) == {
        "aime24": {"items_read": False, "compared": 0, "unread": 0},
        "livecodebench": {"items_read": True, "compared": 0, "unread": 0},
    }


def test_what_our_rule_cannot_read_is_no_disagreement() -> None:
    tests = '[{"input": "1", "output": "2"}]'
    samples = [sample("p", "```python\nprint(1)\n```", 1.0, task="livecodebench")]
    found = compared(samples, [item("livecodebench", "p", tests)])["livecodebench"]
    assert found == {"items_read": True, "compared": 0, "unread": 1}


def test_only_some_examples_are_kept() -> None:
    samples = [sample("a", f"It is {number}.", 1.0) for number in range(EXAMPLES + 4)]
    found = compared(samples, [item("aime24", "a", "999")])["aime24"]
    assert found["disagree"] == 1.0
    assert len(found["examples"]) == EXAMPLES
