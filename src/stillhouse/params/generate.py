"""The section `generate` of params.yaml, and budgets."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stillhouse.params.base import Section
from stillhouse.records import Category


class Budget(Section):
    """An upper limit: tokens of prompts and completions together, or US dollars by the teacher's `price`, or both."""

    tokens: PositiveInt | None = None
    cost: PositiveFloat | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> "Budget":
        if self.tokens is None and self.cost is None:
            raise ValueError("a budget needs `tokens` or `cost`, or both")
        return self


class Longer(Section):
    """Where an answer hit the token limit, the next attempt may have `factor` times as many, up to `max_tokens`."""

    factor: Annotated[float, Field(gt=1)]
    max_tokens: PositiveInt


class CategoryRules(Section):
    """What one category has otherwise than `generate` says; null: the same."""

    max_attempts: PositiveInt | None = None
    query_budget: Budget | None = None


class Generate(Section):
    """Parameters of the generate stage: when to stop asking a query.

    A query is asked until an answer is accepted, or `max_attempts` answers were not, or its attempts have used up
    `query_budget` (the one that reaches it is still kept). `after_truncated` gives longer answers a second chance.
    """

    max_attempts: PositiveInt
    query_budget: Budget | None = None
    after_truncated: Longer | None = None
    by_category: dict[Category, CategoryRules] = {}

    def rules(self, category: Category) -> tuple[int, Budget | None]:
        """Return the largest number of attempts and the budget of one query of a category."""
        own = self.by_category.get(category, CategoryRules())
        return own.max_attempts or self.max_attempts, own.query_budget or self.query_budget

    @property
    def needs_price(self) -> bool:
        """Whether a budget is in dollars, so that each teacher needs a price."""
        budgets = [self.query_budget, *(own.query_budget for own in self.by_category.values())]
        return any(budget is not None and budget.cost is not None for budget in budgets)
