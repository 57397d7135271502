"""Adapters of public data sets: one small adapter for each layout, in a module for each category."""

from stillhouse.queries.adapters import chat, code, instructions, math, science
from stillhouse.queries.adapters.base import Adapter

ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for module in (math, code, science, instructions, chat)
    for adapter in module.ADAPTERS
}
