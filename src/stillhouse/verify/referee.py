"""The program that runs inside the sandbox: it runs tests against the code of an answer and reports what happened.

Its text is given to an interpreter in the sandbox; it is never imported by the verifying process, and needs nothing but
the standard library. It comes in three roles:

- the *referee* (first process of the sandbox) has the tests. It evaluates asserts in a process of its own, with every
  name of the answer replaced by a proxy.
- the *candidate* is an interpreter that runs the code of the answer and has never seen a test. It is asked over pipes
  to call this function with these arguments, and can reply with plain data only: numbers, text, containers.
- the *nursery* forks candidates. It is forked off before the first test is read and does nothing else, so that none of
  its children has a test in its memory, not even one of an earlier answer.

One candidate serves the asserts of an answer one after the other, as benchmarks run them. If it hangs, dies or loses
the thread, those that follow get a new one.

So what the code of an answer does to its own interpreter (exit, print, patch, overload ==, read its memory) cannot
make a test pass: only the right value can. The processes here are not dumpable, so that the same user's candidate may
not open their memory or their files.

The sandbox serves the next answer only if this one has left everything as it was (`surroundings`): no process, no file,
no shared memory, no changed limit. After any other answer it ends, and the next one gets a new sandbox.
"""

from __future__ import annotations

# Each import delays each answer by milliseconds: what few jobs need is imported where it is needed, and json, signal
# and ctypes, which import half of the library, are represented by their parts in C.
import _ctypes
import _json
import _signal  # type: ignore[import-not-found]
import _socket
import _symtable  # type: ignore[import-not-found]
import builtins
import importlib
import operator
import os
import resource
import select
import sys
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    # What happened to one test ("pass", "wrong", "error", ...), and a detail for the evidence.
    Outcome = tuple[str, str]
    PROGRAM = ""  # this text, set by whoever starts it

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
TICK_SECONDS = 0.05  # how often the memory of all processes together is looked at
COMPILE_BYTES = 2 << 30  # address space of one g++ process
COMPILE_SECONDS = 30  # not counted in the total: it says nothing about the program
MAX_MESSAGE_BYTES = 16 << 20
MAX_PRINTED_BYTES = 8 << 20
MAX_DETAIL_CHARS = 300
LENGTH_BYTES = 8  # of the number, big-endian, that stands before each job
QUIET_SECONDS = 1.0  # in which the candidate of a finished answer has to end
REGULAR = ("pass", "wrong", "error")  # outcomes after which the candidate is as good as new
MAX_NUMBER_CHARS = 40  # longer tokens are compared as text
MUTABLE = (list, dict, set, bytearray)
SAFE_INTEGER = 1 << 53
DATES = ("date", "time", "datetime")

GLOBAL = (_symtable.GLOBAL_IMPLICIT, _symtable.GLOBAL_EXPLICIT)
ONLY_AST = 0x400  # flag of `compile`: ast.PyCF_ONLY_AST, without importing the module ast


class Unsupported(BaseException):
    """A test does something that cannot be carried over to the candidate."""


class GoneError(Exception):
    """The candidate's interpreter ended or broke the protocol."""


class RemoteError(Exception):
    """An exception of a class that only the candidate knows."""


class JsonRules:
    """What the scanner of JSON asks how to make values."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = float


parse_json = _json.make_scanner(JsonRules)  # type: ignore[arg-type]


def from_json(text: str) -> Any:
    """Return the value that a text begins with.

    Raises:
        GoneError: it is not JSON.
    """
    try:
        return parse_json(text, 0)[0]
    except (StopIteration, ValueError) as error:
        raise GoneError("no JSON was sent") from error


def to_json(value: Any) -> bytes:
    """Return a value as JSON in ASCII."""
    escape = _json.encode_basestring_ascii
    encode: Any = _json.make_encoder
    encode = encode(None, None, escape, None, ": ", ", ", False, False, True)
    return "".join(encode(value, 0)).encode() + b"\n"


class suppress:  # noqa: N801  # contextlib's, whose import costs as much as all others here
    """Lets exceptions of some classes pass unseen."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return kind is not None and issubclass(kind, self.kinds)


