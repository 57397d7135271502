"""The section `queries` of params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stillhouse.params.base import (
    Id,
    InputPath,
    Revision,
    Scalar,
    Section,
    UnitInterval,
    Where,
    check_unique,
)
from stillhouse.records import Category


class GeneratorSource(Section):
    """Queries of one reasoning-gym generator, drawn with the seed of the run.

    With `split_by_numbers` only questions are taken whose numbers, whatever their order, belong to the half for
    queries. A benchmark task with the same key takes the other half, so that no item repeats the numbers of a query.
    """

    id: Id
    kind: Literal["reasoning_gym"]
    category: Category
    license: str
    verifier: Id | None = None
    generator: str
    count: PositiveInt
    config: dict[str, Any] = {}
    split_by_numbers: bool = False


class EmbeddedSource(Section):
    """One of the small query sets that ship with stillhouse (`stillhouse/queries/embedded/<name>.yaml`)."""

    id: Id
    kind: Literal["embedded"]
    category: Category
    license: str
    verifier: Id | None = None
    name: str


class _RowSource(Section):
    """What file and Hub sources share: which rows they take, and how a row's columns become those of a query."""

    id: Id
    adapter: Id | None = None
    category: Category | None = None
    license: str | None = None
    verifier: Id | None = None
    columns: dict[str, str] = {}
    constants: dict[str, Scalar] = {}
    where: Where = {}
    limit: PositiveInt | None = None

    @model_validator(mode="after")
    def _adapter_or_columns(self) -> Self:
        if self.adapter is not None:
            if self.columns or self.constants:
                raise ValueError(
                    "`adapter` reads the columns itself; remove `columns` and `constants`"
                )
        elif self.category is None or self.license is None:
            raise ValueError("needs `category` and `license`, or an `adapter`, which has both")
        if both := self.columns.keys() & self.constants.keys():
            raise ValueError(
                f"{', '.join(sorted(both))} is in `columns` and in `constants`; keep one"
            )
        return self


class FileSource(_RowSource):
    """Queries of a file: CSV, TSV, JSON, JSON lines or Parquet, also compressed (`.gz`, `.zst`).

    `columns` maps the columns of a query to the file's names; if set, no other column is read. A name may lead into a
    column, as `reward_model.ground_truth` or `turns.0.value` do, also where the column is a JSON text. `constants` are
    values that all rows have, such as `language: python`. `where` selects the rows that have the given value, or one of
    the given values, in each of the named columns (the file's names). `limit` is the largest number of rows, counted
    after `where`. The `license` of a row overrides the license of the source.

    `adapter` names a known public layout (`stillhouse.queries.adapters`), which replaces `columns` and `constants`, and
    gives `category` and `license` where they are not set.

    Any source may name the `verifier` of a plugin, which grades its answers instead of the category's verifier.
    """

    kind: Literal["file"]
    path: InputPath


class HubSource(_RowSource):
    """Queries of a Hub data set at a pinned commit; `columns`, `constants`, `where` and `limit` as for a file.

    With an `adapter`, `repo`, `revision`, `config`, `split`, `category` and `license` are the adapter's where they are
    not set. Without one, `split` is `train`.
    """

    kind: Literal["hub"]
    repo: str | None = None
    revision: Revision | None = None
    config: str | None = None
    split: str | None = None

    @model_validator(mode="after")
    def _adapter_or_repository(self) -> Self:
        if self.adapter is None and (self.repo is None or self.revision is None):
            raise ValueError("needs `repo` and `revision`, or an `adapter`, which has both")
        return self


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
    """Near-duplicate removal: queries whose sets of word shingles have a Jaccard index of `threshold` or more.

    Queries with different numbers are never duplicates, and those with different references are both kept.
    """

    threshold: Annotated[float, Field(gt=0, le=1)]
    shingle_words: PositiveInt


class Embedding(Section):
    """A model of sentence embeddings that proposes the benchmark items which a query may rephrase.

    `model` and `revision` as for a teacher; `pooling` is the model's own, named on its card: bge-m3 has `cls`, MiniLM
    `mean`. Items whose cosine reaches `min_cosine` are proposed, at most eight. A rule on shared numbers and words
    decides, so the margin may be wide.
    """

    model: str
    revision: Revision
    dtype: Literal["float32", "bfloat16", "float16"]
    pooling: Literal["cls", "mean"]
    max_tokens: PositiveInt
    min_cosine: UnitInterval


class Decontaminate(Section):
    """Removal of queries that repeat an item of a benchmark of this run.

    `ngram_words` and `min_overlap`: a query is dropped if this share of its word n-grams is in one item; short texts
    have shorter n-grams. `min_containment`: also if this weighted share of an item's words, or of the query's, is
    in the other text beside the same words, with the same numbers (a changed copy). `allow_unchecked` names the tasks
    whose items may be unreadable; any other task without items ends the run. `embedding`: null, or a model that
    also finds items in other words with the same numbers.
    """

    ngram_words: PositiveInt
    min_overlap: UnitInterval
    min_containment: UnitInterval = 0.7
    allow_unchecked: list[Id] = []
    embedding: Embedding | None = None


class Queries(Section):
    """Parameters of the queries stage.

    A row that cannot become a checkable query is rejected. `max_rejected_share` is the largest share of such rows in a
    source; above it the stage fails. Duplicates, rows that `clean` drops or that overlap a benchmark, and rows that an
    adapter leaves out by design do not count.
    """

    sources: list[Source]
    max_rejected_share: UnitInterval = 0.2
    clean: Clean
    dedup: Dedup
    decontaminate: Decontaminate

    @model_validator(mode="after")
    def _unique_ids(self) -> "Queries":
        check_unique([source.id for source in self.sources], "queries.sources")
        return self
