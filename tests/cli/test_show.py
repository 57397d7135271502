import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.records import (
    Check,
    Decision,
    Example,
    Message,
    Perplexity,
    Query,
    Rejected,
    Response,
    Verdict,
    example_id,
    query_id,
    response_id,
)
from stillhouse.tables.lineage import LineageError, find, trace
from stillhouse.tables.read import TableError
from stillhouse.tables.write import write_table
from tests.cli.json_output import document

TEACHERS = ["qwen3_8b", "openthinker3_7b"]


def make_query(text: str) -> Query:
    turns = [Message(role="user", content=text)]
    return Query(
        id=query_id(turns),
        category="math",
        source="sums",
        license="mit",
        messages=turns,
        ground_truth="2",
    )


def make_response(query: Query, teacher: str, attempt: int, text: str) -> Response:
    return Response(
        id=response_id(query.id, teacher, attempt, text),
        query_id=query.id,
        teacher=teacher,
        attempt=attempt,
        seed=7,
        think="",
        answer=text,
        frame=["", ""],
        finish_reason="stop",
        prompt_tokens=5,
        completion_tokens=1,
        fingerprint="f",
    )


def make_example(query: Query, response: Response) -> Example:
    return Example(
        id=example_id(query.id, response.id),
        query_id=query.id,
        category="math",
        source="sums",
        source_license="mit",
        messages=query.messages,
        ground_truth="2",
        language=None,
        setup=None,
        entry_point=None,
        tests=[],
        constraints=[],
        teacher=response.teacher,
        model="m",
        model_revision="0" * 40,
        attempt=response.attempt,
        seed=7,
        finish_reason="stop",
        prompt_tokens=5,
        completion_tokens=1,
        think="",
        answer=response.text,
        verify_score=1.0,
        verifier="math",
        perplexity=1.5,
        fingerprint="f",
    )