class Peer:
    """One end of the conversation between the two roles.

    Objects that are not plain data stay where they are and are named by number. `allowed` says which operations the
    other end may ask for.
    """

    def __init__(self, reading: int, writing: int, allowed: set[str]) -> None:
        self.reader = os.fdopen(reading, "rb")
        self.writer = os.fdopen(writing, "wb")
        self.allowed = allowed
        self.objects: list[Any] = []
        self.module: types.ModuleType | None = None

    def send(self, message: dict[str, Any]) -> None:
        """Write one message."""
        try:
            self.writer.write(to_json(message))
            self.writer.flush()
        except OSError as error:
            raise GoneError("the program ended before it answered") from error

    def receive(self) -> Any:
        """Read one message."""
        line = self.reader.readline(MAX_MESSAGE_BYTES)
        if not line.endswith(b"\n"):
            raise GoneError("the program ended before it answered")
        return from_json(line.decode())

    def ask(self, operation: str, *positional: Any, **keywords: Any) -> Any:
        """Have the other end do something; requests that it makes meanwhile are served."""
        self.send({"do": operation, "a": self.encode(positional), "k": self.encode(keywords)})
        while "do" in (message := self.receive()):
            self.serve(message)
        if "error" in message:
            name, text = message["error"]
            kind = getattr(builtins, str(name), None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                raise kind(text)
            raise RemoteError(f"{name}: {text}")
        for original, after in zip(positional, message["after"], strict=False):
            if type(original) in MUTABLE and after is not None:
                replace(original, self.decode(after))
        return self.decode(message["result"])

    def serve(self, message: dict[str, Any]) -> None:
        """Do what the other end asked for and reply."""
        try:
            if message["do"] not in self.allowed:
                raise TypeError(f"{message['do']} is not allowed")
            positional = self.decode(message["a"])
            result = self.do(message["do"], positional, self.decode(message["k"]))
            after = [self.encode(a) if type(a) in MUTABLE else None for a in positional]
            reply = {"result": self.encode(result), "after": after}
        except BaseException as error:
            if isinstance(error, (GoneError, Unsupported)):
                raise
            reply = {"error": [type(error).__name__, describe(error)]}
        self.send(reply)

    def do(self, operation: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """Carry out one operation on objects of this end."""
        if operation == "call":
            return positional[0](*positional[1:], **keywords)
        if operation == "global":
            return vars(self.module)[positional[0]]
        if operation == "plain":
            return plain(positional[0])
        if operation == "operator":
            return getattr(operator, positional[0])(*positional[1:])
        return getattr(builtins, operation)(*positional)

    def encode(self, value: Any) -> Any:
        """Return a value as JSON-ready data; plain data by value, all else by number."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -SAFE_INTEGER < value < SAFE_INTEGER else {"int": hex(value)}
        if kind is float:
            return {"float": value.hex()}
        if kind is list:
            return [self.encode(item) for item in value]
        if kind in (tuple, set, frozenset):
            return {kind.__name__: [self.encode(item) for item in value]}
        if kind is dict:
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if kind in (bytes, bytearray):
            return {kind.__name__: value.hex()}
        if kind is complex:
            return {"complex": [value.real.hex(), value.imag.hex()]}
        if kind is range:
            return {"range": [self.encode(part) for part in (value.start, value.stop, value.step)]}
        home = getattr(kind, "__module__", None)
        if home == "decimal" and kind.__name__ == "Decimal":
            return {"Decimal": str(value)}
        if home == "fractions" and kind.__name__ == "Fraction":
            return {"Fraction": [self.encode(value.numerator), self.encode(value.denominator)]}
        if home == "datetime" and kind.__name__ in DATES:
            return {kind.__name__: value.isoformat()}
        if kind is type and vars(builtins).get(name := str(value.__name__)) is value:
            return {"type": name}
        if kind is Remote:
            return {"yours": object.__getattribute__(value, "remote_number")}
        if self.module is None and not callable(value):
            raise Unsupported(f"a test passes a {kind.__name__} to the program")
        self.objects.append(value)
        return {"mine": len(self.objects) - 1}

    def decode(self, value: Any) -> Any:
        """Return the value that `encode` of the other end was given."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "int":
            return int(content, 16)
        if kind == "float":
            return float.fromhex(content)
        if kind in ("tuple", "set", "frozenset"):
            return getattr(builtins, kind)(self.decode(item) for item in content)
        if kind == "dict":
            return {self.decode(k): self.decode(v) for k, v in content}
        if kind in ("bytes", "bytearray"):
            return getattr(builtins, kind).fromhex(content)
        if kind == "complex":
            return complex(*map(float.fromhex, content))
        if kind == "range":
            return range(*(self.decode(part) for part in content))
        if kind == "Decimal":
            return importlib.import_module("decimal").Decimal(content)
        if kind == "Fraction":
            return importlib.import_module("fractions").Fraction(*map(self.decode, content))
        if kind in DATES:
            return getattr(importlib.import_module("datetime"), kind).fromisoformat(content)
        if kind == "type" and isinstance(getattr(builtins, content), type):
            return getattr(builtins, content)
        if kind == "yours":
            return self.objects[content]
        if kind == "mine":
            return Remote(self, content)
        raise GoneError(f"the program sent {kind!r}")


class Remote:
    """An object of the other end that is not plain data.

    Compared, ordered or computed with, it counts as the built-in value that it extends, and otherwise as nothing:
    its own operators are asked only where both operands are such objects (a class of the answer under test).
    """

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "remote_peer", peer)
        object.__setattr__(self, "remote_number", number)

    def __call__(self, *positional: Any, **keywords: Any) -> Any:
        """Call the object where it is."""
        return self.remote_peer.ask("call", self, *positional, **keywords)

    def __getattr__(self, name: str) -> Any:
        return self.remote_peer.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.remote_peer.ask("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self.remote_peer.ask("operator", "getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.remote_peer.ask("operator", "setitem", self, key, value)

    def __len__(self) -> Any:
        return self.remote_peer.ask("len", self)

    def __bool__(self) -> bool:
        return bool(self.remote_peer.ask("bool", self))

    def __str__(self) -> str:
        return str(self.remote_peer.ask("str", self))

    def __repr__(self) -> str:
        return str(self.remote_peer.ask("repr", self))

    def __iter__(self) -> Iterator[Any]:
        iterator = self.remote_peer.ask("iter", self)
        with suppress(StopIteration):
            while True:
                yield self.remote_peer.ask("next", iterator)

    def __next__(self) -> Any:
        return self.remote_peer.ask("next", self)

    def __instancecheck__(self, instance: Any) -> bool:
        return bool(self.remote_peer.ask("isinstance", instance, self))

    def __hash__(self) -> int:
        return id(self)

    def remote_plain(self) -> Any:
        """Return the plain data that the object extends; a number or text is asked for once, and then stays."""
        value = vars(self).get("remote_value")
        if value is None:
            value = self.remote_peer.ask("plain", self)
            if isinstance(value, (int, float, str, bytes)):
                object.__setattr__(self, "remote_value", value)
        return value

    def __eq__(self, other: object) -> bool:
        if type(other) is Remote:
            return bool(self.remote_peer.ask("operator", "eq", self, other))
        try:
            return bool(self.remote_plain() == other)
        except TypeError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other


def _operator(name: str, swapped: bool) -> Callable[[Any, Any], Any]:
    def apply(self: Any, other: Any) -> Any:
        if type(other) is Remote:
            return self.remote_peer.ask("operator", name, self, other)
        mine = self.remote_plain()
        return getattr(operator, name)(*((other, mine) if swapped else (mine, other)))

    return apply


for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _operator(_name, False))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Remote, f"__{_name}__", _operator(_name, False))
    setattr(Remote, f"__r{_name}__", _operator(_name, True))


