"""A release of many files as a pull request of the Hub: filled part by part, and merged when it is complete.

An interrupted release goes on with its pull request, whoever opened it: one of the release's title that begins at the
commit with which the release was compared, and that holds nothing but files from there or from the release. What is
merged holds exactly the release. The Hub has no merge that depends on the branch's head, so a push in the moment of
merging is seen afterwards only; the Hub then keeps both, and the release is not tagged.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stillhouse.hub.calls import HubError, Remote, call, commit, head, tree
from stillhouse.hub.changes import Changes, Local, Tree, changes
from stillhouse.hub.transfer import Progress

UNMERGED = ("draft", "open")


@dataclass(frozen=True)
class PullRequest:
    """The pull request of this title that brings the files `local` onto the commit `start`, where `standing` are."""

    remote: Remote
    local: Local
    title: str
    start: str
    standing: Tree

    def bring(self, files_per_commit: int, told: Callable[[str], None]) -> None:
        """Send what the pull request lacks and merge it; do neither if the branch has moved.

        Raises:
            HubError: somebody else pushed to it or to the branch, or the Hub does not take a file or merge it.
        """
        number = call(f"pull request of {self.remote.id}", self._find_or_create)
        where, revision = f"{self.remote.id}: pull request {number}", _revision(number)
        tip = head(self.remote, revision)
        lacking = changes(self.local, tree(self.remote, tip))
        told(f"{where}: {lacking.count} files to go, {files_per_commit} in a commit")
        progress = Progress(f"{where}: sent", lacking.sizes, told)
        for part in lacking.parts(files_per_commit):
            tip = commit(
                self.remote, part.operations(), self.title, revision=revision, parent=tip
            ) or self._settled(part, revision)
            progress.done(*part.sizes)
        if changes(self.local, tree(self.remote, revision)).count:
            raise HubError(f"{where} is not as the release is; close it, then publish again")
        if head(self.remote) == self.start:
            self._merge(number, where)

    def _find_or_create(self) -> int:
        """Return the number of the pull request, which is created once, even if the answer to that is lost."""
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
        gone = set(self.standing) - set(held)
        return not gone & set(self.local) and all(
            (name in self.standing and entry.blob_id == self.standing[name].blob_id)
            or (name in self.local and self.local[name].is_as(entry))
            for name, entry in held.items()
        )

    def _settled(self, part: Changes, revision: str) -> str:
        """Return the pull request's head if the part stands there: the answer to our own commit was lost."""
        tip = head(self.remote, revision)
        if not part.stand_in(tree(self.remote, tip)):
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
            if head(self.remote) == self.start:  # otherwise somebody pushed: the caller says so
                raise HubError(
                    f"{where}: the Hub does not merge it ({error.server_message}); merge it by hand, then publish again"
                ) from None

    def _set_open(self, number: int) -> None:
        if self._status(number) == "draft":  # as the client opens it; the Hub merges no draft
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
