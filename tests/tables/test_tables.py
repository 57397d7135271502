import os
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.hashing import content_hash
from stillhouse.records import (
    CodeTest,
    Constraint,
    Message,
    Query,
    Rejected,
    Response,
    Trace,
    query_id,
)
from stillhouse.tables import read, sort, write
from stillhouse.tables.read import TableError, column_counts, read_column, read_table, shard_paths
from stillhouse.tables.write import TableWriter, write_table

# Parquet holds any text but lone surrogates.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
messages = st.lists(
    st.builds(Message, role=st.sampled_from(("system", "user", "assistant")), content=texts),
    min_size=1,
    max_size=3,
)
code_tests = st.lists(
    st.builds(
        CodeTest,
        kind=st.sampled_from(("assert", "stdio")),
        code=st.none() | texts,
        input=st.none() | texts,
        output=st.none() | texts,
    ),
    max_size=2,
)
constraints = st.lists(
    st.builds(
        Constraint,
        id=texts,
        kwargs=st.fixed_dictionaries(
            {},
            optional={
                "num_words": st.integers(-(2**63), 2**63 - 1),
                "relation": texts,
                "keywords": st.lists(texts, max_size=2),
            },
        ),
    ),
    max_size=2,
)
queries = st.builds(
    Query,
    id=texts,
    category=st.sampled_from(("math", "code", "science", "if", "multiturn", "other")),
    source=texts,
    license=texts,
    messages=messages,
    ground_truth=st.none() | texts,
    language=st.sampled_from((None, "python", "cpp")),
    tests=code_tests,
    constraints=constraints,
    solution=st.none() | st.builds(Trace, think=texts, answer=texts),
)


def make_response(i: int, text: str = "2") -> Response:
    return Response(
        id=content_hash(str(i)),
        query_id=content_hash("q", str(i)),
        teacher="t",
        attempt=0,
        seed=i,
        think="",
        answer=text,
        frame=["", ""],
        finish_reason="stop",
        prompt_tokens=3,
        completion_tokens=1,
        fingerprint="f",
    )


def make_query(text: str) -> Query:
    turns = [Message(role="user", content=text)]
    return Query(id=query_id(turns), category="math", source="s", license="mit", messages=turns)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in shard_paths(folder)]


@settings(
    deadline=None,  # the first write loads Parquet
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(queries, max_size=8, unique_by=lambda q: q.id))
def test_rows_come_back_sorted_and_unchanged(tmp_path: Path, rows: list[Query]) -> None:
    write_table(tmp_path / "table", Query, rows)
    back = list(read_table(tmp_path / "table", Query))
    # Arrow sorts text by its UTF-8 bytes.
    assert back == sorted(rows, key=lambda q: q.id.encode())


def test_the_order_of_writing_does_not_change_a_byte(tmp_path: Path) -> None:
    rows = [make_response(i) for i in range(50)]
    write_table(tmp_path / "a", Response, rows)
    random.Random(1).shuffle(rows)
    write_table(tmp_path / "b", Response, rows)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("row_groups", ["one", "many"])
def test_a_table_sorted_in_runs_has_the_bytes_of_one_sorted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_groups: str
) -> None:
    monkeypatch.setattr(write, "BATCH_ROWS", 5)
    if row_groups == "many":
        monkeypatch.setattr(write, "GROUP_BYTES", 3000)
        monkeypatch.setattr(write, "SHARD_BYTES", 9000)
    rows = [make_response(i, "word " * (i % 40)) for i in range(401)]
    write_table(tmp_path / "at_once", Response, rows)
    monkeypatch.setattr(sort, "RUN_BYTES", 4000)
    monkeypatch.setattr(sort, "RUN_BATCH_BYTES", 700)
    monkeypatch.setattr(sort, "FAN_IN", 3)  # so that runs are merged twice and more
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        with TableWriter(tmp_path / "in_runs", Response) as writer:
            for row in rows:
                writer.write(row)
            runs = list((tmp_path).glob("in_runs.*.partial/runs/*"))
            writer.finish()
        assert runs
        assert contents(tmp_path / "in_runs") == contents(tmp_path / "at_once")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at_once", "in_runs"]


def test_a_key_repeated_in_two_runs_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "BATCH_ROWS", 2)
    monkeypatch.setattr(sort, "RUN_BYTES", 1)
    rows = [make_response(i) for i in (1, 2, 3, 4, 1, 5)]
    with pytest.raises(TableError, match="1 rows repeat a 'id'"):
        write_table(tmp_path / "t", Response, rows)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    gone, alive = tmp_path / "t.4194999.partial", tmp_path / f"t.{os.getppid()}.partial"
    for folder in (gone, alive):
        (folder / "runs").mkdir(parents=True)
    write_table(tmp_path / "t", Response, [make_response(1)])
    assert (gone.exists(), alive.exists()) == (False, True)


def test_a_disk_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TableError, match=r"cannot be written.*free disk space"):
        write_table(tmp_path / "file" / "t", Response, [make_response(1)])


def test_writing_holds_a_run_and_not_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "GROUP_BYTES", 200_000)
    monkeypatch.setattr(write, "BATCH_ROWS", 10)
    monkeypatch.setattr(sort, "RUN_BYTES", 200_000)
    monkeypatch.setattr(sort, "RUN_BATCH_BYTES", 10_000)
    before = most = pa.total_allocated_bytes()

    def rows():  # type: ignore[no-untyped-def]
        nonlocal most
        for i in range(1000):
            most = max(most, pa.total_allocated_bytes())
            yield make_response(i, random.Random(i).randbytes(2000).hex())

    write_table(tmp_path / "t", Response, rows())
    assert most - before < 1_500_000  # of 8 MB


