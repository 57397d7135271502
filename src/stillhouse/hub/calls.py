"""Sends requests to the Hugging Face Hub, retries while it is busy, and turns failures into errors with a remedy.

Tokens come from the environment or `hf auth login`. No message contains a token.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.package.manifest import HUB_OWN_FILES

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import HfHubHTTPError

BRANCH = "main"
TRIES = 5
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
CONFLICT = frozenset({409, 412})
NO_ACCESS = frozenset({401, 403})

RepoType = Literal["dataset", "model"]
ResultT = TypeVar("ResultT")


class HubError(StillhouseError):
    """An upload to or a download from the Hub failed; the message says what to do."""


class HubUnreachableError(HubError):
    """No request reaches the Hub: there is no network, or it is down."""


@dataclass(frozen=True)
class HubRepository:
    """One repository on the Hub."""

    api: "HfApi"
    id: str
    type: RepoType


def call(what: str, request: Callable[[], ResultT]) -> ResultT:
    """Run a request and retry it while the Hub is busy or unreachable.

    Raises:
        HubError: no access, no such repository, the request was refused, or it still failed after `TRIES` tries.
        HfHubHTTPError: the request conflicts with the state of the repository; the caller handles this case.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    tries = Retrying(
        retry=retry_if_exception(_transient),
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential(FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        reraise=True,
    )
    try:
        return tries(request)
    except HfHubHTTPError as error:
        if error.response.status_code in CONFLICT:
            raise
        raise HubError(f"{what}: {_refusal(error)}") from None
    except (OSError, RuntimeError, _transport_error()) as error:
        if isinstance(error, OSError) and error.errno is not None and not _unreachable(error):
            raise  # a problem of this machine, such as a full disk
        kind = HubUnreachableError if _unreachable(error) else HubError
        raise kind(f"{what}: {_failure(error)}") from None


def _transport_error() -> type[Exception]:
    import httpx2

    return httpx2.TransportError


def _unreachable(error: BaseException) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError

    known = (_transport_error(), LocalEntryNotFoundError, ConnectionError, TimeoutError)
    return isinstance(error, known)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error. Transfers by Xet report it only in the text of a built-in exception."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return int(error.response.status_code)
    match = re.search(r"HTTP status \w+ error \((\d{3})", str(error))
    return int(match[1]) if match else None


def _transient(error: BaseException) -> bool:
    # The client wraps the error of an upload.
    if isinstance(error, RuntimeError) and error.__cause__:
        return _transient(error.__cause__)
    status = _status(error)
    return _unreachable(error) if status is None else status in TRANSIENT


def _refusal(error: "HfHubHTTPError") -> str:
    status = error.response.status_code
    reply = " ".join((error.server_message or "").split())
    if status in NO_ACCESS:
        return _no_access(f" (HTTP {status} {reply})")
    if status == 404:
        return "there is no such repository, revision or file"
    if status in TRANSIENT:
        return (
            f"the Hub still answers HTTP {status} after {TRIES} tries; run the same command later"
        )
    return f"HTTP {status} {reply}".rstrip()


def _failure(error: Exception) -> str:
    status = _status(error.__cause__ or error)
    if status in NO_ACCESS or isinstance(error, PermissionError):
        return _no_access(f" (HTTP {status})" if status else "")
    # The query string of a URL may hold its signature.
    message = re.sub(r"\?[^\s)]*", "", " ".join(str(error).split()))
    cause = type(error.__cause__ or error).__name__
    tried = f" after {TRIES} tries" if _transient(error) else ""
    return f"{message} ({cause}){tried}; run the same command later"


def _no_access(how: str) -> str:
    return f"no access{how}; run `hf auth login` or set HF_TOKEN to a token with write access"


def commit(
    remote: HubRepository, operations: list[Any], message: str, *, revision: str, parent: str
) -> str | None:
    """Commit to a branch or pull request whose head is `parent`.

    Args:
        remote: The repository.
        operations: The client's commit operations.
        message: The commit message.
        revision: The branch or the reference of the pull request.
        parent: The commit that must be the head of `revision`.

    Returns:
        The new commit. None means a conflict: somebody else pushed, or the response to our own commit was lost and the
        client sent it again.

    Raises:
        HubError: as `call`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        made = call(
            f"commit to {remote.id}",
            lambda: remote.api.create_commit(
                remote.id,
                operations,
                commit_message=message,
                repo_type=remote.type,
                revision=revision,
                parent_commit=parent,
            ),
        )
    except HfHubHTTPError:
        return None
    return str(made.oid)


def head(remote: HubRepository, revision: str = BRANCH) -> str:
    """Return the commit that a revision points to."""
    info = call(
        f"head of {remote.id}",
        lambda: remote.api.repo_info(remote.id, revision=revision, repo_type=remote.type),
    )
    if info.sha is None:
        raise HubError(f"{remote.id}: the Hub names no commit for {revision}")
    return str(info.sha)


def tags(remote: HubRepository) -> dict[str, str]:
    """Return the commit of each tag."""
    refs = call(
        f"refs of {remote.id}",
        lambda: remote.api.list_repo_refs(remote.id, repo_type=remote.type),
    )
    return {ref.name: ref.target_commit for ref in refs.tags}


def tree(remote: HubRepository, revision: str) -> dict[str, "RepoFile"]:
    """Return the files at a revision by path, without those that the Hub creates."""
    from huggingface_hub import RepoFile

    entries = call(
        f"files of {remote.id}@{revision}",
        lambda: list(
            remote.api.list_repo_tree(
                remote.id, recursive=True, revision=revision, repo_type=remote.type
            )
        ),
    )
    return {
        entry.path: entry
        for entry in entries
        if isinstance(entry, RepoFile) and entry.path not in HUB_OWN_FILES
    }
