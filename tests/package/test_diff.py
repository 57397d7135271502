import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.cli import main
from stillhouse.package import chunks
from stillhouse.package.diff import DiffError, diff
from stillhouse.package.manifest import write_manifest
from stillhouse.package.rows import DATA_SCHEMA
from tests.cli.json_output import document

_ROWS = st.dictionaries(st.integers(0, 60), st.integers(0, 1))
SHARD = "data/train-00000-of-00001.parquet"


@pytest.fixture
def newer(release: Path, tmp_path: Path) -> Path:
    """The next version: one row less, one more, and two changed."""
    folder = tmp_path / "newer"
    shutil.copytree(release, folder)
    rows = pq.read_table(folder / SHARD).to_pylist()
    rows[2]["answer"] = "Other."
    rows[2]["tokens"] = 7
    rows[4]["messages"][0]["content"] = "Otherwise?"
    rows[5]["ground_truth"] = None if rows[5]["ground_truth"] else "1"
    del rows[0]
    rows.append(rows[-1] | {"id": "f" * 32})
    pq.write_table(pa.Table.from_pylist(rows, schema=DATA_SCHEMA), folder / SHARD)
    (folder / "README.md").write_text("changed")
    write_manifest(folder)
    return folder


def test_rows_and_columns_that_changed_are_counted(release: Path, newer: Path) -> None:
    found = diff(release, newer)
    data = next(config for config in found.configs if config.folder == "data")
    assert (data.before, data.after) == (12, 12)
    assert (data.added, data.removed, data.changed) == (1, 1, 3)
    counts = {name: rows for name, rows in data.columns.items() if rows}
    assert counts == {"answer": 1, "tokens": 1, "messages": 1, "ground_truth": 1}
    assert data.ids["added"] == ["f" * 32]
    assert [config.folder for config in found.configs if not config.same] == ["data"]
    assert found.files == ["README.md"]
    assert 0 < found.upload < found.size


def test_a_release_is_the_same_as_itself(release: Path) -> None:
    found = diff(release, release)
    assert all(config.same for config in found.configs)
    assert (found.files, found.upload) == ([], 0)


def test_a_configuration_that_came_is_all_added(release: Path, newer: Path) -> None:
    shutil.rmtree(release / "rejected")
    write_manifest(release)
    rejected = next(c for c in diff(release, newer).configs if c.folder == "rejected")
    assert (rejected.before, rejected.added, rejected.removed) == (0, 7, 0)


def test_a_folder_without_manifest_is_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(DiffError, match="name the folder of one repository"):
        diff(tmp_path, release)


