"""Runs check functions in a worker process of the pool, each within its limits.

The kernel enforces the limits, so that C code that never returns to the interpreter is stopped too. An item over its
CPU time kills the worker, and an item over its memory gets a MemoryError. Neither depends on the load of the machine.
"""

import atexit
import pickle
import resource
import signal
import socket
import struct
import sys
import tempfile
from typing import Any, Literal, NamedTuple

from stillhouse.errors import StillhouseError

LENGTH = struct.Struct(">Q")  # the length before each message
MAX_SAID_CHARS = 300
READY = b"ready"
OVER_TIME = signal.SIGPROF


class Limits(NamedTuple):
    """The limits of one item: CPU seconds, and bytes of address space beyond the worker's own (None: no limit)."""

    cpu_seconds: float
    memory_bytes: int | None


class Failed(NamedTuple):
    """The reply without a check: the item exceeded its memory, a library raised an error, or a system call failed."""

    how: Literal["memory", "error", "system"]
    message: str


def serve(channel: socket.socket, folder: str) -> None:
    """Run the items from the channel until its other end is closed; `folder` is the folder for temporary files."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C signals the whole process group, and only the parent handles it
    signal.signal(OVER_TIME, signal.SIG_DFL)
    tempfile.tempdir = folder
    try:
        with channel.makefile("rwb") as stream:
            _send(stream, READY)
            while len(head := stream.read(LENGTH.size)) == LENGTH.size:
                text = stream.read(LENGTH.unpack(head)[0])
                _send(stream, pickle.dumps(_outcome(text)))
    except OSError:  # the parent has exited
        pass
    # multiprocessing does not run exit functions; they close waiting sandboxes and remove their folders.
    atexit._run_exitfuncs()


def _send(stream: Any, message: bytes) -> None:
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def _outcome(text: bytes) -> Any:
    """Return the result of the function, the StillhouseError that it raised, or how it failed."""
    limits, function, args, kwargs = pickle.loads(text)
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        # An import at the first use of a module can take longer than the limit of an item, and is not part of the item.
        if prepare := getattr(sys.modules[function.__module__], "prepare", None):
            prepare()
        _limit_memory(limits.memory_bytes)
        # The limit counts this process only. A process that it starts, such as a sandbox, has its own limits.
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
        return function(*args, **kwargs)
    except MemoryError:
        return Failed("memory", "")
    except StillhouseError as error:
        return error
    except (
        OSError
    ) as error:  # a lack of processes or files: no check function opens a file that an answer names
        return Failed("system", _message(error))
    except Exception as error:
        # Libraries that parse a model's text raise various errors. One such text must not stop a run of a million.
        return Failed("error", _message(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _limit_memory(extra: int | None) -> None:
    """Limit the address space to the present size plus `extra` bytes."""
    if extra is None:
        return
    with open("/proc/self/statm", "rb") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = size + extra
    if soft == resource.RLIM_INFINITY or allowed < soft:
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def _message(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_SAID_CHARS]
