"""Requests to the Hugging Face Hub: tried again while it is busy, and what went wrong as a message with a remedy.

Tokens come from the environment or `hf auth login`; they appear in no message.
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
    """The Hub did not take or give a release as it should; the message says what to do."""


@dataclass(frozen=True)
class Remote:
    """One repository of the Hub."""

    api: "HfApi"
    id: str
    type: RepoType


def call(what: str, request: Callable[[], ResultT]) -> ResultT:
    """Run a request, again while the Hub is busy or out of reach.

    Raises:
        HubError: no access, no such repository, refused, or still failing after `TRIES` tries.
        HfHubHTTPError: the request conflicts with the state of the repository; the caller knows what that means.
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
            raise  # trouble of this machine, such as a full disk
        raise HubError(f"{what}: {_failure(error)}") from None


def _transport_error() -> type[Exception]:
    import httpx2

    return httpx2.TransportError


def _unreachable(error: BaseException) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError

    known = (_transport_error(), LocalEntryNotFoundError, ConnectionError, TimeoutError)
    return isinstance(error, known)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error; transfers by Xet tell it in the text of Python's own errors only."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return int(error.response.status_code)
    told = re.search(r"HTTP status \w+ error \((\d{3})", str(error))
    return int(told[1]) if told else None


def _transient(error: BaseException) -> bool:
    if isinstance(error, RuntimeError) and error.__cause__:  # the client's wrapping of an upload
        return _transient(error.__cause__)
    status = _status(error)
    return _unreachable(error) if status is None else status in TRANSIENT


def _refusal(error: "HfHubHTTPError") -> str:
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())
    if status in NO_ACCESS:
        return _no_access(f" (HTTP {status} {said})")
    if status == 404:
        return "there is no such repository, revision or file"
    if status in TRANSIENT:
        return (
            f"the Hub still answers HTTP {status} after {TRIES} tries; run the same command later"
        )
    return f"HTTP {status} {said}".rstrip()


def _failure(error: Exception) -> str:
    status = _status(error.__cause__ or error)
    if status in NO_ACCESS or isinstance(error, PermissionError):
        return _no_access(f" (HTTP {status})" if status else "")
    # What follows a question mark signs an address.
    said = re.sub(r"\?[^\s)]*", "", " ".join(str(error).split()))
    cause = type(error.__cause__ or error).__name__
    tried = f" after {TRIES} tries" if _transient(error) else ""
    return f"{said} ({cause}){tried}; run the same command later"


def _no_access(how: str) -> str:
    return f"no access{how}; run `hf auth login` or set HF_TOKEN to a token that may write"


def commit(
    remote: Remote, operations: list[Any], message: str, *, revision: str, parent: str
) -> str | None:
    """Commit to a branch or pull request whose head is `parent`; return the commit.

    None means a conflict: somebody else pushed, or the answer to our own commit was lost and it was sent again.

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


def head(remote: Remote, revision: str = BRANCH) -> str:
    """Return the commit on which a revision stands."""
    info = call(
        f"head of {remote.id}",
        lambda: remote.api.repo_info(remote.id, revision=revision, repo_type=remote.type),
    )
    if info.sha is None:
        raise HubError(f"{remote.id}: the Hub names no commit for {revision}")
    return str(info.sha)


def tags(remote: Remote) -> dict[str, str]:
    """Return the commit of each tag."""
    refs = call(
        f"refs of {remote.id}",
        lambda: remote.api.list_repo_refs(remote.id, repo_type=remote.type),
    )
    return {ref.name: ref.target_commit for ref in refs.tags}


def tree(remote: Remote, revision: str) -> dict[str, "RepoFile"]:
    """Return the files at a revision by path, without those that the Hub makes itself."""
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
