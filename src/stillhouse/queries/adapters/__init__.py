"""Adapters of public data sets: one small adapter for each layout, in a module for each category."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stillhouse.queries.adapters import chat, code, instructions, math, science
from stillhouse.queries.adapters.base import AdaptedRow, Adapter, Unusable
from stillhouse.queries.faults import RowFaultError


def _guarded(
    adapt: Callable[[Mapping[str, Any]], AdaptedRow],
) -> Callable[[Mapping[str, Any]], AdaptedRow]:
    """Return an adapter's function that rejects a row in another layout."""

    def guarded(row: Mapping[str, Any]) -> AdaptedRow:
        try:
            return adapt(row)
        except RowFaultError as error:
            return Unusable(error.reason, error.evidence)

    return guarded


ADAPTERS: dict[str, Adapter] = {
    adapter.name: replace(adapter, adapt=_guarded(adapter.adapt))
    for module in (math, code, science, instructions, chat)
    for adapter in module.ADAPTERS
}
