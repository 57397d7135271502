"""Coordinates the processes that use a journal's folder: by file locks, or by lease files where locks do not work.

On a local disk a process locks one byte of the file `lock` for each answer that it requests, so that no other process
requests the same answer. The kernel releases the lock when the process ends for any reason. A network folder may have
no locks, or only locks between the processes of one machine. There a process leases a whole teacher by creating a file
exclusively.
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
# File systems that several machines may mount. SQLite's shared memory does not work across machines; locks may not.
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
_PRESENCE = 0  # the byte on which every process with an open journal holds a shared lock
_OFFSETS = 1 << 62  # number of bytes that represent keys, from byte 1 on


class Process(NamedTuple):
    """A process: machine, process id, and start time in clock ticks since boot, because process ids are reused."""

    host: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> "Process":
        """Return this process."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def named(cls, name: str) -> "Process | None":
        """Return the process whose `str` is this name, or None if the name has another form."""
        host, _, numbers = name.rpartition("@")
        pid, _, started = numbers.partition("-")
        return cls(host, int(pid), int(started)) if pid.isdigit() and started.isdigit() else None

    def __str__(self) -> str:
        return f"{self.host}@{self.pid}-{self.started}"

    @property
    def has_ended(self) -> bool:
        """Return whether the process has certainly ended; False for a process of another machine."""
        return self.host == socket.gethostname() and _started(self.pid) != self.started


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The start time is field 22. The name in parentheses may contain spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def file_system(folder: Path) -> str:
    """Return the kernel's name of the type of the file system that holds a folder."""
    folder = folder.resolve()
    found = (-1, "")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode().decode("unicode_escape"))  # a space is \\040
        if folder.is_relative_to(point):  # a later mount hides an earlier one
            found = max(found, (len(point.parts), after.split()[0]), key=lambda one: one[0])
    return found[1]


def is_network_folder(folder: Path) -> bool:
    """Return whether other machines may have mounted this folder too."""
    kind = file_system(folder)
    return kind in NETWORK_TYPES or (kind.startswith("fuse.") and "overlay" not in kind)


class Locks:
    """Byte locks on the file `lock` of a journal's folder.

    They are POSIX record locks: a process does not conflict with itself, and it loses all its locks on a file when it
    closes any descriptor of that file. A process must therefore open a journal only once.
    """

    def __init__(self, folder: Path) -> None:
        """Open the lock file.

        Raises:
            OSError: the file cannot be created.
        """
        self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def enter(self) -> bool:
        """Take the shared lock that marks the journal as open; return False if the file system has no locks.

        The call waits while another process rebuilds the journal.
        """
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _PRESENCE)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        return True

    def enter_alone(self) -> bool:
        """Return whether no other process has the journal open. If so, none can open it until `share`."""
        return self._try(_PRESENCE)

    def share(self) -> None:
        """Allow other processes to open the journal again."""
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _PRESENCE)

    def acquire(self, key: bytes) -> bool:
        """Try to lock a key for this process; return whether it is locked."""
        return self._try(_offset(key))

    def release(self, key: bytes) -> None:
        """Unlock a key."""
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
        """Release all locks."""
        os.close(self._file)


def _offset(key: bytes) -> int:
    return 1 + int.from_bytes(hashlib.sha256(key).digest()[:8]) % _OFFSETS


class Leases:
    """The lease files of this process: one for each teacher or student that it asks."""

    def __init__(self, folder: Path, owner: Process) -> None:
        self._folder = folder
        self._owner = owner
        self._taken: dict[tuple[str, str], Path] = {}

    def acquire(self, purpose: str, model: str) -> bool:
        """Lease a model; return True for a new lease and False if this process has the lease already.

        Raises:
            JournalError: another process has the lease.
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
                        f"{path}: process {holder.pid} on {holder.host} is asking {purpose} {model}, and single "
                        "answers cannot be locked in this folder; wait for that process, or delete the file "
                        "if it has ended"
                    )
                path.unlink(missing_ok=True)
        self._taken[purpose, model] = path
        return True

    def close(self) -> None:
        """Release all leases."""
        for path in self._taken.values():
            path.unlink(missing_ok=True)
        self._taken.clear()


def lease_holder(path: Path) -> Process | None:
    """Return the process that a lease file names, or None if the file does not exist any more."""
    with contextlib.suppress(FileNotFoundError):
        try:
            holder = Process.named(json.loads(path.read_text(encoding="utf-8"))["process"])
        except (ValueError, KeyError, TypeError):
            holder = None
        return holder or Process("an unknown machine", 0, 0)
    return None


@contextlib.contextmanager
def machine_lock(folder: Path) -> Iterator[None]:
    """Exclude the other processes of this machine while files or leases of a network folder change their owner."""
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
