"""The figures of the paper beside those of a run, and the lengths of right and wrong answers."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from stillhouse.analysis.answer_lengths import answer_length_rows, score_and_tokens
from stillhouse.params.run import Report
from stillhouse.params.teacher import Teacher
from stillhouse.report.material import Settings
from stillhouse.report.page import Table, Text
from stillhouse.report.published import PUBLISHED_FOLDER, load_study
from stillhouse.report.sections.answer_lengths import answer_lengths
from stillhouse.report.sections.published import beside_published
from tests.report import fake_run

STUDY = "arxiv_2505_14464"


def columns(*rows: tuple[str, str, float, float, int, str]) -> dict[str, Any]:
    """Return columns of answers: task, item, strict, lenient, tokens, finish reason."""
    names = ("task", "item_id", "score_strict", "score_lenient", "completion_tokens")
    return {
        name: np.array([row[place] for row in rows], dtype=None if place > 1 else object)
        for place, name in enumerate((*names, "finish_reason"))
    }


def settings_of(tasks: dict[str, str], models: dict[str, str], **sampling: Any) -> Settings:
    """Return settings with tasks of lighteval's (id: name) and teachers (id: model)."""
    plain = fake_run.settings()
    benchmark = plain.benchmark.model_dump() | {
        "tasks": [
            {"id": i, "kind": "lighteval", "task": name, "count": 30, "samples": 64}
            for i, name in tasks.items()
        ]
    }
    benchmark["sampling"] |= sampling
    teacher = plain.teachers["smollm2_cool"].model_dump()
    return dataclasses.replace(
        plain,
        benchmark=type(plain.benchmark).model_validate(benchmark),
        report=Report(resamples=500, confidence=0.95, published=STUDY),
        teachers={
            i: Teacher.model_validate(teacher | {"model": model, "label": i})
            for i, model in models.items()
        },
    )


def test_the_study_has_the_figures_of_the_paper() -> None:
    study = load_study(STUDY)
    for benchmark in study.benchmarks:
        assert len(benchmark.scores) == len(benchmark.tokens) == len(study.teachers) == 3
    tokens = {benchmark.name: benchmark.tokens for benchmark in study.benchmarks}
    ratios = [h / e for h, e in zip(tokens[study.hard], tokens[study.easy], strict=True)]
    assert [round(ratio, 1) for ratio in ratios] == [5.2, 2.6, 3.7]  # as the paper's text has them
    assert sorted(path.stem for path in PUBLISHED_FOLDER.glob("*.yaml")) == [STUDY]


def test_only_what_run_and_study_share_is_shown_whatever_its_ids() -> None:
    settings = settings_of(
        {"hard": "aime25", "easy": "math_500", "other": "gpqa:diamond"},
        {"mine": "someone/else", "am": "A-M-Team/am-thinking-v1", "r1": "deepseek-ai/DeepSeek-R1"},
        max_tokens=1000,
    )
    answers = columns(
        ("hard", "a", 1.0, 1.0, 600, "stop"),
        ("hard", "a", 0.0, 1.0, 1000, "length"),
        ("hard", "b", 0.0, 0.0, 800, "stop"),
        ("easy", "c", 1.0, 1.0, 200, "stop"),
    )
    scores, tokens, ratio, note = beside_published({("am", "tiny"): answers}, settings)
    assert isinstance(scores, Table)
    assert isinstance(tokens, Table)
    assert isinstance(ratio, Table)
    assert isinstance(note, Text)
    assert scores.header == [
        "Benchmark",
        "AM-Thinking-v1, arXiv 2505.14464",
        "this run",
        "DeepSeek-R1, arXiv 2505.14464",
        "this run",
    ]
    # Item a is right in both of its answers by the lenient score, item b in none.
    assert scores.rows == [
        ["AIME2025", "72.2", "50.0", "52.8", "–"],
        ["MATH500", "98.4", "100.0", "95.8", "–"],
    ]
    assert tokens.rows == [
        ["AIME2025", "18,199.2", "800.0", "13,495.9", "–"],
        ["MATH500", "3,495.7", "200.0", "3,613.0", "–"],
    ]
    assert ratio.rows == [["AIME2025 / MATH500", "5.2", "4.0", "3.7", "–"]]
    assert "max_tokens 1000 here, 49152 there" in note.text
    assert "MATH500 64 answers per item here, 4 there" in note.text
    assert "AIME2025" not in note.text  # 64 in both


