"""Where queries come from: seeded generators, the sets that ship with stillhouse, files, and Hub data sets."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stillhouse import plugins
from stillhouse.known_layouts import query_columns
from stillhouse.params.queries import (
    EmbeddedSource,
    FileSource,
    GeneratorSource,
    HubSource,
    PluginSource,
    Source,
)
from stillhouse.queries.adapters.base import Adapter, NotSelected, Unusable
from stillhouse.queries.faults import RowFaultError, shown
from stillhouse.queries.formats import Numbered, SourceFormatError, file_rows
from stillhouse.queries.gym import GymError, half_of, query_seed, questions
from stillhouse.queries.origins import Origin, QueriesError, origin_of
from stillhouse.queries.rows import COLUMNS, query_of_row, rejected_row
from stillhouse.queries.worked import worked_solution
from stillhouse.records import CATEGORIES, Query, Rejected
from stillhouse.where import MISSING, Selection, lookup

# Half of the sets of numbers are queries, so that a draw is one in every second case.
DRAWS_PER_QUERY = 20
SHOWN_COLUMNS = 60  # of what a row has, in the error for a column that no row has
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"

RowRead = Query | Rejected | NotSelected


def load_source(source: Source, run_seed: int) -> Iterator[RowRead]:
    """Yield what became of each row of a source, in the source's own order: a query, a rejection, or not selected.

    Raises:
        QueriesError: the source is missing, empty, broken as a whole or does not take its parameters, `where` leaves no
            row, or no row has a column that `columns` names.
    """
    origin = origin_of(source)
    if isinstance(source, GeneratorSource):
        return _generated(source, origin, run_seed)
    if isinstance(source, EmbeddedSource):
        return _plain(_embedded_rows(source), origin)
    if isinstance(source, PluginSource):
        return _plain(_adapted_rows(source), origin)
    for key, names in (("columns", source.columns), ("constants", source.constants)):
        if unknown := names.keys() - COLUMNS:
            raise QueriesError(
                f"query source {source.id!r}: {key}: unknown {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(sorted(COLUMNS))}"
            )
    rows = _file_rows(source) if isinstance(source, FileSource) else _hub_rows(source.id, origin)
    return _read(rows, source, origin)


def _read(
    rows: Iterable[Numbered], source: FileSource | HubSource, origin: Origin
) -> Iterator[RowRead]:
    """Yield what became of the rows that `where`, and the adapter, let through, up to the limit."""
    taken = read = 0
    unseen = dict(source.columns)
    selection = Selection(source.where, f"query source {source.id!r}", QueriesError)
    columns: dict[str, None] = {}  # those of all rows so far, in order
    for number, row in rows:
        read += 1
        if isinstance(row, Unusable):
            taken += 1
            yield rejected_row(origin, number, row.reason, row.evidence)
        elif not selection.takes(row):
            yield NotSelected("where")
            continue
        else:
            if unseen:
                columns |= dict.fromkeys(row)
                unseen = {name: own for name, own in unseen.items() if lookup(row, own) is MISSING}
            found = _of_row(row, source, origin, number)
            yield found
            if isinstance(found, NotSelected):
                continue
            taken += 1
        if taken == source.limit:
            break
    if not read:
        raise _empty(origin)
    if not taken:
        selection.refuse_nothing()
    if unseen and taken:
        names = ", ".join(f"{own!r} ({name})" for name, own in unseen.items())
        there = ", ".join(list(columns)[:SHOWN_COLUMNS])
        raise QueriesError(
            f"query source {source.id!r}: columns: no row has {names}; name columns that rows have: {there or 'none'}"
        )


def _of_row(
    row: Mapping[str, Any], source: FileSource | HubSource, origin: Origin, number: int
) -> RowRead:
    if origin.adapter is not None:
        return _adapted(origin.adapter, row, origin, number)
    known = None if source.columns else query_columns(row)
    if known is None:
        return query_of_row(row, origin, source.columns, number, source.constants)
    if known.get("category") in CATEGORIES and known["category"] != origin.category:
        return NotSelected("other_category")
    return query_of_row(known, origin, {}, number, source.constants)


def _adapted(adapter: Adapter, row: Mapping[str, Any], origin: Origin, number: int) -> RowRead:
    """Return what an adapter makes of a row. What it cannot bear in a row is a fault of that row."""
    try:
        found = adapter.adapt(row)
    except RowFaultError as fault:
        return rejected_row(origin, number, fault.reason, fault.evidence)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        evidence = f"adapter {adapter.name}: {type(error).__name__}: {error}: {shown(row)}"
        return rejected_row(origin, number, "invalid_value", evidence)
    if isinstance(found, NotSelected):
        return found
    if isinstance(found, Unusable):
        return rejected_row(origin, number, found.reason, found.evidence)
    return query_of_row(found, origin, {}, number)


def _plain(rows: Iterable[tuple[int, Mapping[str, Any]]], origin: Origin) -> Iterator[RowRead]:
    number = 0
    for number, row in rows:
        yield query_of_row(row, origin, {}, number)
    if not number:
        raise _empty(origin)


def _empty(origin: Origin) -> QueriesError:
    return QueriesError(f"query source {origin.id!r}: it has no rows; correct it, or take it out")


def _generated(source: GeneratorSource, origin: Origin, run_seed: int) -> Iterator[RowRead]:
    first_seed = query_seed(source.id, run_seed)
    draws = source.count * (DRAWS_PER_QUERY if source.split_by_numbers else 1)
    drawn = questions(source.generator, source.config, first_seed, draws)
    if source.split_by_numbers:
        own = (question for question in drawn if half_of(question.prompt) == "queries")
        drawn = itertools.islice(own, source.count)
    try:
        for number, question in enumerate(drawn, start=1):
            solution = worked_solution(source.generator, question)
            row = {
                "prompt": question.prompt,
                "ground_truth": question.answer,
                "solution": solution and {"think": solution.think, "answer": solution.answer},
            }
            yield query_of_row(row, origin, {}, number)
    except GymError as error:
        raise QueriesError(f"query source {source.id!r}: {error}") from error


def _adapted_rows(source: PluginSource) -> Iterator[tuple[int, Mapping[str, Any]]]:
    where = f"query source {source.id!r}"
    adapter = plugins.find("source adapter", source.adapter, f"{where}: adapter")
    adapter.refuse_unknown(source.config, f"{where}: config")
    number = 0
    # A user's code: what it raises differs, hence the width.
    try:
        for number, row in enumerate(adapter.function(**source.config), start=1):
            if not isinstance(row, Mapping):
                raise TypeError(
                    f"a row is a {type(row).__name__}; a mapping with columns was expected"
                )
            yield number, row
    except Exception as error:
        raise QueriesError(
            f"{where}: adapter {source.adapter!r} ({adapter.place}) failed after {number} rows: "
            f"{type(error).__name__}: {error}"
        ) from error


def _embedded_rows(source: EmbeddedSource) -> Iterator[tuple[int, Mapping[str, Any]]]:
    from ruamel.yaml import YAML

    path = EMBEDDED_FOLDER / f"{source.name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in EMBEDDED_FOLDER.glob("*.yaml")))
        raise QueriesError(
            f"query source {source.id!r}: no embedded set {source.name!r}; there are: {known}"
        )
    return enumerate(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")), start=1)


def _file_rows(source: FileSource) -> Iterator[Numbered]:
    try:
        yield from file_rows(Path(source.path))
    except SourceFormatError as error:
        raise QueriesError(f"query source {source.id!r}: {error}") from None


def _hub_rows(source_id: str, origin: Origin) -> Iterator[Numbered]:
    from datasets import load_dataset

    # What a wrong name, a missing commit or a broken network raise differs by version, hence the width.
    try:
        rows = load_dataset(
            origin.repo,
            name=origin.config,
            split=origin.split,
            revision=origin.revision,
            streaming=True,
        )
        yield from enumerate(rows, start=1)
    except Exception as error:
        raise QueriesError(
            f"query source {source_id!r}: {origin.repo}@{origin.revision} cannot be read from the Hub "
            f"({type(error).__name__}: {error}); check repo, revision, config and split, and the network"
        ) from error
