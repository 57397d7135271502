"""Every reason is of one kind."""

from typing import get_args

import pytest

from stillhouse.verify.checks import AnswerReason, ContentReason, MachineReason, kind_of


def test_every_reason_is_of_exactly_one_kind() -> None:
    reasons = [*get_args(AnswerReason), *get_args(ContentReason), *get_args(MachineReason)]
    assert len(reasons) == len(set(reasons))
    assert {kind_of(reason) for reason in get_args(MachineReason)} == {"machine"}
    assert {kind_of(reason) for reason in get_args(ContentReason)} == {"content"}
    assert {kind_of(reason) for reason in get_args(AnswerReason)} == {"answer"}


def test_no_reason_has_no_kind_and_an_unknown_one_is_an_error() -> None:
    assert kind_of(None) is None
    with pytest.raises(KeyError):
        kind_of("tired")
