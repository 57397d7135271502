import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.models import journal as journal_module
from stillhouse.models.journal import Journal, JournalError, journal_folder, journal_key


def key(name: str) -> bytes:
    return journal_key({"name": name})


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
def test_a_damaged_answer_is_asked_for_again(tmp_path: Path, position: int):
    with Journal.open(tmp_path) as journal:
        put(journal, "a", b"answer" * 20)
        put(journal, "whole", b"whole")
        with sqlite3.connect(journal.path) as other:
            (payload,) = other.execute(
                "SELECT payload FROM answers WHERE key = ?", (key("a"),)
            ).fetchone()
            damaged = bytearray(payload)
            damaged[position] ^= 0x40
            other.execute(
                "UPDATE answers SET payload = ? WHERE key = ?", (bytes(damaged), key("a"))
            )
        other.close()
        assert journal.get(key("a")) is None
        assert journal.get(key("whole")) == b"whole"
        put(journal, "a", b"asked again")
        assert journal.get(key("a")) == b"asked again"


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
from stillhouse.models.journal import Journal, journal_key
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
from stillhouse.models.journal import Journal, journal_key
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
        other = sqlite3.connect(journal.path)
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        failures = asyncio.run(put_three(journal))
        assert [type(f) for f in failures] == [JournalError] * 3
        assert "disk is full" in str(failures[0])
        assert str(journal.path) in str(failures[0])
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
        other = sqlite3.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # nothing can be committed before the loop is closed
        with pytest.raises(RuntimeError, match="the stage failed"):
            asyncio.run(fail_while_writing(journal))
        other.execute("COMMIT")
        other.close()
    with Journal.open(tmp_path) as journal:
        assert [journal.get(key(str(i))) for i in range(20)] == [b"paid for"] * 20


def test_a_file_that_is_no_journal_is_an_error_with_a_remedy(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"no database at all " * 500)
    with pytest.raises(JournalError, match=r"journal\.sqlite: cannot open.*move the file away"):
        Journal(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="STILLHOUSE_JOURNAL"):
        Journal.open(tmp_path / "file" / "journal")


def test_a_damaged_file_is_an_error_with_a_remedy(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        for number in range(5):
            put(journal, str(number), os.urandom(3000))
        path = journal.path
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)  # all pages but the first
    path.write_bytes(raw)
    with (
        Journal(path) as journal,
        pytest.raises(JournalError, match=r"cannot read the journal.*move the file away"),
    ):
        journal.get(key("0"))


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
    assert stats["path"] == str(tmp_path / "journal.sqlite")
    assert stats["file_bytes"] > 0


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STILLHOUSE_JOURNAL", raising=False)
    assert journal_folder() == Path(".stillhouse/journal")
    monkeypatch.setenv("STILLHOUSE_JOURNAL", "/elsewhere")
    assert journal_folder() == Path("/elsewhere")


FACTS = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=5
)


@given(FACTS, FACTS)
def test_keys_differ_exactly_where_facts_differ(one: dict, other: dict):
    assert (journal_key(one) == journal_key(other)) == (one == other)
    assert journal_key(dict(reversed(one.items()))) == journal_key(one)
