import json
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.hashing import file_sha256
from stillhouse.package.manifest import MANIFEST, differences, read_manifest
from stillhouse.package.rows import COLUMNS, MAY_BE_NULL, schema_of
from stillhouse.package.shards import ShardWriter
from stillhouse.package.write import PackageError, ReleaseStats, write_release
from stillhouse.records import Message, Perplexity, Rejected
from stillhouse.tables.read import TableError
from stillhouse.tables.streams import JoinError
from stillhouse.tables.write import write_table
from tests.package.release_fixture import (
    CARDS,
    example,
    examples,
    facts,
    metrics,
    query_of,
    teacher,
    unanswered,
    write_tables,
)

FILE = "train-00000-of-00001.parquet"
SHARD = f"data/{FILE}"
ATTEMPTS = f"all_attempts/{FILE}"
REJECTED = f"rejected/{FILE}"
REJECTED_QUERIES = f"rejected_queries/{FILE}"
PARALLEL = f"parallel/{FILE}"


pytestmark = pytest.mark.usefixtures("made_release", "no_load")
IMAGES = {f"images/{name}.png" for name in ("funnel", "lengths", "pass_rates")}
TEXTS = {"README.md", MANIFEST, "provenance.json"}


def write(root: Path, rows=None, **changes) -> dict[str, ReleaseStats]:
    """Write a release of the fixture's run into `root/out`."""
    root.mkdir(exist_ok=True)
    return write_release(root / "out", write_tables(root, rows), facts(**changes), CARDS)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rows_of(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_a_repository_per_teacher_and_one_side_by_side(made_release: Path) -> None:
    assert {path.name for path in made_release.iterdir()} == {"tiny", "worked", "parallel"}
    per_teacher = {SHARD, ATTEMPTS, REJECTED, REJECTED_QUERIES}
    assert files(made_release / "tiny") == per_teacher | IMAGES | TEXTS
    assert files(made_release / "parallel") == {PARALLEL} | IMAGES | TEXTS
    assert not list(made_release.parent.glob("*.partial"))


def test_one_repository_with_a_configuration_per_teacher(tmp_path: Path) -> None:
    stats = write(tmp_path, package={"layout": "single"})
    tables = {f"{t}/{name}" for t in ("tiny", "worked") for name in (SHARD, ATTEMPTS, REJECTED)}
    assert files(tmp_path / "out") == {
        f"all/{name}" for name in tables | {REJECTED_QUERIES, PARALLEL} | IMAGES | TEXTS
    }
    assert set(stats) == {"tiny", "worked", "parallel"}
    assert stats["tiny"].rows == stats["parallel"].rows == 12


def test_stats_are_what_lies_there(tmp_path: Path) -> None:
    stats = write(tmp_path)["tiny"]
    shards = sorted((tmp_path / "out/tiny").glob("*/*.parquet"))
    own = [path for path in shards if path.parent.name != "rejected_queries"]
    assert stats == ReleaseStats(
        rows=12,
        tokens=sum(30 + n for n in range(12)),
        shards=len(own),
        bytes=sum(path.stat().st_size for path in own),
    )


def test_rows_are_sorted_and_end_with_the_answer(release: Path) -> None:
    rows = rows_of(release / SHARD)
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids)
    assert len(ids) == 12
    for row in rows:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        last = row["messages"][-1]["content"]
        assert last == f"<think>\n{row['think']}\n</think>\n\n{row['answer']}"


def test_the_sets_of_two_teachers_are_in_the_same_order(made_release: Path) -> None:
    one, other = (
        [row["query_id"] for row in rows_of(made_release / name / SHARD)]
        for name in ("tiny", "worked")
    )
    assert one == other


def test_answer_stands_alone_without_reasoning(tmp_path: Path) -> None:
    write(tmp_path, [example(number, think="") for number in range(12)])
    for row in rows_of(tmp_path / "out/tiny" / SHARD):
        assert row["messages"][-1]["content"] == row["answer"]
    assert "`think` is empty in every row" in (tmp_path / "out/tiny/README.md").read_text()


