"""Adapters of public data sets: one small adapter for each layout, in a module for each category."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stillhouse.queries.adapters import chat, instructions, math, science
from stillhouse.queries.adapters.base import AdaptedRow, Adapter, Unusable
from stillhouse.queries.adapters.fields import LayoutError, shown


def _guarded(
    adapt: Callable[[Mapping[str, Any]], AdaptedRow],
) -> Callable[[Mapping[str, Any]], AdaptedRow]:
    """Return an adapter's function that rejects a row in another layout."""

    def guarded(row: Mapping[str, Any]) -> AdaptedRow:
        try:
            return adapt(row)
        except LayoutError as error:
            return Unusable("wrong_layout", shown(str(error)))

    return guarded


ADAPTERS: dict[str, Adapter] = {
    adapter.name: replace(adapter, adapt=_guarded(adapter.adapt))
    for module in (math, science, instructions, chat)
    for adapter in module.ADAPTERS
}
