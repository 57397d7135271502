"""How a release gets to the Hub: in one step of the branch, whatever its number of files.

Few files are one commit. Many go in parts to a pull request, which becomes one commit of the branch when it is
complete: the Hub advises against commits of many files, and a part that is there need not be sent again.
"""

from collections.abc import Callable

from stillhouse.hub.calls import BRANCH, HubError, Remote, commit, head, tree
from stillhouse.hub.changes import Local, changes
from stillhouse.hub.pull_request import PullRequest
from stillhouse.hub.transfer import Progress, size_text

FILES_PER_COMMIT = 100


def upload(remote: Remote, local: Local, tag: str, told: Callable[[str], None]) -> str:
    """Bring the head of the branch to the release's content in one step; return the commit.

    Raises:
        HubError: somebody else pushed meanwhile, or the Hub does not take a file or a pull request.
    """
    start = head(remote)
    standing = tree(remote, start)
    change = changes(local, standing)
    if not change.count:
        return start
    told(
        f"{remote.id}: send {len(change.add)} files, {size_text(sum(change.sizes.values()))}; "
        f"delete {len(change.delete)}; on {start}"
    )
    title = f"Release {tag}"
    if change.count <= FILES_PER_COMMIT:
        progress = Progress(f"{remote.id}: sent", change.sizes, told)
        commit(remote, change.operations(), title, revision=BRANCH, parent=start)
        progress.done(*change.sizes)
    else:
        PullRequest(remote, local, title, start, standing).bring(FILES_PER_COMMIT, told)
    now = head(remote)
    if changes(local, tree(remote, now)).count:
        raise HubError(
            f"{remote.id}: a concurrent push moved {BRANCH} from {start} to {now}; look at it, then publish again"
        )
    return now
