"""A student's answer is graded by the rule that grades a teacher's."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.benchmark import grade
from stillhouse.benchmark.grade import GradingError, Marks, StudentGrader, answer_part, marked_part
from stillhouse.benchmark.items import Item
from stillhouse.generate.reasoning import split
from stillhouse.models.engine import Completion
from stillhouse.params.load import load_run
from stillhouse.records import (
    Check,
    FinishReason,
    Message,
    Query,
    Response,
    Verdict,
    assistant_text,
    query_id,
)
from stillhouse.verify.checks import MachineReason, make_check
from stillhouse.verify.grade import Grader
from tests.doubles.scripted_engine import stored

GOLDEN = Path(__file__).parents[1] / "verify/golden/math.json"
DATA = Path(os.environ.get("STILLHOUSE_SHARED_DATA", "../shared/data"))
TRACES = ("Qwen2.5-14B-Instruct", "Qwen2.5-Math-7B", "gemma-2-27b-it")
WORKERS = 2
VERIFY = load_run(Path(__file__).parents[2]).verify
T = TypeVar("T")


def item(reference: str, prompt: str = "What is it?") -> Item:
    return Item(id="item", task="own", prompt=prompt, answer=reference)


def completion(text: str, finish_reason: FinishReason = "stop") -> Completion:
    return Completion(text=text, finish_reason=finish_reason, prompt_tokens=1, completion_tokens=1)


def with_grader(asked: Callable[[StudentGrader], Awaitable[T]]) -> T:
    async def run() -> T:
        grader = StudentGrader(VERIFY.item_cpu_seconds, WORKERS)
        try:
            return await asked(grader)
        finally:
            await grader.close()

    return asyncio.run(run())


def as_student(pairs: list[tuple[str, str]], finish_reason: FinishReason = "stop") -> list[Marks]:
    """Grade (reference, text of the completion) as the benchmark does."""

    async def graded(grader: StudentGrader) -> list[Marks]:
        asked = [grader.grade(item(r), completion(t, finish_reason)) for r, t in pairs]
        return await asyncio.gather(*asked)

    return with_grader(graded)


def as_teacher(pairs: list[tuple[str, str]]) -> list[Verdict]:
    """Grade (reference, text of the completion) as the stages generate and verify do, without a judge."""

    async def graded() -> list[Verdict]:
        grader = Grader(VERIFY, judge=None, workers=WORKERS)
        try:
            return await asyncio.gather(*(grader.grade(*attempt(*pair)) for pair in pairs))
        finally:
            await grader.close()

    return asyncio.run(graded())


def attempt(reference: str, text: str) -> tuple[Query, Response]:
    messages = [Message(role="user", content="What is it?")]
    query = Query(
        id=query_id(messages),
        category="math",
        source="own",
        license="apache-2.0",
        messages=messages,
        ground_truth=reference,
    )
    parts = split(completion(text), "think_tags")
    return query, stored(text, parts, query.id)


def differences(pairs: list[tuple[str, str]]) -> list[str]:
    """Return where the two paths differ in state or reason."""
    found = []
    both = zip(pairs, as_teacher(pairs), as_student(pairs), strict=True)
    for (reference, text), verdict, marks in both:
        state = "ungradable" if marks.unread else "pass" if marks.strict == 1 else "fail"
        if (verdict.state, verdict.reason) != (
            state,
            marks.reason,
        ) or marks.strict != marks.lenient:
            found.append(
                f"{reference!r}: {text[-200:]!r}: {verdict.state} {verdict.reason}, {marks}"
            )
    return found


def test_teacher_and_student_get_the_same_verdict_on_every_golden_case() -> None:
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))
    pairs = [(case["reference"], case["output"]) for case in cases]
    pairs += [(r, assistant_text("We think \\boxed{7}.", output)) for r, output in pairs[::7]]
    pairs += [(r, f"<think>so {output}") for r, output in pairs[::11]]
    states = {case["verdict"] for case in cases}
    assert states == {"pass", "fail", "ungradable"}, "all three are compared"
    assert differences(pairs) == []


@pytest.mark.slow
@pytest.mark.parametrize("model", TRACES)
def test_teacher_and_student_get_the_same_verdict_on_real_answers(model: str) -> None:
    path = DATA / f"traces/math500_{model}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [(row["answer"], row["code"][0]) for row in rows]
    assert len(pairs) == 500
    assert differences(pairs) == []


# How each kind of answer ends, and what it scores: reference, text, strict and lenient, reason.
ENDINGS: list[tuple[str, str, FinishReason, float, float, str | None]] = [
    ("4", "It is 4.", "stop", 1, 1, None),
    ("4", "<think>2 and 2</think>\n\nIt is 4.", "stop", 1, 1, None),
    ("4", "2 and 2</think>It is 4.", "stop", 1, 1, None),  # the template opened the block
    ("4", "<think>\\boxed{4}</think>\n\n\\boxed{5}", "stop", 0, 0, "wrong_answer"),
    ("4", "<think>a</think>The tag </think> closes. \\boxed{4}", "stop", 1, 1, None),
    ("4", "<think>maybe \\boxed{4}", "stop", 0, 0, "no_answer"),
    ("4", "<think>a</think>\\boxed{4}<think>or \\boxed{5}", "stop", 0, 0, "no_answer"),
    ("4", "<think>a</think>b<think>\\boxed{4}</think>", "stop", 0, 0, "no_answer"),
    ("4", "<think>a</think>", "stop", 0, 0, "no_answer"),
    ("4", "", "stop", 0, 0, "no_answer"),
    # cut at the token limit
    ("4", "<think>a</think>So \\boxed{4}. We can chec", "length", 0, 1, None),
    ("4", "<think>a</think>So \\boxed{5}. We can chec", "length", 0, 0, "wrong_answer"),
    ("4", "<think>a</think>The answer is 4.\nWe can chec", "length", 0, 1, None),
    ("4", "So \\boxed{4}. We can chec", "length", 0, 1, None),  # it reasons in its answer
    ("4", "<think>a</think><answer>4</answer> We can chec", "length", 0, 1, None),
    ("4", "<think>a</think><answer>4", "length", 0, 0, "truncated"),
    ("4", "<think>so \\boxed{4}, we can chec", "length", 0, 0, "truncated"),
    ("4", "<think>a</think>The answer is 4", "length", 0, 0, "truncated"),  # of 42?
    ("4", "<think>a</think>The answer is\n\\[\n4\n", "length", 0, 0, "truncated"),  # of 4 + x?
    ("4", "<think>a</think>So \\boxed{4", "length", 0, 0, "truncated"),
    ("4", "<think>a</think>2 and 2 is 4. Then we chec", "length", 0, 0, "truncated"),
    ("4", "", "length", 0, 0, "truncated"),
]


def test_an_answer_has_a_strict_and_a_lenient_score() -> None:
    async def graded(grader: StudentGrader) -> list[Marks]:
        return await asyncio.gather(
            *(grader.grade(item(r), completion(text, end)) for r, text, end, *_ in ENDINGS)
        )

    for (reference, text, end, strict, lenient, reason), marks in zip(
        ENDINGS, with_grader(graded), strict=True
    ):
        assert marks == Marks(strict, lenient, reason, unread=False), (reference, text, end)


# Forms that a benchmark's references meet every day: (answer, reference, whether it is right).
FORMS = [
    ("3 + 4 = 7, so \\boxed{7}.", "7", True),
    ("first \\boxed{6}, no: \\boxed{7}", "7", True),
    ("\\boxed{7}, not 8", "7", True),
    ("\\boxed{\\text{7}}", "7", True),
    ("\\boxed{\\frac{1}{2}} 7", "7", False),
    ("3 + 4 is 7.", "7", True),
    ("The answer is -7.", "7", False),
    ("\\boxed{1{,}200}", "1200", True),
    ("\\boxed{\\$1,200.00}", "1200", True),
    ("\\boxed{18 \\text{ apples}}", "18", True),
    ("\\boxed{8 apples}", "8", True),
    ("\\boxed{18\\%}", "18", True),
    ("\\boxed{18^\\circ}", "18", True),
    ("\\boxed{x = 5}", "5", True),
    ("\\boxed{3\\frac{1}{2}}", "3.5", True),
    ("\\boxed{2 \\sqrt 3}", "2\\sqrt{3}", True),
    ("It is \u22122.", "-2", True),
    ("\\boxed{\\dfrac{3}{4}}", "0.75", True),
    ("\\boxed{\u22123}", "-3", True),
    ("The answer is (B).", "B", True),
    ("The answer is A. I am sure.", "A", True),
    ("Bananas", "B", False),
    ("Answer: the moon", "the moon", True),
    ("The answer is the sun", "the moon", False),
    ("no idea", "7", False),
]


def test_everyday_forms_of_a_benchmark_are_read() -> None:
    marks = as_student([(reference, text) for text, reference, _ in FORMS])
    wrong = [(form, m) for form, m in zip(FORMS, marks, strict=True) if (m.strict == 1) != form[2]]
    assert wrong == []


def test_the_options_of_an_item_are_known_to_the_rule() -> None:
    asked = item("B", "Which is a fruit?\nA) a stone\nB) an apple\nC) a chair")

    async def graded(grader: StudentGrader) -> list[Marks]:
        texts = ("The answer is an apple.", "The answer is a stone.")
        return [await grader.grade(asked, completion(text)) for text in texts]

    assert [marks.strict for marks in with_grader(graded)] == [1.0, 0.0]


def test_what_the_rule_cannot_read_scores_0_and_is_counted() -> None:
    (marks,) = as_student([("7", f"\\boxed{{{'1+' * 900}1}}")])
    assert marks == Marks(0.0, 0.0, "too_complex", unread=True)


def test_trouble_of_the_machine_is_an_error_and_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    async def troubled(*_: Any) -> Check:
        reason: MachineReason = "crash"
        return make_check("pool", "1", None, reason, "killed from outside")

    async def graded(grader: StudentGrader) -> Marks:
        monkeypatch.setattr(grader._pool, "run", troubled)
        return await grader.grade(item("4"), completion("It is 4."))

    with pytest.raises(GradingError, match=re.escape("task own, item item: ") + ".*crash: killed"):
        with_grader(graded)


@given(st.text(alphabet="\\boxed{}answer is:4$[]\n ", max_size=60))
def test_what_counts_of_a_cut_answer_is_its_beginning(answer: str) -> None:
    part = marked_part(answer)
    assert part is None or answer.startswith(part)


def test_students_are_split_as_they_were_trained() -> None:
    text = assistant_text("two and two", "It is 4.")
    assert answer_part(completion(text)) == "It is 4."
    assert grade.answer_part(completion("It is 4.")) == "It is 4."
