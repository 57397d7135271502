import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.journal import journal as journal_module
from stillhouse.journal.files import LIVE_NAME
from stillhouse.journal.journal import Journal, JournalError, journal_key


def key(name: str) -> bytes:
    return journal_key({"name": name})


def damage_row(path: Path, name: bytes, position: int) -> None:
    """Flip one bit of a stored answer."""
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        (payload,) = other.execute("SELECT payload FROM answers WHERE key = ?", (name,)).fetchone()
        damaged = bytearray(payload)
        damaged[position] ^= 0x40
        other.execute("UPDATE answers SET payload = ? WHERE key = ?", (bytes(damaged), name))


def put(journal: Journal, name: str, answer: bytes) -> None:
    asyncio.run(journal.put(key(name), answer, purpose="teacher", model="m"))


def test_an_answer_survives_reopening(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"answer")
    with Journal.open(tmp_path) as journal:
        assert journal.get(key("a")) == b"answer"
        assert journal.get(key("b")) is None


def test_the_first_answer_wins(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"first")
        put(journal, "a", b"second")
        assert journal.get(key("a")) == b"first"
        assert journal.stats()["answers"] == 1


@pytest.mark.parametrize("position", [0, 5, -1])
def test_a_damaged_answer_is_told_and_asked_for_again(
    tmp_path: Path, position: int, capsys: pytest.CaptureFixture[str]
):
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"answer" * 20)
        put(journal, "whole", b"whole")
        damage_row(tmp_path / LIVE_NAME, key("a"), position)
        assert journal.get(key("a")) is None
        assert "a damaged answer was removed" in capsys.readouterr().err
        assert journal.get(key("whole")) == b"whole"
        put(journal, "a", b"asked again")
        assert journal.get(key("a")) == b"asked again"


def test_an_answer_under_another_key_is_damaged(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"answer to a")
        with contextlib.closing(sqlite3.connect(tmp_path / LIVE_NAME)) as other, other:
            other.execute("UPDATE answers SET key = ?", (key("b"),))
        assert journal.get(key("b")) is None


@pytest.mark.parametrize("group_limit", [1, 7, 512])
def test_every_put_of_many_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_limit: int
):
    monkeypatch.setattr(journal_module, "GROUP_LIMIT", group_limit)

    async def put_all(journal: Journal) -> None:
        await asyncio.gather(
            *(
                journal.put(key(str(i)), str(i).encode(), purpose="judge", model="m")
                for i in range(100)
            )
        )

    with Journal.open(tmp_path) as journal:
        asyncio.run(put_all(journal))
        assert [journal.get(key(str(i))) for i in range(100)] == [
            str(i).encode() for i in range(100)
        ]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from stillhouse.journal.journal import Journal, journal_key
