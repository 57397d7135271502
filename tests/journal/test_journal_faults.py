"""What happens to a journal when a process is killed, a disk is full, or a page is broken."""

import asyncio
import contextlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.journal.files import LIVE_NAME
from stillhouse.journal.journal import Journal, JournalError
from stillhouse.verify.code.sandbox import _bubblewrap
from tests.journal.journal_filling import answer_of, fill, key_of, start

COUNT = 400
PAGE = 4096

KILLED_WRITER = """
import asyncio, sys
from pathlib import Path
from stillhouse.journal import locks as journal_locks
from stillhouse.journal import journal as module
from tests.journal.journal_filling import answer_of, key_of
if sys.argv[3] == "network":
    module.is_network_folder = lambda folder: True
async def walk(journal, numbers):
    for n in numbers:
        await journal.put(key_of(n), answer_of(n), purpose="teacher", model="m")
        print(n, flush=True)
async def run(journal):
    numbers = iter(range(int(sys.argv[2]), 10**9))
    await asyncio.gather(*(walk(journal, numbers) for _ in range(16)))
asyncio.run(run(module.Journal.open(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize("kind", ["local", "network"])
def test_every_acknowledged_answer_survives_kills_at_random_moments(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    moments = random.Random(0)
    acknowledged: list[int] = []
    for _ in range(10):
        first = max(acknowledged, default=-1) + 1000
        writer = start(KILLED_WRITER, tmp_path, str(first), kind)
        lines = moments.randrange(1, 400)
        told = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        # What it managed to say before it died counts too, but for a line that was cut off.
        told += [line for line in writer.stdout.readlines() if line.endswith("\n")]
        assert writer.wait(timeout=60) == -signal.SIGKILL, writer.stderr.read()
        close_pipes(writer)
        acknowledged += map(int, told)
    if kind == "network":
        monkeypatch.setattr("stillhouse.journal.journal.is_network_folder", lambda _: True)
    assert len(acknowledged) > 500
    with Journal.open(tmp_path) as journal:
        lost = [n for n in acknowledged if journal.get(key_of(n)) != answer_of(n)]
    assert lost == []


def close_pipes(process: "subprocess.Popen[str]") -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from stillhouse.journal.journal import Journal, JournalError
from tests.journal.journal_filling import answer_of, key_of
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
async def walk(journal, numbers):
    for n in numbers:
        await journal.put(key_of(n), answer_of(n), purpose="teacher", model="m")
        print(n, flush=True)
async def run(journal):
    numbers = iter(range(10**6))
    results = (walk(journal, numbers) for _ in range(20))
    for failure in await asyncio.gather(*results, return_exceptions=True):
        raise failure
with Journal.open(Path(sys.argv[1])) as journal:
    try:
        asyncio.run(run(journal))
    except JournalError as error:
        print(error, flush=True)
        # with room again, the same open journal goes on
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        asyncio.run(journal.put(key_of(-1), answer_of(1), purpose="teacher", model="m"))
        print("went on", flush=True)
"""


@pytest.mark.parametrize("limit", [1_000_000, 6_000_000])  # before and after the first checkpoint
def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path: Path, limit: int):
    writer = start(FULL_DISK, tmp_path, str(limit))
    out, err = writer.communicate(timeout=120)
    assert writer.returncode == 0, err
    *numbers, message, last = out.splitlines()
    assert re.search(r"cannot store \d+ answers", message)
    assert "free disk space" in message
    assert last == "went on"
    assert len(numbers) > limit // 20_000
    with Journal.open(tmp_path) as journal:
        assert [n for n in map(int, numbers) if journal.get(key_of(n)) != answer_of(n)] == []
        assert journal.get(key_of(-1)) == answer_of(1)


def break_pages(path: Path, numbers: list[int], content: bytes = b"\xff") -> None:
    """Overwrite whole pages of a closed database."""
    with path.open("r+b") as file:
        for number in numbers:
            file.seek(number * PAGE)
            file.write(content * PAGE)


def page_count(path: Path) -> int:
    return path.stat().st_size // PAGE


@pytest.mark.parametrize("content", [b"\xff", b"\0", b"\x0d"])
@pytest.mark.parametrize("seed", range(3))
def test_broken_pages_are_set_aside_told_and_refilled(
    tmp_path: Path, seed: int, content: bytes, capsys: pytest.CaptureFixture[str]
):
    with Journal.open(tmp_path) as journal:
        fill(journal, range(COUNT))
    path = tmp_path / LIVE_NAME
    pages = page_count(path)
    break_pages(path, random.Random(seed).sample(range(1, pages), 5), content)
    with Journal.open(tmp_path) as journal:
        missing = [n for n in range(COUNT) if journal.get(key_of(n)) != answer_of(n)]
        assert all(journal.get(key_of(n)) is None for n in missing)  # nothing wrong is ever said
        assert 0 < len(missing) < COUNT
        for number in missing:  # refilled, as a run would
            fill(journal, range(number, number + 1))
        assert [n for n in range(COUNT) if journal.get(key_of(n)) != answer_of(n)] == []
    told = capsys.readouterr().err
    assert "asked for again" in told
    assert str(tmp_path) in told
    with Journal.open(tmp_path) as journal:
        assert [n for n in range(COUNT) if journal.get(key_of(n)) != answer_of(n)] == []


