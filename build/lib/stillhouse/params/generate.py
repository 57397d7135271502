"""The section `generate` of params.yaml, and budgets."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stillhouse.params.base import Section
from stillhouse.records import Category


class Budget(Section):
    """A limit on tokens (of prompts and completions), on US dollars (by the teacher's `price`), or on both."""

    tokens: PositiveInt | None = None
    cost: PositiveFloat | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> "Budget":
        if self.tokens is None and self.cost is None:
            raise ValueError("a budget needs `tokens` or `cost`, or both")
        return self


class Longer(Section):
    """The token limit after a truncated answer: the next attempt has `factor` times as many, up to `max_tokens`."""

    factor: Annotated[float, Field(gt=1)]
    max_tokens: PositiveInt


class CategoryRules(Section):
    """Values of one category that override those of `generate`; null: no override."""

    max_attempts: PositiveInt | None = None
    query_budget: Budget | None = None


class Generate(Section):
    """Parameters of the generate stage: when a query gets no further attempt.

    A query is sent to the teacher until an answer is accepted, `max_attempts` answers are rejected, or its attempts
    have used `query_budget`. The attempt that reaches the budget is kept. `after_truncated` raises the token limit
    after a truncated answer.
    """

    max_attempts: PositiveInt
    query_budget: Budget | None = None
    after_truncated: Longer | None = None
    by_category: dict[Category, CategoryRules] = {}

    def rules(self, category: Category) -> tuple[int, Budget | None]:
        """Return `max_attempts` and `query_budget` for a category."""
        own = self.by_category.get(category, CategoryRules())
        return own.max_attempts or self.max_attempts, own.query_budget or self.query_budget

    @property
    def needs_price(self) -> bool:
        """Whether a budget has a limit in dollars. If so, each teacher needs a price."""
        budgets = [self.query_budget, *(own.query_budget for own in self.by_category.values())]
        return any(budget is not None and budget.cost is not None for budget in budgets)
