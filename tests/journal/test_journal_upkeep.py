"""Verify, compact, export and import."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.journal.files import LIVE_NAME
from stillhouse.journal.journal import Journal, JournalError
from stillhouse.journal.upkeep import compact, export_lines, import_lines, verify
from tests.journal.journal_filling import answer_of, fill, key_of, start
from tests.journal.test_journal import damage_row
from tests.journal.test_journal_faults import HOLDER, break_pages, page_count

COUNT = 300


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with Journal.open(tmp_path / "journal") as journal:
        fill(journal, range(COUNT))
    return tmp_path / "journal"


def kept(folder: Path) -> list[int]:
    with Journal.open(folder) as journal:
        return [n for n in range(COUNT) if journal.get(key_of(n)) == answer_of(n)]


def test_verify_finds_nothing_in_a_whole_journal(filled: Path):
    (report,) = verify(filled)
    assert report == (filled / LIVE_NAME, COUNT, 0, [])


def test_verify_finds_a_damaged_answer_and_changes_nothing(filled: Path):
    damage_row(filled / LIVE_NAME, key_of(7), 3)
    before = (filled / LIVE_NAME).read_bytes()
    for _ in range(2):
        (report,) = verify(filled)
        assert (report.answers, report.damaged, report.faults) == (COUNT - 1, 1, [])
    assert (filled / LIVE_NAME).read_bytes() == before


def test_verify_finds_broken_pages_and_compact_keeps_the_rest(filled: Path):
    path = filled / LIVE_NAME
    break_pages(path, random.Random(4).sample(range(1, page_count(path)), 4))
    (report,) = verify(filled)
    assert report.damaged or report.faults
    assert 0 < report.answers < COUNT
    done = compact(filled)
    assert (done.files, done.answers) == (1, report.answers)
    assert done.damaged == report.damaged > 0
    assert [file.name for file in filled.glob("*.sqlite")] == [LIVE_NAME]
    assert [(r.damaged, r.faults) for r in verify(filled)] == [(0, [])]
    assert len(kept(filled)) == report.answers


def test_verify_reports_a_file_that_is_no_database(filled: Path):
    (filled / "damaged-x.sqlite").write_bytes(b"nothing like it" * 1000)
    reports = list(verify(filled))
    assert [r.answers for r in reports] == [COUNT, 0]
    assert "not a database" in reports[1].faults[0]


def test_compact_joins_all_files_and_the_first_answer_stays(filled: Path, tmp_path: Path):
    with Journal.open(tmp_path / "other") as other:
        fill(other, range(COUNT - 10, COUNT + 10), model="other")
    (tmp_path / "other" / LIVE_NAME).rename(filled / "answers-elsewhere.sqlite")
    done = compact(filled)
    assert (done.files, done.answers, done.damaged) == (2, COUNT + 10, 0)
    assert sorted(file.name for file in filled.iterdir()) == [LIVE_NAME, "lock"]
    with Journal.open(filled) as journal:
        assert {g["model"]: g["answers"] for g in journal.stats()["groups"]} == {
            "m": COUNT,
            "other": 10,
        }


def test_compact_is_refused_while_another_process_has_it_open(filled: Path):
    holder = start(HOLDER, filled)
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(JournalError, match="other processes have the journal open"):
        compact(filled)
    holder.communicate("end\n", timeout=60)
    assert compact(filled).answers == COUNT


def test_unwanted_rows_are_left_out_of_all_files_and_counted_once(filled: Path, tmp_path: Path):
    for folder in (filled, tmp_path / "other"):
        with Journal.open(folder) as journal:
            fill(journal, range(COUNT, COUNT + 10), model="unwanted")
    (tmp_path / "other" / LIVE_NAME).rename(filled / "answers-elsewhere.sqlite")
    done = compact(filled, lambda row: row.model != "unwanted")
    assert done.dropped == {"unwanted": 10}
    assert done.answers == COUNT
    assert kept(filled) == list(range(COUNT))
    with Journal.open(filled) as journal:
        assert journal.get(key_of(COUNT)) is None
        fill(journal, range(COUNT, COUNT + 1))  # and can be kept anew
        assert journal.get(key_of(COUNT)) == answer_of(COUNT)


COMPACT_ON_FULL_DISK = """
import resource, sys
from pathlib import Path
from stillhouse.journal.upkeep import compact
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
compact(Path(sys.argv[1]))
"""


def test_compact_on_a_full_disk_changes_nothing(filled: Path):
    before = {path.name: path.read_bytes() for path in filled.glob("*.sqlite")}
    failed = start(COMPACT_ON_FULL_DISK, filled)
    _, err = failed.communicate(timeout=60)
    assert "JournalError" in err
    assert "nothing was lost" in err
    assert {path.name: path.read_bytes() for path in filled.glob("*.sqlite")} == before
    assert list(filled.glob("*partial*")) == []
    assert kept(filled) == list(range(COUNT))


def test_export_and_import_carry_every_answer_once(filled: Path, tmp_path: Path):
    lines = list(export_lines(filled))
    assert len(lines) == COUNT
    with Journal.open(tmp_path / "new") as journal:
        fill(journal, range(5))
        assert import_lines(journal, lines, "lines") == (COUNT - 5, 5)
        assert import_lines(journal, lines, "lines") == (0, COUNT)
    assert kept(tmp_path / "new") == list(range(COUNT))
    assert sorted(export_lines(tmp_path / "new")) == sorted(lines)


def test_an_answer_in_two_files_is_exported_once(filled: Path, tmp_path: Path):
    with Journal.open(tmp_path / "other") as other:
        fill(other, range(COUNT - 10, COUNT + 10))
    (tmp_path / "other" / LIVE_NAME).rename(filled / "answers-elsewhere.sqlite")
    assert len(list(export_lines(filled))) == COUNT + 10


@settings(max_examples=25, deadline=None)
@given(answer=st.binary(max_size=60))
def test_any_bytes_come_through_an_export(tmp_path_factory: pytest.TempPathFactory, answer: bytes):
    import asyncio

    folder = tmp_path_factory.mktemp("bytes")
    with Journal.open(folder / "one") as one:
        asyncio.run(one.put(key_of(0), answer, purpose="teacher", model="m"))
    with Journal.open(folder / "two") as two:
        assert import_lines(two, export_lines(folder / "one"), "lines") == (1, 0)
        assert two.get(key_of(0)) == answer


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"key": 1}', '{"key": "00", "purpose": "p", "model": "m", "answer": "a"}', "\x00"],
)
def test_a_malformed_line_is_named_and_those_before_it_stay(
    filled: Path, tmp_path: Path, line: str
):
    lines = [*list(export_lines(filled))[:3], line]
    with Journal.open(tmp_path / "new") as journal:
        with pytest.raises(JournalError, match=r"file\.jsonl: line 4: .*3 answers before"):
            import_lines(journal, lines, "file.jsonl")
        assert journal.stats()["answers"] == 3


@pytest.mark.parametrize("work", [verify, export_lines, compact])
def test_a_folder_without_a_journal_is_named(tmp_path: Path, work):
    with pytest.raises(JournalError, match=f"{tmp_path}: no journal here"):
        list(work(tmp_path))
