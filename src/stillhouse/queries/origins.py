"""Where the rows of a source come from, and what holds for all of them: its parameters and its adapter's together."""

from dataclasses import dataclass

from stillhouse.errors import StillhouseError
from stillhouse.params.base import PLACEHOLDER
from stillhouse.params.queries import FileSource, HubSource, Source
from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.adapters.base import Adapter
from stillhouse.records import Category

DEFAULT_SPLIT = "train"


class QueriesError(StillhouseError):
    """A query source is missing or broken; the message names source, row, what was found, and the remedy."""


@dataclass(frozen=True)
class Origin:
    """What holds for all rows of a source; `repo`, `revision`, `config` and `split` only for one of the Hub."""

    id: str
    category: Category
    license: str
    verifier: str | None = None
    adapter: Adapter | None = None
    repo: str | None = None
    revision: str | None = None
    config: str | None = None
    split: str | None = None


def origin_of(source: Source) -> Origin:
    """Return what holds for all rows of a source. What the parameters set goes before the adapter's.

    Raises:
        QueriesError: no adapter has this name, or neither the parameters nor the adapter has a revision.
    """
    if not isinstance(source, FileSource | HubSource):
        return Origin(source.id, source.category, source.license, source.verifier)
    adapter = None
    if source.adapter is not None:
        adapter = ADAPTERS.get(source.adapter)
        if adapter is None:
            known = ", ".join(sorted(ADAPTERS)) or "none"
            raise QueriesError(
                f"query source {source.id!r}: no adapter {source.adapter!r}; there are: {known}"
            )
    category = source.category or (adapter.category if adapter else None)
    terms = source.license or (adapter.license if adapter else None)
    assert category  # the parameters have both, or an adapter
    assert terms
    origin = Origin(source.id, category, terms, source.verifier, adapter)
    return origin if isinstance(source, FileSource) else _of_hub(source, origin)


def _of_hub(source: HubSource, origin: Origin) -> Origin:
    adapter = origin.adapter
    repo = source.repo or (adapter.repo if adapter else None)
    # The revision and the configuration of an adapter are those of its own repository.
    own = adapter if adapter is not None and repo == adapter.repo else None
    revision = source.revision or (own.revision if own else None)
    if revision is None or revision == PLACEHOLDER:
        raise QueriesError(
            f"query source {source.id!r}: no revision of {repo}; set `revision: {PLACEHOLDER}` and run "
            "`stillhouse queries pin`, or put its 40-digit commit there"
        )
    return Origin(
        id=origin.id,
        category=origin.category,
        license=origin.license,
        verifier=origin.verifier,
        adapter=adapter,
        repo=repo,
        revision=revision,
        config=source.config or (own.config if own else None),
        split=source.split or (own.split if own else DEFAULT_SPLIT),
    )