def test_a_chat_of_several_turns_keeps_them_all(tmp_path: Path) -> None:
    chats = [
        [
            Message(role="user", content=f"{n}?"),
            Message(role="assistant", content=f"{n}!"),
            Message(role="user", content="Sure?"),
        ][2 * (n % 2) :]
        for n in range(12)
    ]
    write(tmp_path, [example(n, messages=chats[n]) for n in range(12)])
    released = {row["query_id"]: row for row in rows_of(tmp_path / "out/tiny" / SHARD)}
    for n, chat in enumerate(chats):
        turns = [
            (turn["role"], turn["content"]) for turn in released[example(n).query_id]["messages"]
        ]
        assert turns[:-1] == [(turn.role, turn.content) for turn in chat]
        assert turns[-1][0] == "assistant"


def test_attempts_tell_what_became_of_each(release: Path) -> None:
    rows = rows_of(release / ATTEMPTS)
    assert len(rows) == 19
    assert sum(row["kept"] for row in rows) == 12
    by_query = {row.query_id: query_of(row) for row in examples()} | {unanswered().id: unanswered()}
    for row in rows:
        assert (row["drop_reason"] is None) == row["kept"]
        assert row["state"] == ("pass" if row["kept"] else "fail")
        assert (row["perplexity"] is not None) == row["kept"]
        query = by_query[row["query_id"]]
        assert row["prompt"] == [{"role": m.role, "content": m.content} for m in query.messages]
        assert (row["category"], row["ground_truth"]) == (query.category, query.ground_truth)
        assert [t["code"] for t in row["tests"]] == [t.code for t in query.tests]


def test_what_is_not_for_training_is_rejected_with_its_reason(release: Path) -> None:
    rejected = rows_of(release / REJECTED)
    assert {row["reason"] for row in rejected} == {"not_verified"}
    attempts = {row["id"] for row in rows_of(release / ATTEMPTS)}
    kept = {row["id"] for row in rows_of(release / ATTEMPTS) if row["kept"]}
    assert {row["id"] for row in rejected} == attempts - kept


