"""The section `queries` of params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stillhouse.params.base import Id, InputPath, Revision, Section, Share, Where, _unique
from stillhouse.records import Category


class GeneratorSource(Section):
    """Queries of one seeded reasoning-gym generator."""

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
    """Queries of the user's own: JSONL or Parquet with the columns of `Query`.

    `columns` maps these to the file's own names; given, no other column is read. `where` takes only the rows that have
    the given value, or one of the given values, in each of the named columns (the file's own names); `limit` counts
    what is taken. A row's own `license` goes before the source's.

    Any source may name the `verifier` of a plugin that grades its answers in place of the category's.
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
    """Queries of a Hub data set at a pinned commit; `columns` and `where` as for a file."""

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
    """Queries that a plugin's source adapter yields; `config` is its keyword arguments."""

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
    """Rules that drop a query for its text alone (paper section 2.1; the non-ASCII limit was never published)."""

    min_chars: NonNegativeInt
    max_chars: PositiveInt
    max_non_ascii: Share
    drop_urls: bool
    drop_tables: bool
    drop_images: bool


class Dedup(Section):
    """Near-duplicate removal by MinHash over word shingles that keep every number."""

    threshold: Share
    permutations: PositiveInt
    shingle_words: PositiveInt


class Decontaminate(Section):
    """Removal of queries that overlap a benchmark of this run: exact text, or a shared word n-gram."""

    ngram_words: PositiveInt
    min_overlap: Share


class Queries(Section):
    """Parameters of the queries stage."""

    sources: list[Source]
    clean: Clean
    dedup: Dedup
    decontaminate: Decontaminate

    @model_validator(mode="after")
    def _unique_ids(self) -> "Queries":
        _unique([source.id for source in self.sources], "queries.sources")
        return self
