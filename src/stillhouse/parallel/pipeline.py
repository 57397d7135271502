"""The stages of dvc.yaml as DVC sees them: what each waits for, and whether it has to run."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError


class PipelineError(StillhouseError):
    """DVC cannot read the project."""


class Pipeline:
    """The stages of a project's dvc.yaml, in an order in which each comes after those that it waits for.

    A stage that reads a folder waits for all stages that write below it: the graph is that of DVC's index, which
    compares the paths of dependencies and outs.
    """

    def __init__(self, root: Path) -> None:
        """Read dvc.yaml and dvc.lock.

        Raises:
            PipelineError: there is no DVC project, or dvc.yaml has a fault.
        """
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import plan_repro

        logging.getLogger("dvc").setLevel(logging.ERROR)
        try:
            # A stage that is hashed by another process holds DVC's lock for as long as that takes.
            self._repo = Repo(str(root), _wait_for_lock=True)
            graph = self._repo.index.graph
            ordered = plan_repro(graph)
        except DvcException as error:
            raise PipelineError(f"DVC cannot read the project: {error}") from None
        own_file = (root / "dvc.yaml").resolve()
        own = [stage for stage in ordered if Path(stage.path) == own_file]
        self._stages: dict[str, Any] = {stage.name: stage for stage in own}
        self._after: dict[str, set[str]] = {}
        for stage in own:
            direct = [before.name for before in graph.successors(stage) if before in own]
            self._after[stage.name] = {*direct}.union(*(self._after[name] for name in direct))
        self.names = list(self._stages)

    def waits_for(self, name: str) -> Collection[str]:
        """Return the stages that have to be done before this one."""
        return self._after[name]

    def has_to_run(self, name: str) -> bool:
        """Return whether a stage's command, parameters, dependencies or outs differ from dvc.lock.

        Only for a stage whose predecessors are done. DVC reads the stage's entry in dvc.lock when it loads the project,
        and no other stage changes it.
        """
        stage = self._stages[name]
        with self._repo.lock:
            return bool(stage.changed())
