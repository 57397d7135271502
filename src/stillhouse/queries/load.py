"""Reads all sources of a run and counts what became of their rows; too many rejected rows of a source are an error."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from stillhouse.params.queries import Queries
from stillhouse.queries.origins import QueriesError
from stillhouse.queries.sources import RowRead, load_source
from stillhouse.records import Query, Rejected

EXAMPLES = 3


@dataclass
class Loaded:
    """The queries of all sources, the rows that are none, and the numbers of those left out by design, by source."""

    queries: list[Query] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    not_selected: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, source_id: str, rows: Iterable[RowRead]) -> None:
        """Take the rows of one source."""
        left_out = self.not_selected.setdefault(source_id, Counter())
        for row in rows:
            if isinstance(row, Query):
                self.queries.append(row)
            elif isinstance(row, Rejected):
                self.rejected.append(row)
            else:
                left_out[row.reason] += 1


def load_sources(spec: Queries, run_seed: int) -> Loaded:
    """Return the rows of all sources.

    Raises:
        QueriesError: as `load_source`; or of one source more rows than `max_rejected_share` allows cannot become
            queries. The message has the reasons and three examples.
    """
    loaded = Loaded()
    for source in spec.sources:
        queries, rejected = len(loaded.queries), len(loaded.rejected)
        loaded.add(source.id, load_source(source, run_seed))
        refused = loaded.rejected[rejected:]
        rows = len(loaded.queries) - queries + len(refused)
        if rows and len(refused) / rows > spec.max_rejected_share:
            raise QueriesError(_too_many(source.id, refused, rows, spec.max_rejected_share))
    return loaded


def _too_many(source_id: str, refused: list[Rejected], rows: int, limit: float) -> str:
    reasons = Counter(row.reason for row in refused)
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    firsts = {row.reason: row for row in reversed(refused)}  # the first row of each reason
    shown = [firsts[reason] for reason, _ in reasons.most_common(EXAMPLES)]
    shown += [row for row in refused if row not in shown][: EXAMPLES - len(shown)]
    examples = "\n".join(
        f"  row {row.row:,}: {row.reason}: {row.evidence}" for row in sorted(shown, key=_place)
    )
    return (
        f"query source {source_id!r}: {len(refused):,} of {rows:,} rows cannot become queries, more than "
        f"queries.max_rejected_share {limit:g} allows ({counts}):\n{examples}\n"
        f"Mend the rows, map the right columns (`stillhouse queries preview {source_id}` shows rows as they are read), "
        "or raise the share"
    )


def _place(row: Rejected) -> int:
    return row.row or 0


def counts(loaded: Loaded, source_id: str) -> dict[str, object]:
    """Return what became of the rows of one source that are no queries: rejections and rows left out, by reason."""
    reasons = Counter(row.reason for row in loaded.rejected if row.source == source_id)
    return {
        "rows_rejected": dict(sorted(reasons.items())),
        "not_selected": dict(sorted(loaded.not_selected.get(source_id, {}).items())),
    }