def test_a_page_that_breaks_while_writing_is_set_aside_and_nothing_is_refused(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        fill(journal, range(COUNT))
    path = tmp_path / LIVE_NAME
    with contextlib.closing(sqlite3.connect(path)) as other:
        (root,) = other.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'answers_by_key'"
        ).fetchone()
    break_pages(path, [root - 1])
    with Journal.open(tmp_path) as journal:
        fill(journal, range(COUNT, COUNT + 10))  # the insertion meets it first
        assert [journal.get(key_of(n)) for n in range(COUNT, COUNT + 10)] == [
            answer_of(n) for n in range(COUNT, COUNT + 10)
        ]
    assert len(list(tmp_path.glob("damaged-*.sqlite"))) == 1


HOLDER = """
import sys
from pathlib import Path
from stillhouse.journal.journal import Journal
with Journal.open(Path(sys.argv[1])) as journal:
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_a_broken_file_that_others_have_open_is_a_clear_error(tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        fill(journal, range(COUNT))
    holder = start(HOLDER, tmp_path)
    assert holder.stdout.readline() == "open\n"
    break_pages(tmp_path / LIVE_NAME, list(range(1, page_count(tmp_path / LIVE_NAME))))
    with (
        pytest.raises(JournalError, match=r"is damaged, and other processes have it open; stop"),
        Journal.open(tmp_path) as journal,
    ):
        journal.get(key_of(0))
    assert list(tmp_path.glob("damaged-*")) == []
    holder.communicate("end\n", timeout=60)
    with Journal.open(tmp_path) as journal:
        assert journal.get(key_of(0)) is None


CLAIMER = """
import asyncio, sys
from pathlib import Path
from stillhouse.journal.journal import Journal
from tests.journal.journal_filling import answer_of, key_of
async def run(journal):
    async with journal.claim(key_of(1), purpose="teacher", model="m"):
        print("claimed", flush=True)
        sys.stdin.readline()
        await journal.put(key_of(1), answer_of(1), purpose="teacher", model="m")
with Journal.open(Path(sys.argv[1])) as journal:
    asyncio.run(run(journal))
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_claim_of_another_process_is_waited_for_and_ends_with_it(tmp_path: Path, killed: bool):
    claimer = start(CLAIMER, tmp_path)
    assert claimer.stdout.readline() == "claimed\n"

    async def ask(journal: Journal) -> bytes | None:
        async def claim() -> bytes | None:
            async with journal.claim(key_of(1), purpose="teacher", model="m"):
                return journal.get(key_of(1))

        async with journal.claim(key_of(2), purpose="teacher", model="m"):
            pass  # another key is free
        waiting = asyncio.create_task(claim())
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        if killed:
            claimer.kill()
        else:
            claimer.stdin.write("go on\n")
            claimer.stdin.flush()
        return await asyncio.wait_for(waiting, timeout=60)

    with Journal.open(tmp_path) as journal:
        found = asyncio.run(ask(journal))
    assert found == (None if killed else answer_of(1))
    claimer.wait(timeout=60)
    close_pipes(claimer)


def test_a_file_that_cannot_be_opened_is_a_clear_error(tmp_path: Path):
    (tmp_path / LIVE_NAME).mkdir()
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal.open(tmp_path)


LOOK_UPS = """
import asyncio, sys
from pathlib import Path
from stillhouse.journal.journal import Journal, JournalError
from tests.journal.journal_filling import answer_of, key_of
async def run(journal):
    assert journal.get(key_of(3)) == answer_of(3)
    assert len(journal.get_many(map(key_of, range(20)))) == 10
    assert journal.stats()["answers"] == 10
    await journal.put(key_of(11), b"{}", purpose="verdict", model="rule")  # is left out
    for ask in (claim, put):
        try:
            await ask(journal)
        except JournalError as error:
            print(error)
async def claim(journal):
    async with journal.claim(key_of(12), purpose="teacher", model="m"):
        raise SystemExit("a teacher would be asked")
async def put(journal):
    await journal.put(key_of(13), b"{}", purpose="teacher", model="m")
with Journal.open(Path(sys.argv[1])) as journal:
    asyncio.run(run(journal))
"""


def test_a_journal_on_a_read_only_file_system_serves_look_ups_and_refuses_what_would_be_paid(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path) as journal:
        fill(journal, range(10))
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    inside = [_bubblewrap(), "--dev-bind", "/", "/", "--ro-bind", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [*inside, sys.executable, "-c", LOOK_UPS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    refusal = f"{tmp_path}: the journal is read-only and lacks an answer that this command needs"
    assert done.returncode == 0, done.stderr
    assert [line.startswith(refusal) for line in done.stdout.splitlines()] == [True, True]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