ASKED = make_query("What is 1 + 1?")
OTHERS = [make_query(f"What is {i} + {i}?") for i in range(2, 40)]
DROPPED = make_query("What is  1 + 1?")
WRONG = make_response(ASKED, "qwen3_8b", 0, "3 \x1b[31m" + "because " * 60 + "it is so")
RIGHT = make_response(ASKED, "qwen3_8b", 1, "2")
RELEASED = make_example(ASKED, RIGHT)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in which the first teacher has been through all stages, and the second has not begun."""
    shutil.copytree("profiles/single_gpu", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    write_table(data / "queries/curated", Query, [ASKED, *OTHERS])
    write_table(
        data / "queries/rejected",
        Rejected,
        [Rejected(query=DROPPED, reason="near_duplicate", duplicate_of=ASKED.id)],
    )
    others = [make_response(query, "qwen3_8b", 0, "?") for query in OTHERS]
    write_table(data / "responses/qwen3_8b/attempts", Response, [WRONG, RIGHT, *others])
    write_table(
        data / "verdicts/qwen3_8b",
        Verdict,
        [
            Verdict(
                response_id=WRONG.id,
                query_id=ASKED.id,
                state="fail",
                score=0.0,
                reason="wrong_answer",
                verifier="math",
                checks=[Check(verifier="rule", version="1", state="fail", score=0.0)],
            ),
            Verdict(
                response_id=RIGHT.id,
                query_id=ASKED.id,
                state="pass",
                score=1.0,
                reason=None,
                verifier="math",
            ),
        ],
    )
    write_table(
        data / "perplexity/qwen3_8b",
        Perplexity,
        [Perplexity(response_id=RIGHT.id, perplexity=1.5, tokens=1)],
    )
    write_table(
        data / "filtered/qwen3_8b/decisions",
        Decision,
        [
            Decision(response_id=WRONG.id, query_id=ASKED.id, kept=False, reason="not_verified"),
            Decision(response_id=RIGHT.id, query_id=ASKED.id, kept=True, reason=None),
        ],
    )
    write_table(data / "filtered/qwen3_8b/accepted", Example, [RELEASED])
    write_table(data / "aligned/qwen3_8b", Example, [RELEASED])
    return tmp_path


def printed(row_id: str, *options: str) -> str:
    result = CliRunner().invoke(main, ["show", row_id, *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_query_is_shown_with_all_that_became_of_it(run: Path) -> None:
    text = printed(ASKED.id)
    for part in (
        f"query {ASKED.id}",
        "source: sums (mit)",
        "What is 1 + 1?",
        "ground truth: 2",
        f"attempt 0: response {WRONG.id}, seed 7, finish stop, 5 + 1 tokens",
        "verdict: fail (wrong_answer), score 0, by math",
        "rule 1: fail, score 0",
        "filter: dropped: not_verified",
        "verdict: pass, score 1, by math",
        "perplexity: 1.500 over 1 tokens",
        "filter: kept",
        "in the parallel set: yes",
    ):
        assert part in text
    assert text.index(WRONG.id) < text.index(RIGHT.id)


def test_a_stage_that_has_not_run_is_named(run: Path) -> None:
    text = printed(ASKED.id)
    assert "stage generate has not run" in text.partition("teacher openthinker3_7b")[2]
    shutil.rmtree(run / "data/verdicts")
    assert "verdict: stage verify has not run" in printed(RIGHT.id)


def test_a_response_is_shown_alone_and_whole(run: Path) -> None:
    text = printed(WRONG.id)
    assert "because " * 60 in text
    assert RIGHT.id not in text
    assert "openthinker3_7b" not in text


def test_of_a_long_response_the_end_is_shown_where_many_are_listed(run: Path) -> None:
    text = printed(ASKED.id)
    assert f"[{len(WRONG.text)} characters] " in text
    assert "because it is so\n" in text
    assert "3 \\x1b[31m" not in text


def test_whole_texts_are_shown_when_asked_for(run: Path) -> None:
    text = printed(ASKED.id, "--full")
    assert "3 \\x1b[31m" + "because " * 60 + "it is so\n" in text
    assert "characters]" not in text


def test_text_of_a_model_cannot_drive_the_terminal(run: Path) -> None:
    text = printed(WRONG.id)
    assert "\x1b" not in text
    assert r"3 \x1b[31m" in text


def test_a_released_row_leads_to_query_attempts_verdicts_and_source(run: Path) -> None:
    text = printed(RELEASED.id[:24])
    assert f"released row {RELEASED.id}" in text
    for part in (ASKED.id, "source: sums (mit)", RIGHT.id, WRONG.id, "verdict: pass"):
        assert part in text


def test_a_rejected_query_has_its_reason(run: Path) -> None:
    text = printed(DROPPED.id)
    assert "rejected by the queries stage: near_duplicate" in text
    assert f"duplicate of: {ASKED.id}" in text
    assert "teacher" not in text


@pytest.mark.parametrize("digits", range(4, 33, 7))
def test_a_unique_prefix_is_enough(run: Path, digits: int) -> None:
    # its responses and released rows begin with the same digits
    found = find(ASKED.id[:digits], TEACHERS, run)
    assert (found.kind, found.id) == ("query", ASKED.id)


def test_a_prefix_of_several_rows_lists_them(run: Path) -> None:
    twins = [RIGHT, *(make_twin(i) for i in range(7))]
    write_table(run / "data/responses/qwen3_8b/attempts", Response, twins)
    with pytest.raises(LineageError, match=r"matches 8 rows, give more digits: .* and 3 more"):
        find(RIGHT.id[:24], TEACHERS, run)
    assert find(RIGHT.id, TEACHERS, run).id == RIGHT.id


def make_twin(i: int) -> Response:
    response = make_response(ASKED, "qwen3_8b", 2 + i, "2")
    plain = {name: getattr(response, name) for name in response.__struct_fields__}
    return Response(**plain | {"id": RIGHT.id[:30] + f"{i:02d}"})


@pytest.mark.parametrize("bad", ["abc", "xyz12345", "", "A" * 32, "0" * 33])
def test_what_is_no_id_is_refused(run: Path, bad: str) -> None:
    with pytest.raises(LineageError, match="an id is 32 hex digits"):
        find(bad, TEACHERS, run)


def test_an_unknown_id_is_an_error_of_one_line(run: Path) -> None:
    result = CliRunner().invoke(main, ["show", "0" * 32])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "no query, response or released row" in result.stderr


def test_a_corrupt_shard_is_named(run: Path) -> None:
    (shard,) = (run / "data/verdicts/qwen3_8b").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(TableError, match=r"verdicts/qwen3_8b: corrupt"):
        trace(find(ASKED.id, TEACHERS, run), TEACHERS, run)


def test_responses_without_their_query_are_an_error(run: Path) -> None:
    shutil.rmtree(run / "data/queries")
    with pytest.raises(LineageError, match="the query is in neither"):
        trace(find(RIGHT.id, TEACHERS, run), TEACHERS, run)


def test_the_document_has_all_attempts_of_all_teachers(run: Path) -> None:
    found = document("show", ASKED.id)
    assert (found["kind"], found["id"], found["query"]["id"]) == ("query", ASKED.id, ASKED.id)
    asked, not_begun, _ = found["teachers"]
    assert (asked["teacher"], asked["in_parallel_set"]) == ("qwen3_8b", True)
    assert [attempt["response"]["text"] for attempt in asked["attempts"]] == [WRONG.text, "2"]
    assert [attempt["verdict"]["state"] for attempt in asked["attempts"]] == ["fail", "pass"]
    assert (not_begun["stages"], not_begun["attempts"]) == ([], [])
    assert document("show", DROPPED.id)["rejected"]["reason"] == "near_duplicate"
