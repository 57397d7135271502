import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_fixture import REPLAY, TEMPLATE, example, examples, facts, metrics, write_tables

from stillhouse.records import Message, Perplexity
from stillhouse.release.lint import lint
from stillhouse.release.manifest import MANIFEST, differences, read_manifest, sha256_of
from stillhouse.release.package import PackageError, write_release, write_shards
from stillhouse.release.rows import (
    ATTEMPT_COLUMNS,
    ATTEMPT_SCHEMA,
    EXAMPLE_COLUMNS,
    EXAMPLE_SCHEMA,
    ReleaseRowError,
    row_groups,
)
from stillhouse.tables import write_table

SHARD = "data/train-00000-of-00001.parquet"
ATTEMPTS = "attempts/train-00000-of-00001.parquet"


def test_folder_holds_these_files(release: Path) -> None:
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert names == {"README.md", MANIFEST, "provenance.json", SHARD, ATTEMPTS}
    assert not list(release.parent.glob("*.partial"))


def test_rows_are_sorted_and_end_with_the_answer(release: Path) -> None:
    rows = pq.read_table(release / SHARD).to_pylist()
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids)
    assert len(ids) == 12
    for row in rows:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        last = row["messages"][-1]["content"]
        assert last == f"<think>\n{row['think']}\n</think>\n\n{row['answer']}"


def test_answer_stands_alone_without_reasoning(tmp_path: Path) -> None:
    rows = [example(number, think="") for number in range(12)]
    write_release(tmp_path / "out", write_tables(tmp_path, rows), facts(), TEMPLATE)
    for row in pq.read_table(tmp_path / "out" / SHARD).to_pylist():
        assert row["messages"][-1]["content"] == row["answer"]
    assert "no reasoning part" in (tmp_path / "out" / "README.md").read_text()


def test_attempts_tell_what_became_of_each(release: Path) -> None:
    rows = pq.read_table(release / ATTEMPTS).to_pylist()
    assert len(rows) == 18
    assert sum(row["kept"] for row in rows) == 12
    for row in rows:
        assert (row["drop_reason"] is None) == row["kept"]
        assert row["state"] == ("pass" if row["kept"] else "fail")
        assert (row["perplexity"] is not None) == row["kept"]


def test_schemas_are_the_documented_columns() -> None:
    assert EXAMPLE_SCHEMA.names == list(EXAMPLE_COLUMNS)
    assert ATTEMPT_SCHEMA.names == list(ATTEMPT_COLUMNS)


def test_shards_are_zstd_with_page_index(release: Path) -> None:
    column = pq.read_metadata(release / SHARD).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index


def test_two_folders_hold_the_same_bytes(tmp_path: Path) -> None:
    hashes = []
    for name, rows in (("a", examples()), ("b", examples()[::-1])):
        root = tmp_path / name
        write_release(root / "release", write_tables(root, rows), facts(), TEMPLATE)
        hashes.append({e.path: e.sha256 for e in read_manifest(root / "release")})
        hashes[-1][MANIFEST] = sha256_of(root / "release" / MANIFEST)
    assert hashes[0] == hashes[1]


def test_manifest_sees_every_change(release: Path) -> None:
    assert differences(release) == []
    (release / "README.md").write_text("other")
    (release / "extra.txt").write_text("extra")
    (release / ATTEMPTS).unlink()
    assert [file for file, _ in differences(release)] == ["README.md", ATTEMPTS, "extra.txt"]


def test_provenance_binds_shards_to_models_and_parameters(release: Path) -> None:
    statement = json.loads((release / "provenance.json").read_text())
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    assert subjects == {name: sha256_of(release / name) for name in (SHARD, ATTEMPTS)}
    build = statement["predicate"]["buildDefinition"]
    assert build["externalParameters"]["verify"]["threshold"] == 0.9
    assert build["externalParameters"]["queries"]["sources"][0]["id"] == "sums"
    assert build["internalParameters"]["fingerprint"] == facts().fingerprint
    models = {d["name"]: d["digest"] for d in build["resolvedDependencies"]}
    assert models["teacher"] == {"sha256": facts().teacher.revision}


def test_locks_stand_in_the_provenance(tmp_path: Path) -> None:
    lock = tmp_path / "main.txt"
    lock.write_text("pyarrow==25.0.1\n")
    write_release(tmp_path / "out", write_tables(tmp_path), facts(locks=[lock]), TEMPLATE)
    text = (tmp_path / "out" / "provenance.json").read_text()
    assert sha256_of(lock) in text


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="nothing to release"):
        write_release(tmp_path / "out", write_tables(tmp_path, []), facts(), TEMPLATE)
    assert not (tmp_path / "out").exists()


def test_stale_align_metrics_are_an_error(tmp_path: Path) -> None:
    stale = metrics()
    stale["align"]["parallel"] = 99
    with pytest.raises(PackageError, match=r"12 rows, but metrics/align\.json says 99"):
        write_release(tmp_path / "out", write_tables(tmp_path), facts(metrics=stale), TEMPLATE)


def test_lint_errors_stop_the_release_and_are_listed(tmp_path: Path) -> None:
    cut = example(99, finish_reason="length")
    tables = write_tables(tmp_path, [*examples()[1:], cut])
    with pytest.raises(PackageError, match=f"{cut.id}.*truncated"):
        write_release(tmp_path / "out", tables, facts(), TEMPLATE)
    assert list(tmp_path.glob("out*")) == []


def test_chat_that_has_an_answer_already_is_an_error(tmp_path: Path) -> None:
    chat = [Message(role="user", content="?"), Message(role="assistant", content="!")]
    tables = write_tables(tmp_path, [example(1, messages=chat)])
    with pytest.raises(ReleaseRowError, match=example(1).id):
        write_release(tmp_path / "out", tables, facts(), TEMPLATE)


def test_perplexity_of_an_unknown_response_is_an_error(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    shutil.rmtree(tables.perplexity)
    stray = Perplexity(response_id="0" * 32, perplexity=2.0, tokens=3)
    write_table(tables.perplexity, Perplexity, [stray])
    with pytest.raises(ReleaseRowError, match=r"0{32} belongs to no response"):
        write_release(tmp_path / "out", tables, facts(), TEMPLATE)


def test_replay_release_is_clean(tmp_path: Path) -> None:
    write_release(tmp_path / "out", write_tables(tmp_path), facts(teacher=REPLAY), TEMPLATE)
    assert lint(tmp_path / "out") == []


def test_many_shards_hold_all_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.release.package.SHARD_BYTES", 100)
    monkeypatch.setattr("stillhouse.release.package.ROW_GROUP_BYTES", 50)
    schema = pa.schema({"n": pa.int64()})
    batches = [
        pa.RecordBatch.from_pydict({"n": [i, i + 1]}, schema=schema) for i in range(0, 80, 2)
    ]
    shards = write_shards(tmp_path / "data", schema, batches)
    assert len(shards) > 3
    assert [path.name for path in shards] == [
        f"train-{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))
    ]
    assert [n for path in shards for n in pq.read_table(path)["n"].to_pylist()] == list(range(80))


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 500))
def test_row_groups_lose_nothing(lengths: list[int], size: int) -> None:
    schema = pa.schema({"n": pa.int64()})
    batches = [pa.RecordBatch.from_pydict({"n": [k] * k}, schema=schema) for k in lengths]
    groups = list(row_groups(batches, size))
    assert [n for group in groups for n in group["n"].to_pylist()] == [
        k for k in lengths for _ in range(k)
    ]
    assert all(group.nbytes >= size for group in groups[:-1])
