"""Adapters of public data sets: one small module for each layout."""

from stillhouse.queries.adapters.base import Adapter

ADAPTERS: dict[str, Adapter] = {}
