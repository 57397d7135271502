"""Starts candidates: by the fork server, a process without a test in its memory, or as a new interpreter."""

from __future__ import annotations

import _socket
import os
import select
import sys

from stillhouse.verify.code.referee.asserts import QUIET_SECONDS, silence
from stillhouse.verify.code.referee.candidate_end import candidate

# The program of a new interpreter: it reads the modules of the referee from an inherited file.
BOOT = """
import marshal, posix, sys
file, reading, writing = map(int, sys.argv[1:4])
sys.path += sys.argv[4:]
data = posix.pread(file, posix.fstat(file).st_size, 0)
posix.close(file)
for name, code in marshal.loads(data):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
sys.modules["stillhouse.verify.code.referee.candidate_end"].candidate(reading, writing)
posix._exit(0)
"""


class ForkServer:
    """The process that forks candidates. It never reads a test."""

    def __init__(self) -> None:
        self.socket, theirs = _socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.socket.close()
                silence()  # the standard input contains the tests
                fork_candidates(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def candidate(self) -> tuple[int, int]:
        """Fork a candidate; return the pipes to it: the one to read from, and the one to write to."""
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        theirs = (their_reading, their_writing)
        packed = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in theirs)
        self.socket.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
        for descriptor in theirs:
            os.close(descriptor)
        return reading, writing

    def is_empty(self) -> bool:
        """Return whether the candidate has exited, which is awaited for `QUIET_SECONDS`."""
        return bool(select.select([self.socket], [], [], QUIET_SECONDS)[0]) and bool(
            self.socket.recv(1)
        )


def fork_candidates(requests: _socket.socket) -> None:
    """Fork a candidate for each received pair of pipes, and report when it has exited, until the socket is closed."""
    while True:
        _, pipes, _, _ = requests.recvmsg(1, _socket.CMSG_SPACE(8))
        if not pipes:
            return
        packed = pipes[0][2]
        reading, writing = (int.from_bytes(packed[i : i + 4], sys.byteorder) for i in (0, 4))
        child = os.fork()
        if child == 0:
            try:
                requests.close()
                candidate(reading, writing)
            finally:
                os._exit(0)
        os.close(reading)
        os.close(writing)
        os.waitpid(child, 0)
        requests.send(b".")


def start_candidate(modules: bytes, paths: list[str]) -> tuple[int, int]:
    """Start a candidate as a new interpreter, if the fork server has ended; return the pipes to the candidate.

    Args:
        modules: the modules of the referee, as `BOOT` reads them.
        paths: further folders to import from.
    """
    import subprocess

    reading, their_writing = os.pipe()
    their_reading, writing = os.pipe()
    file = os.memfd_create("referee")
    os.write(file, modules)
    theirs = [file, their_reading, their_writing]
    options = ["-I", "-S", "-X", "int_max_str_digits=0"]
    subprocess.Popen(
        [sys.executable, *options, "-c", BOOT, *map(str, theirs), *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=theirs,
    )
    for descriptor in theirs:
        os.close(descriptor)
    return reading, writing
