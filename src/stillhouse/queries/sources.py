"""Where queries come from: seeded generators, the sets that ship with stillhouse, files, and Hub data sets."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stillhouse import plugins
from stillhouse.files import FileError, json_objects
from stillhouse.params.queries import (
    EmbeddedSource,
    FileSource,
    GeneratorSource,
    HubSource,
    PluginSource,
    Source,
)
from stillhouse.queries.gym import GymError, query_seed, questions
from stillhouse.queries.rows import COLUMNS, QueriesError, query_of_row
from stillhouse.queries.worked import worked_solution
from stillhouse.records import Query
from stillhouse.where import rows_where

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


def load_source(source: Source, run_seed: int) -> Iterator[Query]:
    """Yield the queries of one source, in the source's own order, NFC-normalised.

    Raises:
        QueriesError: the source is missing or does not take its parameters, `where` leaves no row, or a row has no
            text or lacks the ground truth that its category needs.
    """
    if isinstance(source, GeneratorSource):
        return _generated(source, run_seed)
    if isinstance(source, EmbeddedSource):
        return _queries(_embedded_rows(source), source, {})
    if isinstance(source, PluginSource):
        return _queries(_adapted_rows(source), source, {})
    rows = _file_rows(source) if isinstance(source, FileSource) else _hub_rows(source)
    if unknown := source.columns.keys() - COLUMNS:
        raise QueriesError(
            f"query source {source.id!r}: columns: unknown {', '.join(sorted(unknown))}; "
            f"can be renamed: {', '.join(sorted(COLUMNS))}"
        )
    if source.where:
        where = f"query source {source.id!r}"
        rows = rows_where(rows, source.where, where, QueriesError)
    return _queries(itertools.islice(rows, source.limit), source, source.columns)


def _queries(
    rows: Iterable[tuple[int, Mapping[str, Any]]], source: Source, columns: Mapping[str, str]
) -> Iterator[Query]:
    for number, row in rows:
        yield query_of_row(row, source, columns, number)


def _generated(source: GeneratorSource, run_seed: int) -> Iterator[Query]:
    first_seed = query_seed(source.id, run_seed)
    drawn = questions(source.generator, source.config, first_seed, source.count)
    try:
        for number, question in enumerate(drawn, start=1):
            solution = worked_solution(source.generator, question)
            row = {
                "prompt": question.prompt,
                "ground_truth": question.answer,
                "solution": solution and {"think": solution.think, "answer": solution.answer},
            }
            yield query_of_row(row, source, {}, number)
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


def _file_rows(source: FileSource) -> Iterator[tuple[int, Mapping[str, Any]]]:
    path = Path(source.path)
    if not path.is_file():
        raise QueriesError(
            f"query source {source.id!r}: {path}: no such file; mend `path`, relative to the project root"
        )
    match path.suffix:
        case ".jsonl":
            return _jsonl_rows(path, source.id)
        case ".parquet":
            return enumerate(_parquet_rows(path, source.id), start=1)
        case other:
            raise QueriesError(
                f"query source {source.id!r}: {path}: suffix {other!r}; .jsonl or .parquet was expected"
            )


def _jsonl_rows(path: Path, source_id: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        yield from json_objects(path)
    except FileError as error:
        raise QueriesError(f"query source {source_id!r}: {error}") from None


def _parquet_rows(path: Path, source_id: str) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise QueriesError(
            f"query source {source_id!r}: {path}: unreadable Parquet ({error}); write the file again"
        ) from None


def _hub_rows(source: HubSource) -> Iterator[tuple[int, Mapping[str, Any]]]:
    from datasets import load_dataset

    # What a wrong name, a missing commit or a broken network raise differs by version, hence the width.
    try:
        rows = load_dataset(
            source.repo,
            name=source.config,
            split=source.split,
            revision=source.revision,
            streaming=True,
        )
        yield from enumerate(rows, start=1)
    except Exception as error:
        raise QueriesError(
            f"query source {source.id!r}: {source.repo}@{source.revision} cannot be read from the Hub "
            f"({type(error).__name__}: {error}); check repo, revision, config and split, and the network"
        ) from error
