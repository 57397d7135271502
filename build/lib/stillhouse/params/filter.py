"""The sections `perplexity` and `filter` of params.yaml."""

from typing import Any, Literal

from pydantic import PositiveInt, model_validator

from stillhouse.params.base import Id, Revision, Section, check_unique


class PerplexityScorer(Section):
    """The model that scores perplexity."""

    model: str
    revision: Revision
    dtype: Literal["float32", "bfloat16"]
    max_tokens: PositiveInt


class NgramFilter(Section):
    """Template-like repetition: n-grams of `n` tokens that occur more than `max_count` times in a teacher's responses.

    `action` sets what is dropped: `sample` the whole response, `off` nothing.
    """

    n: PositiveInt
    max_count: PositiveInt
    action: Literal["sample", "off"]


class Filter(Section):
    """Parameters of the filter stage. The perplexity cut differs by teacher and is in the teacher's file.

    `rules` lists rules of plugins, in order: `name`, or `name: {parameter: value}`. They are applied after the built-in
    rules for one response and before `repetition`, which compares responses.
    """

    require_think: bool
    max_tokens: PositiveInt
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
        return self
