"""A folder that several machines share and that may not lock: one file per writer, one lease per teacher."""

import asyncio
import errno
import fcntl
import json
from pathlib import Path

import pytest

from stillhouse.journal import journal as journal_module
from stillhouse.journal.files import LIVE_NAME
from stillhouse.journal.journal import Journal, JournalError
from stillhouse.journal.locks import Process, file_system, is_network_folder
from stillhouse.journal.upkeep import compact, verify
from tests.journal.journal_filling import answer_of, fill, key_of, start

COUNT = 50


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(journal_module, "is_network_folder", lambda _: True)
    monkeypatch.setattr("stillhouse.journal.upkeep.is_network_folder", lambda _: True)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir() if path.name != "lock")


def test_each_writer_has_a_file_and_reads_those_of_others(network: Path):
    for number in range(3):
        with Journal.open(network) as journal:
            assert all(journal.get(key_of(n)) for n in range(number))
            fill(journal, range(number, number + 1))
            assert journal.get(key_of(number)) == answer_of(number)
            many = journal.get_many(key_of(n) for n in range(number + 2))
            assert many == {key_of(n): answer_of(n) for n in range(number + 1)}
            assert files(network) == [".sqlite"] * number + [".writing", ".writing-journal"]
    assert files(network) == [".sqlite"] * 3
    with Journal.open(network) as journal:
        assert [journal.get(key_of(n)) for n in range(3)] == [answer_of(n) for n in range(3)]
        assert journal.stats()["answers"] == 3


def test_a_journal_that_only_reads_leaves_no_file(network: Path):
    with Journal.open(network) as journal:
        assert journal.get(key_of(0)) is None
    assert files(network) == []


def test_a_folder_that_cannot_lock_is_a_network_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with Journal.open(tmp_path) as journal:
        fill(journal, range(COUNT))
    assert files(tmp_path) == [".sqlite"]
    with Journal.open(tmp_path) as journal:
        assert all(journal.get(key_of(n)) == answer_of(n) for n in range(COUNT))


def claim(journal: Journal, purpose: str, model: str) -> None:
    async def run() -> None:
        async with journal.claim(key_of(0), purpose=purpose, model=model):
            pass

    asyncio.run(run())


NETWORK_HOLDER = """
import asyncio, sys
from pathlib import Path
from stillhouse.journal import journal as module
from tests.journal.journal_filling import fill, key_of
module.is_network_folder = lambda folder: True
async def claim(journal):
    async with journal.claim(key_of(0), purpose="teacher", model="mine"):
        pass
with module.Journal.open(Path(sys.argv[1])) as journal:
    asyncio.run(claim(journal))
    fill(journal, range(50))
    print("asked", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_on_one_teacher_fails_clearly_and_later_finds_its_answers(network: Path):
    holder = start(NETWORK_HOLDER, network)
    assert holder.stdout.readline() == "asked\n"
    with Journal.open(network) as journal:
        with pytest.raises(
            JournalError, match=f"process {holder.pid} on .* is asking teacher mine"
        ):
            claim(journal, "teacher", "mine")
        claim(journal, "teacher", "other")
        claim(journal, "judge", "mine")  # a judge is shared
        assert journal.get(key_of(1)) is None
        holder.communicate("end\n", timeout=60)
        claim(journal, "teacher", "mine")
        assert journal.get(key_of(1)) == answer_of(1)
    assert files(network) == [".sqlite"]


def test_what_a_killed_process_of_this_machine_left_is_taken_over(network: Path):
    holder = start(NETWORK_HOLDER, network)
    assert holder.stdout.readline() == "asked\n"
    holder.kill()
    holder.communicate(timeout=60)
    assert files(network) == [".lease", ".writing", ".writing-journal"]
    with Journal.open(network) as journal:
        assert all(journal.get(key_of(n)) == answer_of(n) for n in range(COUNT))
        claim(journal, "teacher", "mine")
    assert files(network) == [".sqlite"]


def test_what_another_machine_is_writing_is_left_alone(network: Path):
    theirs = network / f"answers-{Process('elsewhere', 1, 2)}-3.writing"
    theirs.write_bytes(b"half a page")
    with Journal.open(network) as journal:
        fill(journal, range(3))
    assert theirs.read_bytes() == b"half a page"
    with pytest.raises(JournalError, match="process 1 on elsewhere uses the journal"):
        compact(network)


def test_a_lease_of_another_machine_is_named_with_its_remedy(network: Path):
    with Journal.open(network) as journal:
        claim(journal, "teacher", "mine")
        (lease,) = network.glob("*.lease")
    lease.write_text(json.dumps({"process": str(Process("elsewhere", 1, 2))}))
    with Journal.open(network) as journal:
        with pytest.raises(JournalError, match=r"\.lease: .*on elsewhere.*delete the file if"):
            claim(journal, "teacher", "mine")
        lease.write_text("rubbish")
        with pytest.raises(JournalError, match="an unknown machine"):
            claim(journal, "teacher", "mine")


def test_a_damaged_file_of_another_is_told_and_its_answers_are_asked_for_again(
    network: Path, capsys: pytest.CaptureFixture[str]
):
    with Journal.open(network) as journal:
        fill(journal, range(COUNT))
    (finished,) = network.glob("*.sqlite")
    whole = finished.read_bytes()
    finished.write_bytes(whole[: len(whole) // 2])
    with Journal.open(network) as journal:
        found = [journal.get(key_of(n)) for n in range(COUNT)]
        assert all(f in (None, answer_of(n)) for n, f in enumerate(found))
        assert None in found
        fill(journal, range(COUNT))
        assert all(journal.get(key_of(n)) == answer_of(n) for n in range(COUNT))
    assert capsys.readouterr().err.count("is damaged") == 1


def test_compact_makes_one_finished_file(network: Path):
    for number in range(4):
        with Journal.open(network) as journal:
            fill(journal, range(number * 10, number * 10 + 12))
    done = compact(network)
    assert (done.files, done.answers) == (4, 42)
    assert files(network) == [".sqlite"]
    assert not (network / LIVE_NAME).exists()
    assert [(r.answers, r.damaged, r.faults) for r in verify(network)] == [(42, 0, [])]


def test_the_file_system_of_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert file_system(Path("/proc")) == "proc"
    assert not is_network_folder(tmp_path)
    for kind, expected in (("nfs4", True), ("fuse.sshfs", True), ("fuse.fuse-overlayfs", False)):
        monkeypatch.setattr("stillhouse.journal.locks.file_system", lambda _, kind=kind: kind)
        assert is_network_folder(tmp_path) is expected


def test_a_process_is_known_by_its_start():
    here = Process.here()
    assert Process.named(str(here)) == here
    assert not here.has_ended
    assert here._replace(started=here.started + 1).has_ended
    assert not here._replace(host="elsewhere", started=1).has_ended
    assert Process.named("no process") is None
