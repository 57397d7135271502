"""What an adapter of a public data set is: from a row in its own layout to a row with the columns of `queries.rows`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.records import Category


@dataclass(frozen=True)
class NotSelected:
    """A row that the adapter leaves out by design, such as a proof; it does not count in the rejected share.

    `reason` is a short name in snake case, such as "multiple_choice".
    """

    reason: str


@dataclass(frozen=True)
class Unusable:
    """A row that cannot become a checkable query.

    `reason` is one of the typed reasons (docs/reference/queries.md), such as "no_reference"; `evidence` what was found,
    at most some 200 characters.
    """

    reason: str
    evidence: str


# A dict has names of `queries.rows.COLUMNS`, such as prompt or messages, choices, ground_truth, tests, constraints.
AdaptedRow = dict[str, Any] | NotSelected | Unusable


@dataclass(frozen=True)
class Adapter:
    """One public layout: where the data set is, under which licence, and how a row becomes a query.

    `revision` is a full commit, null where none is known (`stillhouse queries pin` finds it); `config` is null where
    the data set has one configuration. `license` is an SPDX identifier in lower case where one is known, `unknown`
    where none is. `selection` says in words which rows are taken and what is changed in them, `caveat` what was
    not seen of the layout, or what the reference is not. `adapt` may raise `faults.RowFaultError` for a row that cannot
    become a query, instead of returning `Unusable`.
    """

    name: str
    repo: str
    revision: str | None
    config: str | None
    split: str
    license: str
    category: Category
    adapt: Callable[[Mapping[str, Any]], AdaptedRow]
    selection: str = "all rows"
    caveat: str = ""
