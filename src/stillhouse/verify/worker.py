"""One worker of the pool: runs check functions that it is sent, each within its limits, in a process of its own.

The limits are the kernel's, so that C code which never returns to the interpreter is stopped too: past its CPU time an
item kills the worker, and past its memory it gets a MemoryError. Neither depends on what else the machine does.
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

LENGTH = struct.Struct(">Q")  # before each message
MAX_SAID_CHARS = 300
READY = b"ready"
OVER_TIME = signal.SIGPROF


class Limits(NamedTuple):
    """Of one item: CPU seconds of the worker, and bytes of address space beyond what the worker has; null: no limit."""

    cpu_seconds: float
    memory_bytes: int | None


class Failed(NamedTuple):
    """In place of a check: the item used up its memory, a library raised an error, or the machine lacks something."""

    how: Literal["memory", "error", "system"]
    said: str


def serve(channel: socket.socket, folder: str) -> None:
    """Run what comes through the channel until its other end is closed; temporary files go into the folder."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # it goes to the whole group, and the parent decides what it means
    signal.signal(OVER_TIME, signal.SIG_DFL)
    tempfile.tempdir = folder
    try:
        with channel.makefile("rwb") as stream:
            _send(stream, READY)
            while len(head := stream.read(LENGTH.size)) == LENGTH.size:
                text = stream.read(LENGTH.unpack(head)[0])
                _send(stream, pickle.dumps(_outcome(text)))
    except OSError:  # the parent has gone
        pass
    atexit._run_exitfuncs()  # multiprocessing leaves them out: sandboxes that wait, their folders


def _send(stream: Any, message: bytes) -> None:
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def _outcome(text: bytes) -> Any:
    """Return what the function returns, the StillhouseError that it raises, or how it failed."""
    limits, function, args, kwargs = pickle.loads(text)
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        # What a module imports on first use can take longer than any item may, and is no item's doing.
        if prepare := getattr(sys.modules[function.__module__], "prepare", None):
            prepare()
        _limit_memory(limits.memory_bytes)
        # It counts this process alone: what it starts, such as a sandbox, has limits of its own.
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
        return function(*args, **kwargs)
    except MemoryError:
        return Failed("memory", "")
    except StillhouseError as error:
        return error
    except OSError as error:  # no process, no file: no check function opens what an answer names
        return Failed("system", _said(error))
    except Exception as error:
        # Libraries that parse a model's text raise errors of their own. One such text must not end a run of a million.
        return Failed("error", _said(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _limit_memory(extra: int | None) -> None:
    """Limit the address space to what there is and so much more."""
    if extra is None:
        return
    with open("/proc/self/statm", "rb") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = size + extra
    if soft == resource.RLIM_INFINITY or allowed < soft:
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_SAID_CHARS]
