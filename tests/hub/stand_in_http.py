"""The HTTP side of the Hub's stand-in: requests, answers, errors, injected faults, the handler of a connection."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

# In place of a status: the connection is cut, before any answer or in the middle of its body.
CUT = 0


class ApiError(Exception):
    """An answer with an error status, and the Hub's own code for it."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Answer:
    """What goes back; `cut` after this many bytes of the body."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True)
class Request:
    """One request, its body read."""

    method: str
    target: str
    headers: Any
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def bearer(self) -> str:
        return str(self.headers.get("authorization") or "").removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body)

    def span(self, size: int) -> tuple[int, int] | None:
        """First and last byte of `size` that the header Range asks for; None where there is no such header."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            return None
        first = int(asked[1])
        if first >= size:
            raise ApiError(416, f"no byte {first} in {size} bytes")
        return first, min(int(asked[2] or size - 1), size - 1)


@dataclass
class Fault:
    """Answer `times` requests whose "METHOD path" matches `pattern` with `status`; `after` they took effect."""

    pattern: str
    status: int
    times: int
    after: bool

    def applies(self, request: str) -> bool:
        if not self.times or not re.search(self.pattern, request):
            return False
        self.times -= 1
        return True


def as_json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(json.dumps(content).encode(), status, headers or {})


def partial(request: Request, content: bytes, headers: dict[str, str]) -> Answer:
    """Answer with the content, or with the bytes of it that are asked for."""
    span = request.span(len(content))
    if span is None:
        return Answer(content, headers=headers)
    first, last = span
    reached = f"bytes {first}-{last}/{len(content)}"
    return Answer(content[first : last + 1], 206, {**headers, "Content-Range": reached})


def handler_of(answer_to: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    """Return the class of handlers that answer with `answer_to`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without these each answer waits 40 ms: headers and body go apart, the second held for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Stay silent: the stand-in has its own log."""

        def _respond(self) -> None:
            request = Request(self.command, self.path, self.headers, self._body())
            answer = answer_to(request)
            self.close_connection = answer.cut is not None
            if answer.cut == 0:
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815

        def _body(self) -> bytes:
            if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    return Handler
