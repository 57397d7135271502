"""Plugins of a test are forgotten when it ends."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillhouse import plugins

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "mine",
    "helper",
    "ext_of_test",
    "examples",
)  # what the modules of these tests begin with
EXAMPLES = (
    "examples.regex_verifier",
    "examples.repeated_lines",
    "examples.csv_source",
    "examples.command_engine",
    "examples.csv_benchmark",
)


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with nothing registered; restore the registry, the import path and the modules."""
    monkeypatch.setattr(plugins, "_registered", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    _forget_modules()
    yield
    _forget_modules()


def _forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith(MODULES)]:
        del sys.modules[name]


@pytest.fixture
def examples() -> None:
    """Load the examples of this repository."""
    plugins.load(EXAMPLES, ROOT)
