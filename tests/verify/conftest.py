"""Fixtures of the verify tests."""

import socket

import pytest

from stillhouse.verify import sandbox


@pytest.fixture(scope="session")
def sandboxed() -> None:
    """Skip where this machine cannot isolate code; the reason is the one that a user would see."""
    if reason := sandbox.probe("bubblewrap"):
        pytest.skip(reason)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt to connect fails the test."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