def test_kept_rows_outside_the_parallel_set_are_rejected_by_align(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    for teacher_id, own in tables.teachers.items():
        shutil.rmtree(own.aligned)
        rows = [row for row in examples(teacher_id) if row.source != "orders"]
        write_table(own.aligned, type(rows[0]), rows)
    changed = metrics()
    changed["align"]["parallel"] = 11
    write_release(tmp_path / "out", tables, facts(metrics=changed), CARDS)
    dropped = [row for row in rows_of(tmp_path / "out/tiny" / REJECTED) if row["stage"] == "align"]
    assert [(row["reason"], row["source"]) for row in dropped] == [
        ("not_answered_by_all", "orders")
    ]


def test_rejected_queries_have_unique_ids_and_withhold_benchmark_text(tmp_path: Path) -> None:
    asked = []

    def overlaps(chat) -> str | None:
        asked.append(chat[0]["content"])
        return "held_out/8" if "0 + 0" in chat[0]["content"] else None

    tables = write_tables(tmp_path, [example(n) for n in range(1, 13)])
    write_release(tmp_path / "out", tables, facts(), CARDS, overlaps)
    rows = rows_of(tmp_path / "out/tiny" / REJECTED_QUERIES)
    assert len({row["id"] for row in rows}) == 3
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    by_reason = {row["reason"]: row for row in rows}
    assert by_reason["contaminated"]["evidence"] == "held_out/7"
    assert all(row["prompt"] is None for row in rows)
    assert "What is 0 + 0?" in asked
    assert "99 + 99" not in str(rows)


def test_side_by_side_has_the_answer_of_every_teacher(made_release: Path) -> None:
    rows = rows_of(made_release / "parallel" / PARALLEL)
    assert len(rows) == 12
    for teacher_id in ("tiny", "worked"):
        own = {row["id"]: row for row in rows_of(made_release / teacher_id / SHARD)}
        for row in rows:
            answer = row["answers"][teacher_id]
            assert own[answer["id"]]["query_id"] == row["query_id"]
            assert all(own[answer["id"]][name] == answer[name] for name in answer)


@pytest.mark.parametrize("kind", COLUMNS)
def test_schemas_are_the_documented_columns(kind) -> None:
    schema = schema_of(kind, ["tiny"])
    assert schema.names == list(COLUMNS[kind])
    assert set(schema.names) >= MAY_BE_NULL[kind]


def test_shards_are_zstd_with_page_index(release: Path) -> None:
    column = pq.read_metadata(release / SHARD).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index


def test_two_folders_hold_the_same_bytes(tmp_path: Path) -> None:
    hashes = []
    for name, rows in (("a", examples()), ("b", examples()[::-1])):
        write(tmp_path / name, rows)
        for repo in ("tiny", "parallel"):
            folder = tmp_path / name / "out" / repo
            found = {e.path: e.sha256 for e in read_manifest(folder)}
            hashes.append(found | {MANIFEST: file_sha256(folder / MANIFEST)})
    assert hashes[:2] == hashes[2:]


def test_manifest_sees_every_change(release: Path) -> None:
    assert differences(release) == []
    (release / "README.md").write_text("other")
    (release / "extra.txt").write_text("extra")
    (release / ATTEMPTS).unlink()
    assert [file for file, _ in differences(release)] == ["README.md", ATTEMPTS, "extra.txt"]


def test_provenance_binds_shards_to_models_parameters_and_inputs(release: Path) -> None:
    statement = json.loads((release / "provenance.json").read_text())
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    assert subjects == {
        name: file_sha256(release / name) for name in (SHARD, ATTEMPTS, REJECTED, REJECTED_QUERIES)
    }
    build = statement["predicate"]["buildDefinition"]
    outside = build["externalParameters"]
    assert outside["verify"]["threshold"] == 0.9
    assert outside["queries"]["sources"][0]["id"] == "sums"
    assert outside["filter"]["max_tokens"] == 512
    own = facts().teachers["tiny"]
    assert build["internalParameters"]["fingerprints"] == {"tiny": own.fingerprint}
    materials = {d["name"]: d["digest"] for d in build["resolvedDependencies"]}
    assert materials["teacher:tiny"] == {"sha256": own.spec.revision}
    assert materials["scorer"] == {"sha256": own.spec.revision}
    assert materials["data/aligned"] == {"dvcMd5": "0123456789abcdef.dir"}


def test_locks_stand_in_the_provenance(tmp_path: Path) -> None:
    lock = tmp_path / "main.txt"
    lock.write_text("pyarrow==25.0.1\n")
    write(tmp_path, locks=[lock])
    assert file_sha256(lock) in (tmp_path / "out/tiny/provenance.json").read_text()


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="nothing to release"):
        write(tmp_path, [])
    assert not list(tmp_path.glob("out*"))


def test_stale_align_metrics_are_an_error(tmp_path: Path) -> None:
    stale = metrics()
    stale["align"]["parallel"] = 99
    with pytest.raises(PackageError, match=r"12 rows, but metrics/align\.json states 99"):
        write(tmp_path, metrics=stale)


def test_lint_errors_stop_the_release_and_are_listed(tmp_path: Path) -> None:
    cut = example(99, finish_reason="length")
    with pytest.raises(PackageError, match=f"tiny/data.*{cut.id}.*truncated"):
        write(tmp_path, [*examples()[1:], cut])
    assert list(tmp_path.glob("out*")) == []


