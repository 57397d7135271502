"""Uploads a release to the Hub as one commit of its branch, whatever its number of files.

A release of few files is one commit. A release of many files is sent in parts to a pull request, which becomes one
commit of the branch when it is complete. The Hub advises against commits of many files, and a part that was sent need
not be sent again after an interruption.
"""

from collections.abc import Callable

from stillhouse.hub.calls import BRANCH, HubError, HubRepository, commit, head, tree
from stillhouse.hub.changes import Local, changes
from stillhouse.hub.pull_request import PullRequest
from stillhouse.hub.transfer import TransferProgress, size_text

FILES_PER_COMMIT = 100


def upload(remote: HubRepository, local: Local, tag: str, report: Callable[[str], None]) -> str:
    """Make the head of the branch hold exactly the release, in one commit; return the commit.

    Args:
        remote: The repository.
        local: The files of the release.
        tag: The tag of the release, which is part of the commit message.
        report: Progress callback, called with each line.

    Raises:
        HubError: somebody else pushed meanwhile, or the Hub refused a file or a pull request.
    """
    start = head(remote)
    base = tree(remote, start)
    change = changes(local, base)
    if not change.count:
        return start
    report(
        f"{remote.id}: send {len(change.add)} files, {size_text(sum(change.sizes.values()))}; "
        f"delete {len(change.delete)}; on {start}"
    )
    title = f"Release {tag}"
    if change.count <= FILES_PER_COMMIT:
        progress = TransferProgress(f"{remote.id}: sent", change.sizes, report)
        commit(remote, change.operations(), title, revision=BRANCH, parent=start)
        progress.done(*change.sizes)
    else:
        PullRequest(remote, local, title, start, base).push(FILES_PER_COMMIT, report)
    now = head(remote)
    if changes(local, tree(remote, now)).count:
        raise HubError(
            f"{remote.id}: a concurrent push moved {BRANCH} from {start} to {now}; look at it, then publish again"
        )
    return now
