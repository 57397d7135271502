"""The sections `perplexity` and `filter` of params.yaml."""

import warnings
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from stillhouse.marks import ALL_CONTROL_TOKENS
from stillhouse.params.base import Id, Revision, Section, UnitInterval, check_unique

NGRAM_MEMORY_MB = 512


class PerplexityScorer(Section):
    """The model that scores perplexity; `base_model` is as for teachers."""

    model: str
    revision: Revision
    base_model: str | None = None
    dtype: Literal["float32", "bfloat16"]
    max_tokens: PositiveInt


class NgramFilter(Section):
    """Template-like repetition: n-grams of `n` tokens that more than `max_count` of a teacher's responses share.

    One of the responses that share such an n-gram is kept. A response that has an n-gram more than `max_count` times is
    dropped by itself. `max_rate` is a share of the teacher's responses (0.0001: one in 10,000): where it allows more
    responses than `max_count`, it is their limit. `action` sets what is dropped: `sample` the whole response, `off`
    nothing.
    """

    n: PositiveInt
    max_count: PositiveInt
    max_rate: UnitInterval | None = None
    action: Literal["sample", "off"]
    # Its old place, read for one version; it changes no result, so no record has it.
    memory_mb: PositiveInt | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _memory_has_moved(self) -> "NgramFilter":
        if self.memory_mb is not None:
            warnings.warn(
                "params.yaml: filter.ngram.memory_mb: move it to conf/runtime.yaml (filter.ngram_memory_mb); from "
                "version 0.3 on, it is an error here",
                FutureWarning,
                stacklevel=2,
            )
        return self


class FilterRuntime(Section):
    """The memory of the filter stage; the section `filter` of conf/runtime.yaml. It changes no output.

    `ngram_memory_mb` bounds the memory of the n-gram filter, in megabytes; n-grams that need more go to a temporary
    file in `data/filtered`.
    """

    ngram_memory_mb: PositiveInt = NGRAM_MEMORY_MB


class Filter(Section):
    """Parameters of the filter stage. The perplexity cut differs by teacher and is in the teacher's file.

    `rules` lists rules of plugins, in order: `name`, or `name: {parameter: value}`. They are applied after the built-in
    rules for one response and before `repetition`, which compares responses. A response is dropped if one of the
    `control_tokens` is in its prompt, reasoning or answer; the default is `marks.CONTROL_TOKENS`, those of ChatML,
    Llama 3, harmony, Gemma, DeepSeek and Mistral. The lint of a release looks for the same ones.
    """

    require_think: bool
    max_tokens: PositiveInt
    control_tokens: list[Annotated[str, Field(min_length=3)]] = list(ALL_CONTROL_TOKENS)
    ngram: NgramFilter
    rules: list[Id | dict[Id, dict[str, Any]]] = []

    @property
    def custom_rules(self) -> list[tuple[str, dict[str, Any]]]:
        """The plugins' rules in order: name and parameters."""
        return [
            named
            for rule in self.rules
            for named in ([(rule, {})] if isinstance(rule, str) else rule.items())
        ]

    @model_validator(mode="after")
    def _one_by_one(self) -> "Filter":
        if any(isinstance(rule, dict) and len(rule) != 1 for rule in self.rules):
            raise ValueError(
                "rules: each entry is one rule: `- name`, or `- name: {parameter: value}`"
            )
        check_unique([name for name, _ in self.custom_rules], "filter.rules")
        check_unique(self.control_tokens, "filter.control_tokens")
        return self
