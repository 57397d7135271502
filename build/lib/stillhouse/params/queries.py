"""The section `queries` of params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stillhouse.params.base import (
    Id,
    InputPath,
    Revision,
    Section,
    UnitInterval,
    Where,
    check_unique,
)
from stillhouse.records import Category


class GeneratorSource(Section):
    """Queries of one reasoning-gym generator, drawn with the seed of the run."""

    id: Id
    kind: Literal["reasoning_gym"]
    category: Category
    license: str
    verifier: Id | None = None
    generator: str
    count: PositiveInt
    config: dict[str, Any] = {}


class EmbeddedSource(Section):
    """One of the small query sets that ship with stillhouse (`stillhouse/queries/embedded/<name>.yaml`)."""

    id: Id
    kind: Literal["embedded"]
    category: Category
    license: str
    verifier: Id | None = None
    name: str


class FileSource(Section):
    """Queries of a JSONL or Parquet file with the columns of `Query`.

    `columns` maps these columns to the file's names; if set, no other column is read. `where` selects the rows
    that have the given value, or one of the given values, in each of the named columns (the file's names). `limit` is
    the largest number of rows, counted after `where`. The `license` of a row overrides the license of the source.

    Any source may name the `verifier` of a plugin, which grades its answers instead of the category's verifier.
    """

    id: Id
    kind: Literal["file"]
    category: Category
    license: str
    verifier: Id | None = None
    path: InputPath
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None


class HubSource(Section):
    """Queries of a Hub data set at a pinned commit; `columns`, `where` and `limit` as for a file."""

    id: Id
    kind: Literal["hub"]
    category: Category
    license: str
    verifier: Id | None = None
    repo: str
    revision: Revision
    config: str | None = None
    split: str = "train"
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None


class PluginSource(Section):
    """Queries from a plugin's source adapter; `config` is its keyword arguments."""

    id: Id
    kind: Literal["plugin"]
    category: Category
    license: str
    verifier: Id | None = None
    adapter: Id
    config: dict[str, Any] = {}


Source = Annotated[
    GeneratorSource | EmbeddedSource | FileSource | HubSource | PluginSource,
    Field(discriminator="kind"),
]


class Clean(Section):
    """Rules that drop a query for its text alone (paper section 2.1, which has no value for the non-ASCII limit)."""

    min_chars: NonNegativeInt
    max_chars: PositiveInt
    max_non_ascii: UnitInterval
    drop_urls: bool
    drop_tables: bool
    drop_images: bool


class Dedup(Section):
    """Near-duplicate removal by MinHash over word shingles. Queries with different numbers are never duplicates."""

    threshold: UnitInterval
    permutations: PositiveInt
    shingle_words: PositiveInt


class Decontaminate(Section):
    """Removal of queries that overlap a benchmark of this run, by exact text or by a shared word n-gram."""

    ngram_words: PositiveInt
    min_overlap: UnitInterval


class Queries(Section):
    """Parameters of the queries stage."""

    sources: list[Source]
    clean: Clean
    dedup: Dedup
    decontaminate: Decontaminate

    @model_validator(mode="after")
    def _unique_ids(self) -> "Queries":
        check_unique([source.id for source in self.sources], "queries.sources")
        return self