journal = Journal.open(Path(sys.argv[1]))
asyncio.run(journal.put(journal_key({"name": "a"}), b"kept", purpose="teacher", model="m"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_acknowledged_answer_survives_a_kill(tmp_path: Path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with Journal.open(tmp_path) as journal:
        assert journal.get(key("a")) == b"kept"


WRITER = """
import asyncio, sys
from pathlib import Path
from stillhouse.journal.journal import Journal, journal_key
me, first, last = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
async def run(journal):
    for i in range(first, last):
        await journal.put(journal_key({"name": str(i)}), f"{i} {me}".encode(), purpose="teacher", model=me)
with Journal.open(Path(sys.argv[1])) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(run(journal))
"""


def test_two_processes_write_at_once(tmp_path: Path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name, str(first), str(last)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, first, last in (("x", 0, 120), ("y", 60, 180))
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    for writer in writers:
        writer.stdin.close()
        writer.stdout.close()
    with Journal.open(tmp_path) as journal:
        assert [journal.get(key(str(i))).split()[0] for i in range(180)] == [
            str(i).encode() for i in range(180)
        ]
        groups = {g["model"]: g["answers"] for g in journal.stats()["groups"]}
    assert sum(groups.values()) == 180
    assert groups["x"] >= 60
    assert groups["y"] >= 60


def test_a_failed_commit_tells_everyone_who_waits_and_the_journal_goes_on(tmp_path: Path):
    async def put_three(journal: Journal) -> list[BaseException | None]:
        return await asyncio.gather(
            *(journal.put(key(n), b"x", purpose="teacher", model="m") for n in "abc"),
            return_exceptions=True,
        )

    with Journal.open(tmp_path) as journal:
        other = sqlite3.connect(tmp_path / LIVE_NAME)
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        failures = asyncio.run(put_three(journal))
        assert [type(f) for f in failures] == [JournalError] * 3
        assert "disk is full" in str(failures[0])
        assert str(tmp_path) in str(failures[0])
        assert journal.get(key("a")) is None
        other.execute("DROP TRIGGER full")
        other.close()
        assert asyncio.run(put_three(journal)) == [None] * 3
        assert journal.get(key("a")) == b"x"


def test_answers_of_a_stage_that_failed_meanwhile_are_kept(tmp_path: Path):
    async def fail_while_writing(journal: Journal) -> None:
        for number in range(20):
            task = asyncio.ensure_future(
                journal.put(key(str(number)), b"paid for", purpose="teacher", model="m")
            )
            task.add_done_callback(lambda _: None)
        await asyncio.sleep(0)
        raise RuntimeError("the stage failed")

    with Journal.open(tmp_path) as journal:
        other = sqlite3.connect(tmp_path / LIVE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # nothing can be committed before the loop is closed
        with pytest.raises(RuntimeError, match="the stage failed"):
            asyncio.run(fail_while_writing(journal))
        other.execute("COMMIT")
        other.close()
    with Journal.open(tmp_path) as journal:
        assert [journal.get(key(str(i))) for i in range(20)] == [b"paid for"] * 20


def test_a_journal_is_opened_once_in_a_process(tmp_path: Path):
    with (
        Journal.open(tmp_path / "one"),
        Journal.open(tmp_path / "other"),
        pytest.raises(JournalError, match="open already"),
    ):
        Journal.open(tmp_path / "other" / ".." / "one")
    with Journal.open(tmp_path / "one") as journal:
        assert journal.get(key("a")) is None


def test_a_file_that_is_no_journal_is_set_aside_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    content = b"no database at all " * 500
    (tmp_path / LIVE_NAME).write_bytes(content)
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"answer")
        assert journal.get(key("a")) == b"answer"
    (aside,) = tmp_path.glob("damaged-*.sqlite")
    assert aside.read_bytes() == content
    assert f"set aside as {aside.name}" in capsys.readouterr().err


def test_a_file_of_another_version_is_an_error_with_a_remedy(tmp_path: Path):
    with contextlib.closing(sqlite3.connect(tmp_path / LIVE_NAME)) as other:
        other.execute("CREATE TABLE answers (key BLOB)")
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match=r"format 99.*move the file away"):
        Journal.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="STILLHOUSE_JOURNAL"):
        Journal.open(tmp_path / "file" / "journal")


def test_stats_count_by_purpose_and_model(tmp_path: Path):
    async def fill(journal: Journal) -> None:
        for name, purpose, model in (
            ("a", "teacher", "big"),
            ("b", "teacher", "big"),
            ("c", "judge", "big"),
            ("d", "teacher", "small"),
        ):
            await journal.put(key(name), name.encode() * 50, purpose=purpose, model=model)

    with Journal.open(tmp_path) as journal:
        assert journal.stats()["groups"] == []
        assert journal.stats()["bytes"] == 0
        asyncio.run(fill(journal))
        stats = journal.stats()
    assert [(g["purpose"], g["model"], g["answers"]) for g in stats["groups"]] == [
        ("judge", "big", 1),
        ("teacher", "big", 2),
        ("teacher", "small", 1),
    ]
    assert stats["answers"] == 4
    assert stats["bytes"] == sum(g["bytes"] for g in stats["groups"]) > 0
    assert stats["path"] == str(tmp_path)
    assert stats["file_bytes"] > 0


FACTS = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=5
)


@given(FACTS, FACTS)
def test_keys_differ_exactly_where_facts_differ(one: dict, other: dict):
    assert (journal_key(one) == journal_key(other)) == (one == other)
    assert journal_key(dict(reversed(one.items()))) == journal_key(one)


@given(st.sets(st.integers(0, 1500)), st.sets(st.integers(0, 1500)))
def test_many_answers_are_found_as_one_by_one(kept: set[int], asked: set[int]):
    def name(number: int) -> bytes:
        return key(str(number))

    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder)) as journal:

        async def put_all() -> None:
            puts = (
                journal.put(name(n), str(n).encode(), purpose="verdict", model="m") for n in kept
            )
            await asyncio.gather(*puts)

        asyncio.run(put_all())
        found = journal.get_many(name(n) for n in asked)
        assert found == {name(n): str(n).encode() for n in kept & asked}
        assert found == {name(n): a for n in asked if (a := journal.get(name(n))) is not None}


def test_a_damaged_answer_among_many_is_told_and_the_others_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Journal.open(tmp_path) as journal:
        for name in ("a", "b", "c"):
            put(journal, name, name.encode() * 20)
        damage_row(tmp_path / LIVE_NAME, key("b"), 3)
        found = journal.get_many([key(name) for name in ("a", "b", "c", "d")])
        assert found == {key(name): name.encode() * 20 for name in ("a", "c")}
        assert "a damaged answer was removed" in capsys.readouterr().err