@settings(deadline=None, max_examples=30)
@given(_ROWS, _ROWS, st.integers(1, 7))
def test_the_pass_over_both_sides_sees_every_row(old: dict, new: dict, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stillhouse.package.diff.BATCH_ROWS", batch)
        scratch = _write(old), _write(new)
        try:
            (found,) = diff(*scratch).configs or [None]
        finally:
            for folder in scratch:
                shutil.rmtree(folder)
    assert found.added == len(new.keys() - old.keys())
    assert found.removed == len(old.keys() - new.keys())
    assert found.changed == sum(old[k] != new[k] for k in old.keys() & new.keys())


def _write(rows: dict[int, int]) -> Path:
    import tempfile

    folder = Path(tempfile.mkdtemp())
    keys = sorted(f"{k:03d}" for k in rows)
    table = pa.table(
        {
            "id": pa.array(keys, pa.string()),
            "value": pa.array([[rows[int(k)]] for k in keys], pa.list_(pa.int64())),
        }
    )
    (folder / "data").mkdir()
    pq.write_table(table, folder / SHARD)
    write_manifest(folder)
    return folder


def test_the_command_prints_changes_and_upload(release: Path, newer: Path) -> None:
    found = document("release", "diff", str(release), str(newer))
    assert found["configs"][0]["before"] > 0
    assert 0 < found["upload_bytes"] <= found["size_bytes"]
    result = CliRunner().invoke(main, ["release", "diff", str(release), str(newer)])
    assert result.exit_code == 0, result.output
    assert "data: 12 -> 12 rows: 1 added, 1 removed, 3 changed" in result.stdout
    assert "changed by column: messages 1, ground_truth 1, tokens 1, answer 1" in result.stdout
    assert "expected upload: " in result.stdout


def test_the_lint_command_ends_with_1_where_there_are_errors(release: Path) -> None:
    assert document("release", "lint", str(release))["errors"] == 0
    good = CliRunner().invoke(main, ["release", "lint", str(release)])
    assert (good.exit_code, good.stdout) == (0, f"{release}: 0 errors, 0 warnings\n")
    (release / "manifest.json").unlink()
    found = document("release", "lint", str(release), exit_code=1)
    assert found["findings"][0]["level"] == "error"
    bad = CliRunner().invoke(main, ["release", "lint", str(release)])
    assert bad.exit_code == 1
    assert bad.stdout.startswith("error: manifest.json")


@pytest.mark.parametrize("block", [200_000, 1_000_000, 50_000_000])
def test_chunks_do_not_depend_on_how_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    content = random.Random(1).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    wanted = list(chunks.chunks_of([tmp_path / "file"]))
    monkeypatch.setattr(chunks, "_READ_BYTES", block)
    assert list(chunks.chunks_of([tmp_path / "file"])) == wanted
    sizes = [size for _, size in wanted]
    assert sum(sizes) == len(content)
    assert max(sizes) <= chunks.MAX_CHUNK
    assert min(sizes[:-1]) >= chunks.MIN_CHUNK


def test_an_insertion_moves_few_chunks(tmp_path: Path) -> None:
    content = random.Random(2).randbytes(4_000_000)
    (tmp_path / "old").write_bytes(content)
    (tmp_path / "new").write_bytes(content[:2_000_000] + b"inserted" + content[2_000_000:])
    sent, total = chunks.new_bytes([tmp_path / "old"], [tmp_path / "new"])
    assert total == len(content) + 8
    assert 0 < sent <= 3 * chunks.MAX_CHUNK


def test_a_constant_file_is_cut_and_sent_once(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(1_000_000))
    sent, total = chunks.new_bytes([], [tmp_path / "zeros"])
    assert total == 1_000_000
    assert sent <= 2 * chunks.MAX_CHUNK


def test_the_document_of_an_export_has_its_rows(release: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "paper")
    found = document("release", "export-paper", str(release), "--to", out)
    assert found["folder"] == out
    assert sum(found["rows"].values()) == 12


def test_export_is_the_layout_of_the_paper(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    result = CliRunner().invoke(main, ["release", "export-paper", str(release), "--to", str(out)])
    assert result.exit_code == 0, result.output
    lines = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in out.iterdir()
    }
    assert {name: len(rows) for name, rows in lines.items()} == {"math": 10, "code": 1, "if": 1}
    row = lines["math"][0]
    assert list(row) == ["system", "conversations"]
    human, assistant = row["conversations"]
    assert (human["from"], assistant["from"]) == ("human", "assistant")
    assert human["info"]["category"] == "math"
    assert human["info"]["test_case"] is None
    assert assistant["value"] == (
        f"<think>{assistant['info']['think_content']}</think>"
        f"<answer>{assistant['info']['answer_content']}</answer>"
    )
    assert lines["code"][0]["conversations"][0]["info"]["test_case"][0]["kind"] == "assert"
    constraint = lines["if"][0]["conversations"][0]["info"]["instruction_constrain"][0]
    assert constraint["kwargs"] == {"num_words": 9, "relation": "at least"}


def test_export_refuses_a_folder_that_is_there_and_one_without_rows(
    release: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    taken = CliRunner().invoke(
        main, ["release", "export-paper", str(release), "--to", str(tmp_path / "there")]
    )
    assert (taken.exit_code, "exists already" in taken.stderr) == (2, True)
    empty = CliRunner().invoke(
        main, ["release", "export-paper", str(tmp_path / "there"), "--to", str(tmp_path / "x")]
    )
    assert (empty.exit_code, "no training set here" in empty.stderr) == (2, True)
