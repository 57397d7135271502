from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from stillhouse.hub.readiness import NotReadyError, refuse_unnamed_version
from stillhouse.package.card import CardError
from stillhouse.package.model_card import StudentFacts, write_model_card
from stillhouse.params.benchmark import BenchmarkSampling
from stillhouse.params.files import parse
from stillhouse.params.load import load_student
from stillhouse.params.package import Package
from stillhouse.params.run import Run
from stillhouse.params.student import Student
from tests.package.release_fixture import CARDS, facts, teacher

SFT = {
    "rows": 101,
    "tokens": 103,
    "loss_tokens": 97,
    "steps": 107,
    "epochs": 2.0,
    "first_loss": 1.09,
    "final_loss": 1.13,
}
FIT = {
    "max_length": 4096,
    "fits_all": 89,
    "budget": {"unit": "rows", "limit": None, "target": None},
}


MISSING = ("score", "low", "high", "finished", "trainings", "gain")


def student_facts(**changes: Any) -> StudentFacts:
    run = facts()
    row = {"score": 0.25, "low": 0.125, "high": 0.5, "items": 127, "samples": 131}
    beside = {"strict": 0.2, "lenient": 0.25, "finished": 0.3, "finished_items": 113}
    row |= beside | {"truncated": 0.1, "unread": 0.05}
    gain = {"difference": 0.2, "low": 0.1, "high": 0.3, "seeds": 1}
    base: dict[str, Any] = {
        "run": Run(name="test_run", seed=7),
        "package": run.package,
        "teacher_ids": ["tiny", "worked"],
        "teacher_id": "tiny",
        "teacher": teacher(),
        "student_id": "smollm2_135m",
        "student": load_student("smollm2_135m").student,
        "sampling": BenchmarkSampling(
            temperature=0.6, top_p=0.95, max_tokens=64, system_prompt=None
        ),
        "decides": "lenient",
        "sft": SFT,
        "fit": FIT,
        "align": run.align_metrics,
        "scores": [
            {"task": "sums", **row, "trainings": None, "gain": gain},
            {"task": "broken", **row, **dict.fromkeys(MISSING)},
        ],
        "confidence": 0.95,
        "seeds": [7],
        "by_seed": {7: {"sums": 0.25}},
        "untrained": {"sums": 0.05, "broken": 0.15},
    }
    return StudentFacts(**(base | changes))


def card_of(folder: Path, **changes: Any) -> str:
    write_model_card(folder, student_facts(**changes), CARDS)
    return (folder / "README.md").read_text()


def on_the_hub() -> Student:
    plain = load_student("smollm2_135m").student.model_dump()
    return parse(Student, plain | {"model": "Qwen/Qwen2.5-1.5B", "revision": "a" * 40}, "test")


def test_front_matter_names_base_model_data_set_and_scores(tmp_path: Path) -> None:
    card = ModelCard(card_of(tmp_path, student=on_the_hub())).data
    assert card.base_model == "Qwen/Qwen2.5-1.5B"
    assert card.datasets == ["tester/parallel_sums-tiny"]
    assert card.to_dict()["dataset_revision"] == "v1.0.0"
    (result,) = card.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == (
        "sums",
        "pass@1",
        0.25,
    )


def test_the_form_of_answers_with_answer_tags_is_said(tmp_path: Path) -> None:
    assert "form of an answer" not in card_of(tmp_path)
    tagged = on_the_hub().model_copy(update={"turn_format": "answer_tags"})
    text = card_of(tmp_path, student=tagged)
    assert "| form of an answer | `<think>..</think><answer>..</answer>` |\n| data set |" in text


def test_a_base_model_from_a_package_is_no_link(tmp_path: Path) -> None:
    text = card_of(tmp_path)
    assert ModelCard(text).data.base_model is None
    assert "(https://huggingface.co/package:" not in text


def test_scores_have_intervals_or_say_that_there_are_none(tmp_path: Path) -> None:
    text = card_of(tmp_path)
    assert "by the lenient score" in text
    assert "| sums | 25.0 % | 12.5 % to 50.0 % | +20.0 (+10.0 to +30.0) | 127 | 131 |\n" in text
    assert "| broken | - | not estimable | - | 127 | 131 |\n" in text
    assert (tmp_path / "images/scores.png").read_bytes().startswith(b"\x89PNG")


