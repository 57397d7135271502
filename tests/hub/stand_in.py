"""A stand-in for the Hub's HTTP API on this machine, for tests: no network, no account.

It speaks what huggingface_hub and datasets ask for when a data set or a model is created, committed to (small files
inline, large ones by LFS or by Xet, as the client chooses) on its branch or through a pull request, tagged, listed and
downloaded. Everything lives in memory.
Not spoken: inference, users.

Faults are part of it: `fail` answers the next matching requests with an error or cuts their connection, before or after
they took effect, and `corrupt` spoils what is downloaded.
"""

import re
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer

from tests.hub.stand_in_api import TOKEN, HubApi
from tests.hub.stand_in_http import CUT, Answer, ApiError, Fault, Request, as_json, handler_of
from tests.hub.stand_in_repository import Blob

__all__ = ["CUT", "TOKEN", "HubStandIn"]

Plan = tuple[str, Callable[[], None]]


class HubStandIn(HubApi):
    """The server. Use it as a context manager; `endpoint` is what HF_ENDPOINT must be."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.before: list[Plan] = []
        self.after: list[Plan] = []
        self.log: list[str] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self._answer))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "HubStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, pattern: str, status: int, times: int = 1, *, after: bool = False) -> None:
        """Fail the next `times` requests that match, for example `POST .*/commit/`; `CUT` cuts their connection."""
        self.faults.append(Fault(pattern, status, times, after))

    def corrupt(self, path: str) -> None:
        """Spoil every later download of this file, with its size unchanged."""
        self.corrupted.add(path)

    def run_before(self, pattern: str, action: Callable[[], None]) -> None:
        """Run an action once, just before the next request that matches is answered."""
        self.before.append((pattern, action))

    def run_after(self, pattern: str, action: Callable[[], None]) -> None:
        """Run an action once, when the next request that matches took effect, before its answer goes out."""
        self.after.append((pattern, action))

    def push(self, repo_id: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit files as somebody else would."""
        repo = self.repositories[repo_id]
        blobs = {path: Blob(content) for path, content in files.items()}
        tree = repo.commits[repo.heads[branch]] | blobs
        return repo.commit(tree, "somebody else's commit", branch)

    def requests(self, pattern: str) -> list[str]:
        """Return the requests so far that match."""
        return [request for request in self.log if re.search(pattern, request)]

    def _answer(self, request: Request) -> Answer:
        """Answer one request, with its faults."""
        with self._lock:
            self.log.append(request.line)
            _carry_out(self.before, request)
            fault = next((fault for fault in self.faults if fault.applies(request.line)), None)
            if fault and not fault.after:
                return _failed(fault)
            try:
                answer = self.route(request)
            except ApiError as error:
                answer = _error(error)
            _carry_out(self.after, request)
            return _failed(fault, answer) if fault else answer


def _carry_out(plans: list[Plan], request: Request) -> None:
    for planned in [plan for plan in plans if re.search(plan[0], request.line)]:
        plans.remove(planned)
        planned[1]()


def _error(error: ApiError) -> Answer:
    headers = {"X-Error-Message": str(error)}
    if error.code:
        headers["X-Error-Code"] = error.code
    return as_json({"error": str(error)}, error.status, headers)


def _failed(fault: Fault, answer: Answer | None = None) -> Answer:
    """Return what goes back instead of the answer; a cut lets half of its body through, or nothing before it."""
    if fault.status != CUT:
        return _error(ApiError(fault.status, "injected fault"))
    if answer is None:
        return Answer(b"", cut=0)
    answer.cut = len(answer.body) // 2
    return answer