def test_warnings_of_the_lint_stand_on_the_card(tmp_path: Path) -> None:
    odd = example(0, answer="Ask jane.doe@gmail.com, it is 0.")
    write(tmp_path, [odd, *examples()[1:]])
    card = (tmp_path / "out/tiny/README.md").read_text()
    assert "Warnings of the release check" in card
    assert odd.id in card
    assert "jane.doe" not in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": teacher(license="kodcode")}, "teacher tiny.*'kodcode' is not known"),
        ({"package": {"license": "my-own"}}, "package.license: 'my-own' is not known"),
        (
            {"teacher": teacher(license="cc-by-nc-4.0")},
            "teacher tiny .cc-by-nc-4.0.*non-commercial",
        ),
    ],
)
def test_a_licence_can_stop_a_release(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        write(tmp_path, **changes)


def test_an_unknown_licence_that_is_allowed_by_name_is_said(tmp_path: Path) -> None:
    write(tmp_path, teacher=teacher(license="kodcode"), package={"allow_licenses": ["kodcode"]})
    card = (tmp_path / "out/tiny/README.md").read_text()
    assert "its licence (kodcode) is unknown to stillhouse." in card
    assert "forbids commercial use" not in card


def test_chat_that_has_an_answer_already_is_an_error(tmp_path: Path) -> None:
    chat = [Message(role="user", content="?"), Message(role="assistant", content="!")]
    with pytest.raises(JoinError, match=f"{example(1).id}.*found assistant"):
        write(tmp_path, [example(1, messages=chat)])


def test_perplexity_of_an_unknown_response_is_an_error(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    own = tables.teachers["tiny"].perplexity
    shutil.rmtree(own)
    stray = Perplexity(response_id="0" * 32, perplexity=2.0, tokens=3)
    write_table(own, Perplexity, [stray])
    with pytest.raises(JoinError, match=r"perplexity: row 0{32} belongs to no row"):
        write_release(tmp_path / "out", tables, facts(), CARDS)


@pytest.mark.parametrize("part", ["verdicts", "decisions"])
def test_a_response_without_verdict_or_decision_is_an_error(tmp_path: Path, part: str) -> None:
    tables = write_tables(tmp_path)
    other = write_tables(tmp_path / "other", examples()[1:])
    own = getattr(tables.teachers["tiny"], part)
    shutil.rmtree(own)
    shutil.copytree(getattr(other.teachers["tiny"], part), own)
    with pytest.raises(JoinError, match=rf"{part}: no row for [0-9a-f]{{32}}"):
        write_release(tmp_path / "out", tables, facts(), CARDS)


def test_teachers_with_other_queries_are_no_parallel_set(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    other = write_tables(tmp_path / "other", [*examples()[1:], example(50)])
    own = tables.teachers["worked"].aligned
    shutil.rmtree(own)
    shutil.copytree(other.teachers["worked"].aligned, own)
    with pytest.raises(JoinError, match="different runs"):
        write_release(tmp_path / "out", tables, facts(), CARDS)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    shutil.rmtree(tables.rejected_queries)
    with pytest.raises(TableError, match="rejected: no table here"):
        write_release(tmp_path / "out", tables, facts(), CARDS)


def test_a_configuration_without_rows_is_left_out(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    shutil.rmtree(tables.rejected_queries)
    write_table(tables.rejected_queries, Rejected, [])
    write_release(tmp_path / "out", tables, facts(), CARDS)
    assert REJECTED_QUERIES not in files(tmp_path / "out/tiny")
    card = DatasetCard.load(tmp_path / "out/tiny/README.md").data.to_dict()
    names = [config["config_name"] for config in card["configs"]]
    assert names == ["default", "all_attempts", "rejected"]


def test_many_shards_hold_all_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.package.shards.SHARD_BYTES", 100)
    monkeypatch.setattr("stillhouse.package.shards.ROW_GROUP_BYTES", 50)
    schema = pa.schema({"n": pa.int64()})
    with ShardWriter(tmp_path / "data", schema) as writer:
        for i in range(0, 80, 2):
            writer.write(pa.RecordBatch.from_pydict({"n": [i, i + 1]}, schema=schema))
    assert len(writer.shards) > 3
    assert [path.name for path in writer.shards] == [
        f"train-{i:05d}-of-{len(writer.shards):05d}.parquet" for i in range(len(writer.shards))
    ]
    read = [n for path in writer.shards for n in pq.read_table(path)["n"].to_pylist()]
    assert read == list(range(80))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 500), st.integers(1, 900))
def test_shards_lose_nothing(lengths: list[int], group: int, shard: int) -> None:
    schema = pa.schema({"n": pa.int64()})
    with (
        tempfile.TemporaryDirectory() as scratch,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("stillhouse.package.shards.ROW_GROUP_BYTES", group)
        patch.setattr("stillhouse.package.shards.SHARD_BYTES", shard)
        with ShardWriter(Path(scratch) / "data", schema) as writer:
            for k in lengths:
                writer.write(pa.RecordBatch.from_pydict({"n": [k] * k}, schema=schema))
        assert writer.shards
        read = [n for path in writer.shards for n in pq.read_table(path)["n"].to_pylist()]
    assert read == [k for k in lengths for _ in range(k)]
