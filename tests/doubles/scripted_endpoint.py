"""A double of an OpenAI-compatible chat server, over real HTTP on an ephemeral port of 127.0.0.1."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = dict[str, Any] | int | bytes | tuple[int, dict[str, str], bytes]
Answer = Callable[[dict[str, Any]], Reply]


def completion(
    text: str | None, finish_reason: str = "stop", reasoning: str | None = None
) -> dict[str, Any]:
    """Return the body of a chat completion; a token is a word."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    spoken = len((text or "").split()) + len((reasoning or "").split())
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": spoken, "total_tokens": 7 + spoken},
    }


class ScriptedEndpoint:
    """Serves `POST {url}/chat/completions` with what `answer(request body)` says, each request in a thread of its own.

    `answer` returns a completion (a dict), an HTTP status (an int; the body then is an error object naming it), raw
    bytes, sent with status 200, or status, headers and body. `declare_bytes` more than are sent are promised in the
    header for raw bytes: the connection then ends in the middle of the body. `requests` and `headers` keep what came
    in, in order of arrival.
    """

    def __init__(self, answer: Answer, *, declare_bytes: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, answer, declare_bytes))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """The base URL, as it stands in `runtime.endpoints`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def vanish(self) -> None:
        """Close the port and every connection, as a killed server does."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "ScriptedEndpoint":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(
    endpoint: ScriptedEndpoint, answer: Answer, declare_bytes: int
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            endpoint.connections.add(self.connection)

        def finish(self) -> None:
            endpoint.connections.discard(self.connection)
            with contextlib.suppress(OSError):
                super().finish()

        def do_POST(self) -> None:  # the name that http.server calls
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._send(404, {"error": {"message": f"no such path: {self.path}"}})
                return
            endpoint.requests.append(body)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = answer(body)
            if isinstance(reply, int):
                self._send(reply, {"error": {"message": f"scripted status {reply}"}})
            elif isinstance(reply, tuple):
                status, headers, raw = reply
                self._send_bytes(status, raw, len(raw), headers)
            elif isinstance(reply, bytes):
                self._send_bytes(200, reply, len(reply) + declare_bytes)
            else:
                self._send(200, reply)

        def _send(self, status: int, content: dict[str, Any]) -> None:
            raw = json.dumps(content).encode()
            self._send_bytes(status, raw, len(raw))

        def _send_bytes(
            self, status: int, raw: bytes, declared: int, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(declared))
            self.end_headers()
            self.wfile.write(raw)
            self.close_connection = declared > len(raw) or self.close_connection

        def log_message(self, *_: object) -> None:
            """Keep the test output quiet."""

    return Handler