def test_seeds_of_one_student_are_put_together() -> None:
    settings = settings_of({"aime24": "aime24"}, {"am": "a-m-team/AM-Thinking-v1"})
    right = columns(("aime24", "a", 1.0, 1.0, 100, "stop"))
    wrong = columns(("aime24", "a", 0.0, 0.0, 300, "stop"))
    scores, tokens, _ = beside_published(
        {("am", "tiny", 1): right, ("am", "tiny", 2): wrong}, settings
    )
    assert isinstance(scores, Table)
    assert isinstance(tokens, Table)
    assert scores.rows[0][2] == "50.0"
    assert tokens.rows[0][2] == "200.0"


def test_a_run_without_the_study_has_no_such_section_and_one_that_shares_nothing_says_so() -> None:
    assert beside_published({}, fake_run.settings()) == []
    teachers = settings_of({"aime24": "aime24"}, {"mine": "someone/else"})
    (said,) = beside_published({}, teachers)
    assert isinstance(said, Text)
    assert said.text.startswith("No teacher of this run is one of arXiv 2505.14464")
    tasks = settings_of({"gpqa": "gpqa:diamond"}, {"am": "a-m-team/AM-Thinking-v1"})
    (said,) = beside_published({}, tasks)
    assert isinstance(said, Text)
    assert said.text.startswith("No benchmark of this run")
    unasked = settings_of({"aime24": "aime24"}, {"am": "a-m-team/AM-Thinking-v1"})
    (said,) = beside_published({}, unasked)
    assert isinstance(said, Text)
    assert said.text.startswith("No student of this run was benchmarked")


@pytest.mark.parametrize(
    ("lenient", "right", "cut"), [(False, [10.0, 1], [40.0, 2]), (True, [20.0, 2], [50.0, 1])]
)
def test_lengths_by_outcome(lenient: bool, right: list[float], cut: list[float]) -> None:
    answers = columns(
        ("sums", "a", 1.0, 1.0, 10, "stop"),
        ("sums", "a", 0.0, 1.0, 30, "length"),
        ("sums", "b", 0.0, 0.0, 50, "length"),
        ("sums", "b", 0.0, 0.0, 70, "stop"),
        ("other", "b", 1.0, 1.0, 9, "stop"),
    )
    rows = answer_length_rows({("t", "s"): answers}, ["sums", "other", "none"], lenient=lenient)
    assert [row["task"] for row in rows] == ["sums", "other"]
    first = rows[0]
    assert [first["right"], first["right_answers"]] == right
    assert [first["wrong"], first["wrong_answers"]] == [70.0, 1]
    assert [first["cut"], first["cut_answers"]] == cut
    assert [rows[1]["wrong"], rows[1]["wrong_answers"]] == [None, 0]


def test_pass_at_1_weighs_items_and_not_answers() -> None:
    answers = columns(
        ("sums", "a", 1.0, 1.0, 10, "stop"),
        ("sums", "b", 0.0, 0.0, 10, "stop"),
        ("sums", "b", 0.0, 0.0, 40, "stop"),
    )
    assert score_and_tokens(answers, "sums") == (0.5, 20.0, 3)
    assert score_and_tokens(answers, "none") is None


def test_every_run_has_the_lengths_of_right_and_wrong_answers() -> None:
    settings = fake_run.settings()
    answers = columns(
        ("letters", "a", 1.0, 1.0, 10, "stop"), ("sums", "a", 0.0, 0.0, 1200, "length")
    )
    (table,) = answer_lengths(
        {("worked", "tiny"): answers, ("smollm2_cool", "tiny"): answers},
        settings,
        {"worked": "Worked"},
    )
    assert isinstance(table, Table)
    assert re.search(r"strict score\), student tiny", table.caption)
    assert table.rows == [
        ["sums", "Worked", "–", "0", "–", "0", "1,200", "1"],
        ["sums", "smollm2_cool", "–", "0", "–", "0", "1,200", "1"],
        ["letters", "Worked", "10", "1", "–", "0", "–", "0"],
        ["letters", "smollm2_cool", "10", "1", "–", "0", "–", "0"],
    ]
