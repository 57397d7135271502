"""Who may do what in a journal's folder: locks where the file system has them, lease files where it has not.

On a local disk the kernel locks one byte of the file `lock` for each answer being asked for, so that no other process
asks for the same; the lock ends with the process, however that ends. A network folder may not lock at all, or only
between the processes of one machine, so there a teacher is leased as a whole by a file that only one process can make.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stillhouse.journal.files import JournalError

LOCK_NAME = "lock"
LEASE_SUFFIX = ".lease"
# File systems that several machines may have mounted: SQLite's shared memory does not reach across, and locks may not.
NETWORK_TYPES = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "lustre",
        "ceph",
        "gpfs",
        "beegfs",
        "afs",
        "9p",
        "virtiofs",
    )
)
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_PRESENCE = 0  # the byte that every process with the journal open shares
_OFFSETS = 1 << 62  # bytes that stand for keys, from 1 on


class Process(NamedTuple):
    """A process by its machine, number and start (in clock ticks since boot), as numbers are used again."""

    host: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> "Process":
        """Return this process."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def named(cls, name: str) -> "Process | None":
        """Return the process of which `str` made this name."""
        host, _, numbers = name.rpartition("@")
        pid, _, started = numbers.partition("-")
        return cls(host, int(pid), int(started)) if pid.isdigit() and started.isdigit() else None

    def __str__(self) -> str:
        return f"{self.host}@{self.pid}-{self.started}"

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for sure: nothing is known of other machines."""
        return self.host == socket.gethostname() and _started(self.pid) != self.started


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # Field 22; the name in parentheses may hold anything.
    return int(stat.rpartition(")")[2].split()[19])


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, as the kernel names it."""
    folder = folder.resolve()
    found = (-1, "")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode().decode("unicode_escape"))  # a space is \\040
        if folder.is_relative_to(point):  # later mounts hide earlier ones
            found = max(found, (len(point.parts), after.split()[0]), key=lambda one: one[0])
    return found[1]


def is_network_folder(folder: Path) -> bool:
    """Whether other machines may have this folder too."""
    kind = file_system(folder)
    return kind in NETWORK_TYPES or (kind.startswith("fuse.") and "overlay" not in kind)


class Locks:
    """Byte locks on the file `lock` of a journal's folder.

    They are the kernel's record locks: a process has no conflict with itself, and loses all its locks when it closes
    the file once. So a process opens a journal once.
    """

    def __init__(self, folder: Path) -> None:
        """Open the lock file.

        Raises:
            OSError: it cannot be made.
        """
        self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def enter(self) -> bool:
        """Share the journal with others until `leave`; False where the file system has no locks.

        Waits while another process rebuilds the journal.
        """
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _PRESENCE)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        return True

    def enter_alone(self) -> bool:
        """Whether no other process has the journal open; none can open it until `share`."""
        return self._try(_PRESENCE)

    def share(self) -> None:
        """Let others in again."""
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _PRESENCE)

    def take(self, key: bytes) -> bool:
        """Try to reserve a key for this process."""
        return self._try(_offset(key))

    def give(self, key: bytes) -> None:
        """Give a key back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(key))

    def _try(self, offset: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def close(self) -> None:
        """Give everything back."""
        os.close(self._file)


def _offset(key: bytes) -> int:
    return 1 + int.from_bytes(hashlib.sha256(key).digest()[:8]) % _OFFSETS


class Leases:
    """Lease files of this process: one for each teacher or student that it asks."""

    def __init__(self, folder: Path, owner: Process) -> None:
        self._folder = folder
        self._owner = owner
        self._taken: dict[tuple[str, str], Path] = {}

    def take(self, purpose: str, model: str) -> bool:
        """Lease a model; True if it is a new lease, False if this process has it already.

        Raises:
            JournalError: another process has it.
        """
        if (purpose, model) in self._taken:
            return False
        name = hashlib.sha256(json.dumps([purpose, model]).encode()).hexdigest()[:16]
        path = self._folder / f"{name}{LEASE_SUFFIX}"
        text = json.dumps({"purpose": purpose, "model": model, "process": str(self._owner)})
        with machine_lock(self._folder):
            while not _make(path, text):
                holder = lease_holder(path)
                if holder is not None and not holder.has_ended:
                    raise JournalError(
                        f"{path}: {purpose} {model} is being asked by process {holder.pid} on {holder.host}, and this "
                        "folder cannot be locked answer by answer; wait for that process, or delete the file "
                        "if it has ended"
                    )
                path.unlink(missing_ok=True)
        self._taken[purpose, model] = path
        return True

    def close(self) -> None:
        """Give all leases back."""
        for path in self._taken.values():
            path.unlink(missing_ok=True)
        self._taken.clear()


def lease_holder(path: Path) -> Process | None:
    """Return the process that a lease file names; None if there is no such file any more."""
    with contextlib.suppress(FileNotFoundError):
        try:
            holder = Process.named(json.loads(path.read_text(encoding="utf-8"))["process"])
        except (ValueError, KeyError, TypeError):
            holder = None
        return holder or Process("an unknown machine", 0, 0)
    return None


@contextlib.contextmanager
def machine_lock(folder: Path) -> Iterator[None]:
    """Exclude this machine's other processes while something of a network folder changes hands."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"stillhouse-{os.getuid()}-{name}.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _make(path: Path, text: str) -> bool:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
    return True
