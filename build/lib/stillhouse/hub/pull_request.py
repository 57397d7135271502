"""Uploads a release of many files as a pull request on the Hub: in several commits, merged when it is complete.

A run that was interrupted continues with the existing pull request. That pull request must have the title of the
release, must begin at the commit that the release was compared with, and must hold only files of that commit or of the
release. The merged state is exactly the release. The Hub cannot make a merge conditional on the head of the branch.
A push during the merge is therefore detected only afterwards; the Hub then keeps both, and the release is not tagged.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stillhouse.hub.calls import HubError, HubRepository, call, commit, head, tree
from stillhouse.hub.changes import Changes, Local, Tree, changes
from stillhouse.hub.transfer import TransferProgress

UNMERGED = ("draft", "open")


@dataclass(frozen=True)
class PullRequest:
    """The pull request of one release.

    Args:
        remote: The repository.
        local: The files of the release.
        title: The title of the pull request.
        start: The commit of the branch that the release was compared with.
        base: The files at `start`.
    """

    remote: HubRepository
    local: Local
    title: str
    start: str
    base: Tree

    def push(self, files_per_commit: int, report: Callable[[str], None]) -> None:
        """Send the files that the pull request lacks, then merge it if the branch has not moved.

        Raises:
            HubError: somebody else pushed to the pull request or to the branch, or the Hub refused a file or the merge.
        """
        number = call(f"pull request of {self.remote.id}", self._find_or_create)
        where, revision = f"{self.remote.id}: pull request {number}", _revision(number)
        tip = head(self.remote, revision)
        missing = changes(self.local, tree(self.remote, tip))
        report(f"{where}: {missing.count} files to send, {files_per_commit} per commit")
        progress = TransferProgress(f"{where}: sent", missing.sizes, report)
        for part in missing.parts(files_per_commit):
            tip = commit(
                self.remote, part.operations(), self.title, revision=revision, parent=tip
            ) or self._head_with(part, revision)
            progress.done(*part.sizes)
        if changes(self.local, tree(self.remote, revision)).count:
            raise HubError(f"{where} differs from the release; close it, then publish again")
        if head(self.remote) == self.start:
            self._merge(number, where)

    def _find_or_create(self) -> int:
        """Return the number of the pull request.

        A retry after a lost response finds the pull request that the first request created.
        """
        api, repo, kind = self.remote.api, self.remote.id, self.remote.type
        for found in api.get_repo_discussions(
            repo, repo_type=kind, discussion_type="pull_request", discussion_status="all"
        ):
            if found.title == self.title and found.status in UNMERGED and self._is_ours(found.num):
                return int(found.num)
        return int(api.create_pull_request(repo, self.title, repo_type=kind).num)

    def _is_ours(self, number: int) -> bool:
        commits = self.remote.api.list_repo_commits(
            self.remote.id, revision=_revision(number), repo_type=self.remote.type
        )
        if self.start not in [found.commit_id for found in commits]:
            return False
        held = tree(self.remote, _revision(number))
        deleted = set(self.base) - set(held)
        return not deleted & set(self.local) and all(
            (name in self.base and entry.blob_id == self.base[name].blob_id)
            or (name in self.local and self.local[name].matches(entry))
            for name, entry in held.items()
        )

    def _head_with(self, part: Changes, revision: str) -> str:
        """Return the head of the pull request if it contains the part: the response to our own commit was lost."""
        tip = head(self.remote, revision)
        if not part.applied_in(tree(self.remote, tip)):
            raise HubError(
                f"{self.remote.id}: somebody else pushed to {revision}; close that pull request, then publish again"
            )
        return tip

    def _merge(self, number: int, where: str) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            call(f"publication of {where}", lambda: self._set_open(number))
            call(f"merge of {where}", lambda: self._set_merged(number))
        except HfHubHTTPError as error:
            # If the head moved, somebody pushed, which the caller reports.
            if head(self.remote) == self.start:
                raise HubError(
                    f"{where}: the Hub refuses the merge ({error.server_message}); merge it by hand, then publish again"
                ) from None

    def _set_open(self, number: int) -> None:
        # The client opens a draft, and the Hub does not merge drafts.
        if self._status(number) == "draft":
            self.remote.api.change_discussion_status(
                self.remote.id, number, "open", repo_type=self.remote.type
            )

    def _set_merged(self, number: int) -> None:
        if self._status(number) != "merged":
            self.remote.api.merge_pull_request(self.remote.id, number, repo_type=self.remote.type)

    def _status(self, number: int) -> str:
        details = self.remote.api.get_discussion_details(
            self.remote.id, number, repo_type=self.remote.type
        )
        return str(details.status)


def _revision(number: int) -> str:
    return f"refs/pr/{number}"