def test_values_of_a_column_are_counted(tmp_path: Path) -> None:
    rows = [make_query(text) for text in "abc"]
    write_table(tmp_path / "t", Query, rows)
    assert column_counts(tmp_path / "t", "category") == {"math": 3}


def test_one_column_is_read_in_the_order_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SHARD_BYTES", 2000)
    stats = write_table(
        tmp_path / "t", Response, [make_response(i, "word " * 20) for i in range(60)]
    )
    assert len(stats.shards) > 1
    rows = read_table(tmp_path / "t", Response)
    assert list(read_column(tmp_path / "t", "query_id")) == [row.query_id for row in rows]
    stats.shards[0].write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"corrupt.*dvc checkout"):
        list(read_column(tmp_path / "t", "query_id"))


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    stats = write_table(tmp_path / "t", Response, [])
    assert stats.rows == 0
    assert len(stats.shards) == 1
    assert list(read_table(tmp_path / "t", Response)) == []


def test_a_large_table_has_several_shards_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SHARD_BYTES", 2000)
    rows = [make_response(i, "word " * 20) for i in range(60)]
    stats = write_table(tmp_path / "t", Response, rows)
    assert len(stats.shards) > 3
    assert stats.shards == shard_paths(tmp_path / "t")
    assert stats.bytes == sum(path.stat().st_size for path in stats.shards)
    assert list(read_table(tmp_path / "t", Response)) == sorted(rows, key=lambda r: r.id)


def test_a_repeated_key_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    row = make_response(1)
    with pytest.raises(TableError, match=r"t: 1 rows repeat a 'id' that must be unique"):
        write_table(tmp_path / "t", Response, [row, make_response(2), row])
    assert list(tmp_path.iterdir()) == []


def test_rejected_queries_may_repeat_and_are_sorted_by_query_id(tmp_path: Path) -> None:
    rows: Sequence[Rejected] = [
        Rejected(query=make_query(text), reason="duplicate") for text in ("c", "a", "a", "b")
    ]
    write_table(tmp_path / "t", Rejected, rows)
    ids = [row.query and row.query.id for row in read_table(tmp_path / "t", Rejected)]
    assert ids == sorted(row.query.id for row in rows if row.query)


def test_rejected_rows_without_a_query_are_sorted_by_their_place(tmp_path: Path) -> None:
    places = [("b", 9), ("a", 10), ("a", 9)]
    rows: list[Rejected] = [
        Rejected(query=None, reason="no_text", source=source, row=row) for source, row in places
    ]
    rows.append(Rejected(query=make_query("c"), reason="duplicate", source="a"))
    write_table(tmp_path / "t", Rejected, rows)
    read = list(read_table(tmp_path / "t", Rejected))
    assert [(row.source, row.row) for row in read if row.query is None] == sorted(places)
    assert [row.query for row in read if row.query] == [make_query("c")]
    write_table(tmp_path / "again", Rejected, rows[::-1])
    assert contents(tmp_path / "again") == contents(tmp_path / "t")


def test_a_failed_write_keeps_the_old_table_and_leaves_no_partial_one(tmp_path: Path) -> None:
    write_table(tmp_path / "t", Response, [make_response(1)])
    before = contents(tmp_path / "t")

    def rows_that_fail():  # type: ignore[no-untyped-def]
        yield make_response(2)
        raise RuntimeError("engine died")

    with pytest.raises(RuntimeError, match="engine died"):
        write_table(tmp_path / "t", Response, rows_that_fail())
    assert contents(tmp_path / "t") == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_writing_again_replaces_all_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "SHARD_BYTES", 1000)
    write_table(tmp_path / "t", Response, [make_response(i) for i in range(30)])
    monkeypatch.undo()
    write_table(tmp_path / "t", Response, [make_response(99)])
    assert [row.seed for row in read_table(tmp_path / "t", Response)] == [99]


@pytest.mark.parametrize("keep", [0, 10, 0.5], ids=["empty", "ten bytes", "half"])
def test_a_cut_off_shard_is_named(tmp_path: Path, keep: float) -> None:
    (shard,) = write_table(tmp_path / "t", Response, [make_response(i) for i in range(9)]).shards
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(keep if keep >= 1 else len(whole) * keep)])
    with pytest.raises(TableError, match=r"shard-00000-of-00001\.parquet: corrupt.*dvc checkout"):
        list(read_table(tmp_path / "t", Response))


def test_a_shard_of_other_rows_is_named_with_the_row(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(pa.table({"id": ["a"], "colour": ["red"]}), folder / "shard.parquet")
    with pytest.raises(TableError, match=r"shard\.parquet: row 0: .*query_id"):
        list(read_table(folder, Response))


def test_no_table_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no table here.*dvc checkout"):
        list(read_table(tmp_path / "none", Response))


def test_reading_holds_a_few_row_groups_and_not_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "GROUP_BYTES", 100_000)
    monkeypatch.setattr(write, "BATCH_ROWS", 10)
    monkeypatch.setattr(read, "BATCH_ROWS", 10)
    rows = (make_response(i, random.Random(i).randbytes(4000).hex()) for i in range(600))
    write_table(tmp_path / "t", Response, rows)
    whole = pq.read_table(shard_paths(tmp_path / "t")[0]).nbytes
    before = pa.total_allocated_bytes()
    reader = read_table(tmp_path / "t", Response)
    for _ in range(400):
        next(reader)
    assert pa.total_allocated_bytes() - before < whole / 4
