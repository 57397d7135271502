"""A released set as a program reads it."""

from pathlib import Path

import pytest

import stillhouse
from stillhouse.errors import StillhouseError


def test_a_release_is_read_as_a_data_set(made_release: Path) -> None:
    rows = stillhouse.read_release(made_release / "tiny")
    assert rows.count_rows() == rows.to_table(columns=["id"]).num_rows > 0
    assert {"id", "messages"} <= set(rows.schema.names)
    assert stillhouse.read_release(made_release / "tiny", "rejected").count_rows() > 0
    with pytest.raises(StillhouseError, match=r"no table 'nothing' here; there are: .*data"):
        stillhouse.read_release(made_release / "tiny", "nothing")