def plain(value: Any) -> Any:
    """Return the built-in value that an instance of a derived class extends."""
    bases: list[Any] = [int, float, str, bytes, tuple, list, dict, set, frozenset]
    for base in bases:
        if isinstance(value, base):
            return base(value)
    if type(value).__module__ == "collections" and type(value).__name__ == "deque":
        return list(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def replace(target: Any, after: Any) -> None:
    """Give a mutable argument the content that it has after the call."""
    if type(after) is not type(target) or after == target:
        return
    if isinstance(target, (list, bytearray)):
        target[:] = after
    else:
        target.clear()
        target.update(after)


def describe(error: BaseException) -> str:
    """Return the text of an exception, short, whatever its class does when asked."""
    try:
        return str(error)[:MAX_DETAIL_CHARS]
    except BaseException:
        return "its message cannot be read"


def candidate(reading: int, writing: int) -> None:
    """Run the code of the answer, then do as asked until the referee hangs up."""
    every = {"call", "global", "plain", "operator", "getattr", "setattr", "len", "bool", "str"}
    peer = Peer(reading, writing, every | {"repr", "iter", "next", "isinstance"})
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    job = peer.receive()
    limit(job["memory_bytes"])
    # Not __main__: the part of an answer under that guard is an example, and may wait for input.
    peer.module = module = sys.modules["solution"] = types.ModuleType("solution")
    for part in ("setup", "code"):
        try:
            exec(compile(job[part], f"{part}.py", "exec"), module.__dict__)
        except BaseException as error:
            peer.send({"failed": part, "error": f"{type(error).__name__}: {describe(error)}"})
            return
    peer.send({"failed": None})
    with suppress(GoneError):
        while True:
            peer.serve(peer.receive())


class Nursery:
    """The process that forks candidates; it has not read a test, and reads none."""

    def __init__(self) -> None:
        self.socket, theirs = _socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.socket.close()
                silence()  # our standard input is where the tests come from
                fork_candidates(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def candidate(self) -> tuple[int, int]:
        """Fork a candidate; return the pipes to it: read from, write to."""
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        theirs = (their_reading, their_writing)
        packed = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in theirs)
        self.socket.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
        for descriptor in theirs:
            os.close(descriptor)
        return reading, writing

    def is_empty(self) -> bool:
        """Whether the candidate has ended, or does so now that nobody asks it any more."""
        return bool(select.select([self.socket], [], [], QUIET_SECONDS)[0]) and bool(
            self.socket.recv(1)
        )


def fork_candidates(requests: _socket.socket) -> None:
    """Fork a candidate for each pair of pipes that comes, and tell when it has ended; until nobody is there to tell."""
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


def surroundings(nursery: Nursery) -> list[Any]:
    """Return all that an answer could change and leave to the next one, to be compared.

    The nursery and this process cannot be written to, but any process of the user may set their limits and priorities.
    """
    pids = ("1", str(nursery.pid))
    found: list[Any] = [sorted(name for name in os.listdir("/proc") if name.isdigit())]
    found += [os.listdir(folder) for folder in ("/tmp", "/dev/shm")]
    shared = ["keys", *(f"sysvipc/{kind}" for kind in ("shm", "sem", "msg"))]
    for name in (*shared, *(f"{pid}/limits" for pid in pids)):
        with suppress(FileNotFoundError), open(f"/proc/{name}", "rb") as file:
            found.append(file.read())
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # priority, nice, rt_priority, policy of proc(5), where the field after the name is the third
        found += [fields[number - 3] for number in (18, 19, 40, 41)]
        found.append(os.sched_getaffinity(int(pid)))
    return found


def start_candidate() -> tuple[int, int]:
    """Start a candidate as a new interpreter, where there is no nursery any more; return the pipes to it."""
    import subprocess

    reading, their_writing = os.pipe()
    their_reading, writing = os.pipe()
    theirs = [their_reading, their_writing]
    subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, *map(str, theirs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=theirs,
    )
    for descriptor in theirs:
        os.close(descriptor)
    return reading, writing


def silence() -> None:
    """Connect the standard streams to nothing."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def imports(source: str, borrowed: bool) -> list[str]:
    """Return the import statements at the top level of a source text, each as source.

    `borrowed`: only those of the standard library, and none that gives anything another name.
    """
    if "import" not in source:  # the first tree that an interpreter builds takes it a millisecond
        return []
    try:
        body = compile(source, "program.py", "exec", ONLY_AST).body
    except (SyntaxError, ValueError):
        return []
    found = []
    for node in body:
        kind = type(node).__name__
        if kind == "ImportFrom":
            roots = [(node.module or "").split(".")[0]]
        elif kind == "Import":
            roots = [alias.name.split(".")[0] for alias in node.names]
        else:
            continue
        renamed = any(alias.asname or alias.name == "*" for alias in node.names)
        standard = all(root in sys.stdlib_module_names for root in roots)
        if not borrowed or (standard and not renamed):
            names = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in node.names)
            start = f"from {'.' * node.level}{node.module or ''} " if kind == "ImportFrom" else ""
            found.append(f"{start}import {names}")
    return found


def names_in(source: str) -> set[str]:
    """Return all global names that a source text uses; not those that it binds itself, such as a lambda's argument."""
    found: set[str] = set()
    waiting = [_symtable.symtable(source, "test.py", "exec")]
    while waiting:
        scope = waiting.pop()
        for name, flags in scope.symbols.items():
            reach = flags >> _symtable.SCOPE_OFF & _symtable.SCOPE_MASK
            if flags & _symtable.USE and reach in GLOBAL:
                found.add(name)
        waiting += scope.children
    return found


class Libraries:
    """The import statements that tests get their names from: those of the setup, and some of the program's.

    A program that imports `math` lets a test that forgot to do so use it. The test gets the real module.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.trusted = imports(job["setup"], borrowed=False)
        self.borrowed = imports(job["code"], borrowed=True)


class Names(dict):  # type: ignore[type-arg]  # the argument is known to type checkers only
    """The global names of a test: its own first, then those of the program under test, then the built-in ones."""

    def __init__(self, entry_point: str, libraries: Libraries, test: str, peer: Peer) -> None:
        super().__init__(__builtins__=builtins, __name__="test")
        self.peer = peer
        trusted = self._import(libraries.trusted)
        borrowed = self._import(libraries.borrowed)
        used = names_in(test)
        built_in = {name for name in used if hasattr(builtins, name)}
        for name in borrowed & built_in:
            self.pop(name)  # `from math import pow` is no reason to test with another pow
        borrowed -= built_in
        free = used - trusted - borrowed - built_in
        # Which name is the one under test? One that nothing else explains; failing that, one that hides a library's.
        self.tested = {entry_point} & used or free or used - trusted - built_in or built_in
        for name in self.tested:
            self.pop(name, None)

    def _import(self, statements: list[str]) -> set[str]:
        before = set(self)
        for statement in statements:
            with suppress(ImportError):
                exec(statement, self)
        return set(self) - before

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name) and name not in self.tested:
            raise KeyError(name)
        return self.peer.ask("global", name)


def assert_tests(
    job: dict[str, Any],
    tests: list[dict[str, Any]],
    pipes: tuple[int, int],
    tell: Callable[[Any], None],
) -> None:
    """Evaluate asserts against one candidate, and tell each outcome, after a null once the program runs.

    Fewer outcomes than tests are told where the candidate is of no more use.
    """
    peer = Peer(*pipes, {"call"})
    try:
        sent = {name: job[name] for name in ("setup", "code", "memory_bytes")}
        peer.send(sent)
        started = peer.receive()
    except GoneError as error:
        started = {"failed": "gone", "error": describe(error)}
    if failed := started["failed"]:
        how = {"setup": "unsupported", "gone": "crash"}.get(failed, "error")
        tell(None)
        for _ in tests:
            tell((how, started["error"]))
        return
    tell(None)
    libraries = Libraries(job)
    for test in tests:
        outcome = assert_test(job["entry_point"], libraries, test, peer)
        tell(outcome)
        if outcome[0] in ("crash", "unsupported"):
            return


def assert_test(
    entry_point: str, libraries: Libraries, test: dict[str, Any], peer: Peer
) -> Outcome:
    """Evaluate one assert; return what happened."""
    try:
        program = compile(test["code"], "test.py", "exec")
    except (SyntaxError, ValueError) as error:
        return "unsupported", f"the test does not parse: {describe(error)}"
    try:
        exec(program, Names(entry_point, libraries, test["code"], peer))
    except AssertionError as error:
        return "wrong", describe(error)
    except Unsupported as error:
        return "unsupported", describe(error)
    except GoneError as error:
        return "crash", describe(error)
    except Exception as error:
        return "error", f"{type(error).__name__}: {describe(error)}"
    return "pass", ""


def stdio_test(
    job: dict[str, Any], test: dict[str, Any], command: list[str], deadline: float
) -> Outcome:
    """Run the program on one input and compare what it prints; return what happened."""
    import subprocess

    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR)
    with os.fdopen(descriptor, "r+b") as given:
        given.write((test["input"] or "").encode())
        given.seek(0)
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: limit(job["memory_bytes"]),
        )
    printed, how = collect([process.stdout, process.stderr], deadline, job["memory_bytes"])
    if how:
        return how, ""
    code = wait(process.pid, deadline)
    if code is None:
        return "timeout", ""
    said = printed[1].decode("utf-8", "replace").strip().splitlines()
    if code != 0:
        return "error", f"exit code {code}: {said[-1] if said else ''}"[:MAX_DETAIL_CHARS]
    output = printed[0].decode("utf-8", "replace")
    if same_text(output, test["output"] or "", test["tolerance"] or 0.0):
        return "pass", ""
    return "wrong", f"printed {output[:100]!r}, expected {(test['output'] or '')[:100]!r}"


def same_text(printed: str, expected: str, tolerance: float) -> bool:
    """Whether two outputs agree line by line and token by token, as contests compare them.

    Blanks at line ends, empty lines at the end and the writing of a number do not matter. A number may be off by
    `tolerance`, absolutely or relatively; by default its value must be exact.
    """

    def lines(text: str) -> list[list[str]]:
        return [line.split() for line in text.rstrip().splitlines()]

    left, right = lines(printed), lines(expected)
    if [len(line) for line in left] != [len(line) for line in right]:
        return False
    return all(
        same_token(a, b, tolerance)
        for one, two in zip(left, right, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def same_token(a: str, b: str, tolerance: float) -> bool:
    """Whether two tokens are the same text, the same number, or numbers no further apart than the task allows."""
    if a == b:
        return True
    if max(len(a), len(b)) > MAX_NUMBER_CHARS:
        return False
    decimal = importlib.import_module("decimal")
    try:
        given, wanted = decimal.Decimal(a), decimal.Decimal(b)
        if given == wanted:
            return True
        counted = "." not in a + b and "e" not in (a + b).lower()  # two whole numbers: exactly
        slack = decimal.Decimal(tolerance) * max(decimal.Decimal(1), abs(wanted))
        return bool(not counted and abs(given - wanted) <= slack)
    except decimal.DecimalException:
        return False


def limit(memory_bytes: int) -> None:
    """Bound the address space of the process about to start."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def collect(pipes: list[Any], deadline: float, memory_bytes: int) -> tuple[list[bytes], str]:
    """Read pipes until they close; return their bytes and why reading was stopped early, or an empty text."""
    chunks: dict[int, list[bytes]] = {pipe.fileno(): [] for pipe in pipes}
    waiting = set(chunks)
    total = 0
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            return [], "timeout"
        if memory_used() > memory_bytes:
            return [], "memory"
        for descriptor in select.select(waiting, [], [], min(left, TICK_SECONDS))[0]:
            chunk = os.read(descriptor, 65536)
            total += len(chunk)
            if total > MAX_PRINTED_BYTES:
                return [], "output"
            if chunk:
                chunks[descriptor].append(chunk)
            else:
                waiting.discard(descriptor)
    return [b"".join(parts) for parts in chunks.values()], ""


def memory_used() -> int:
    """Return the resident bytes of all processes of the sandbox but this one (0 where others share our view)."""
    if os.getpid() != 1:
        return 0
    pages = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            with suppress(OSError), open(f"/proc/{name}/statm") as file:
                pages += int(file.read().split()[1])
    return pages * resource.getpagesize()


def wait(pid: int, deadline: float) -> int | None:
    """Return the exit code of a child, or null where it did not end in time."""
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def sweep() -> None:
    """Kill and reap whatever runs here, the nursery too."""
    with suppress(ChildProcessError):
        while True:
            if os.getpid() == 1:
                with suppress(ProcessLookupError):
                    os.kill(-1, _signal.SIGKILL)
            else:
                for pid in children():
                    with suppress(ProcessLookupError):
                        os.kill(pid, _signal.SIGKILL)
            os.waitpid(-1, 0)


def children() -> list[int]:
    """Return our direct children; orphans become ours, so killing them round by round ends."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def assert_outcomes(
    job: dict[str, Any], tests: list[dict[str, Any]], pipes: tuple[int, int], total: float
) -> list[Outcome]:
    """Evaluate asserts in a forked referee, so that one that hangs or dies costs itself only.

    Returns at least one outcome, and fewer than tests where the rest needs a new candidate.
    """
    reading, writing = os.pipe()
    referee = os.fork()
    if referee == 0:
        try:
            os.close(reading)
            silence()
            limit(job["memory_bytes"])

            def tell(outcome: Any) -> None:
                os.write(writing, to_json(outcome))

            assert_tests(job, tests, pipes, tell)
        finally:
            os._exit(0)
    for descriptor in (writing, *pipes):
        os.close(descriptor)
    told: list[Any] = []
    with os.fdopen(reading, "rb", buffering=0) as pipe:  # what is buffered, `select` does not see
        while len(told) <= len(tests):
            deadline = min(total, time.monotonic() + job["test_seconds"])
            line, how = read_line(pipe, deadline, job["memory_bytes"])
            if not line:
                break
            told.append(from_json(line.decode()))
        outcomes = [tuple(outcome) for outcome in told[1:]]
        if len(outcomes) == len(tests):
            _, how = read_line(pipe, time.monotonic() + QUIET_SECONDS, job["memory_bytes"])
            if not how:  # it has closed the pipe, and so is ending
                os.waitpid(referee, 0)
            return outcomes
    if outcomes and not how:
        return outcomes
    stopped = (how, "") if how else ("crash", "the test was killed")
    # What stops before any test begins stops before each.
    return [*outcomes, stopped] if told else [stopped] * len(tests)


def read_line(pipe: Any, deadline: float, memory_bytes: int) -> tuple[bytes, str]:
    """Return the next line of a pipe, or nothing and why reading was stopped, an empty text at the pipe's end.

    A line is written at once and shorter than what a pipe takes at once, so that it comes whole.
    """
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return b"", "timeout"
        if select.select([pipe], [], [], min(left, TICK_SECONDS))[0]:
            return pipe.readline(), ""
        if memory_used() > memory_bytes:
            return b"", "memory"


def renew(program: bytes) -> None:
    """Leave nothing of an earlier test where a program can write, and put the program there as it was."""
    import shutil

    for folder in (".", "/dev/shm") if os.getpid() == 1 else (".",):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
    descriptor = os.open("main", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    with os.fdopen(descriptor, "wb") as file:
        file.write(program)


def compile_cpp(job: dict[str, Any]) -> tuple[bytes, str]:
    """Compile the answer; return the program, or nothing and the compiler's first complaint."""
    import subprocess

    with open("main.cpp", "w") as file:
        file.write(job["code"])
    process = subprocess.Popen(
        ["g++", "-std=c++17", "-O2", "-pipe", "-o", "main", "main.cpp"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: limit(COMPILE_BYTES),
    )
    end = time.monotonic() + COMPILE_SECONDS
    said, how = collect([process.stderr], end, COMPILE_BYTES)
    if how:
        return b"", f"compiler stopped: {how}"
    if wait(process.pid, end) == 0:
        with open("main", "rb") as file:
            return file.read(), ""
    complaints = [
        line for line in said[0].decode("utf-8", "replace").splitlines() if "error" in line
    ]
    return b"", (complaints or ["compiler failed"])[0][:MAX_DETAIL_CHARS]


def prctl(option: int, value: int) -> None:
    """Set a property of this process.

    Raises:
        OSError: the kernel refuses.
    """
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
    if _ctypes.call_function(address, (option, value, 0, 0, 0)):
        raise OSError(f"prctl {option} failed")


def read_job() -> dict[str, Any] | None:
    """Return the next job of standard input; null at its end."""
    length = read_exactly(LENGTH_BYTES)
    text = read_exactly(int.from_bytes(length, "big")) if length else b""
    return from_json(text.decode()) if text else None


def read_exactly(size: int) -> bytes:
    """Return so many bytes of standard input, or none where it ends before."""
    chunks = []
    while size > 0:
        chunk = os.read(0, size)
        if not chunk:
            return b""
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def run_job(job: dict[str, Any], nursery: Nursery) -> tuple[dict[str, Any], bool]:
    """Run the tests of a job; return the report, and whether nothing had to be killed."""
    report = {"token": job["token"], "build": "", "outcomes": []}
    calm = True
    if job["language"] == "cpp":
        program, report["build"] = compile_cpp(job)
        sweep()
        calm = False
        command = ["./main"]
    else:
        program = (job["setup"] + "\n" + job["code"]).encode()
        command = [sys.executable, "-I", "-S", "main"]
    total = time.monotonic() + job["total_seconds"]
    tests = [] if report["build"] else job["tests"]
    outcomes: list[Outcome] = report["outcomes"]
    while len(outcomes) < len(tests):
        left = tests[len(outcomes) :]
        if time.monotonic() >= total:
            outcomes += [("timeout", "total time is over")] * len(left)
        elif left[0]["kind"] == "assert":
            count = next((i for i, test in enumerate(left) if test["kind"] != "assert"), len(left))
            pipes = nursery.candidate() if calm else start_candidate()
            outcomes += assert_outcomes(job, left[:count], pipes, total)
            regular = all(how in REGULAR for how, _ in outcomes)
            if calm and regular and len(outcomes) == len(tests) and nursery.is_empty():
                return report, True
        else:
            renew(program)
            deadline = min(total, time.monotonic() + job["test_seconds"])
            outcomes.append(stdio_test(job, left[0], command, deadline))
        sweep()
        calm = False
    return report, False


def is_untouched(nursery: Nursery, before: list[Any] | None) -> bool:
    """Whether all is as it was; it is not where a process that is left ends the nursery while we look."""
    try:
        return surroundings(nursery) == before
    except OSError:
        return False


def main() -> None:
    """Read jobs and write a report of each, while each leaves everything as it was."""
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # The only signal for which an interpreter has a handler, and so the only one that reaches a first process.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    nursery = Nursery()
    alone = os.getpid() == 1
    before = surroundings(nursery) if alone else None
    while (job := read_job()) is not None:
        report, calm = run_job(job, nursery)
        reusable = alone and calm and is_untouched(nursery, before)
        os.write(1, to_json({**report, "reusable": reusable}))
        if not reusable:
            break
    os._exit(0)  # the interpreter's own tidying is not needed


if len(sys.argv) > 1:
    candidate(*map(int, sys.argv[1:]))
else:
    main()