def test_the_mean_of_all_trainings_has_a_column(tmp_path: Path) -> None:
    (sums, broken) = student_facts().scores
    sums = sums | {"trainings": {"score": 0.3, "low": 0.15, "high": 0.45, "seeds": 3}}
    seeds = {seed: {"sums": 0.25} for seed in (7, 8, 9)}
    text = card_of(tmp_path, scores=[sums, broken], seeds=list(seeds), by_seed=seeds)
    assert "| benchmark | pass@1 | interval | all trainings | against untrained | items |" in text
    assert "| 12.5 % to 50.0 % | 30.0 (15.0 to 45.0) | +20.0 (+10.0 to +30.0) | 127 |" in text
    assert "| broken | - | not estimable | - | - | 127 |" in text
    assert "the mean of 3, and its interval covers another training too." in text


def test_the_three_scores_are_side_by_side(tmp_path: Path) -> None:
    lines = card_of(tmp_path).splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.startswith("| benchmark | strict |")]
    assert lines[start : start + 5] == [
        "| benchmark | strict | lenient | finished | items finished | cut | unread |",
        "|---|---|---|---|---|---|---|",
        "| sums | 20.0 % | 25.0 % | 30.0 % | 113 | 10.0 % | 5.0 % |",
        "| broken | 20.0 % | 25.0 % | - | 113 | 10.0 % | 5.0 % |",
        "",
    ]


def test_every_seed_and_the_untrained_student_are_side_by_side(tmp_path: Path) -> None:
    one = card_of(tmp_path / "one").splitlines()
    assert "| benchmark | seed 7 | untrained |" in one
    assert "| sums | 25.0 % | 5.0 % |" in one
    assert "| broken | - | 15.0 % |" in one
    assert "- One training: another seed gives other scores." in one
    by_seed = {7: {"sums": 0.25}, 11: {"sums": 0.75, "broken": 0.5}}
    two = card_of(tmp_path / "two", seeds=[7, 11], by_seed=by_seed)
    lines = two.splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.startswith("| benchmark | seed 7 ")]
    assert lines[start : start + 5] == [
        "| benchmark | seed 7 | seed 11 | untrained |",
        "|---|---|---|---|",
        "| sums | 25.0 % | 75.0 % | 5.0 % |",
        "| broken | - | 50.0 % | 15.0 % |",
        "",
    ]
    assert "| training seed of these weights | 7, the first of 2 that were trained |" in two
    assert "it was not chosen by its scores" in two


def test_less_than_an_epoch_is_said(tmp_path: Path) -> None:
    assert "less than one epoch" not in card_of(tmp_path)
    assert "less than one epoch" in card_of(tmp_path, sft=SFT | {"epochs": 0.2})


def test_a_non_commercial_teacher_binds_the_student(tmp_path: Path) -> None:
    assert "Not for commercial use" not in card_of(tmp_path)
    assert "Not for commercial use" in card_of(tmp_path, teacher=teacher(license="cc-by-nc-4.0"))


def test_authors_and_address_of_the_code_are_named_where_they_are_set(tmp_path: Path) -> None:
    assert "Made with stillhouse, an open pipeline" in card_of(tmp_path)
    more = {"authors": ["Ada [x]", "Bo"], "code_url": "https://example.org/code.git"}
    package = parse(Package, facts().package.model_dump() | more, "test")
    text = card_of(tmp_path, package=package)
    assert (
        r"Made by Ada \[x\], Bo with stillhouse ([code](https://example.org/code.git)), an" in text
    )
    assert "git clone https://example.org/code.git" in text


def test_the_card_ends_with_the_changelog_of_its_version(tmp_path: Path) -> None:
    card_of(tmp_path)
    refuse_unnamed_version([tmp_path / "README.md"], "0.1.0")
    # The version of the data set stands elsewhere on the card, which does not count.
    with pytest.raises(NotReadyError, match=r"does not have version 1\.0\.0; describe it"):
        refuse_unnamed_version([tmp_path / "README.md"], "1.0.0")


def test_the_data_set_of_a_single_repository_is_that(tmp_path: Path) -> None:
    plain = facts().package.model_dump() | {"layout": "single"}
    text = card_of(tmp_path, package=parse(Package, plain, "test"))
    assert ModelCard(text).data.datasets == ["tester/parallel_sums"]


def test_the_card_repeats_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        card_of(tmp_path / name)
    for file in ("README.md", "images/scores.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_missing_metric_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="steps"):
        card_of(tmp_path, sft={name: value for name, value in SFT.items() if name != "steps"})
