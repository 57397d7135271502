"""The intervals hold the truth as often as they say. The whole simulation: `python -m tests.analysis.coverage`."""

import pytest

from tests.analysis.coverage import GOAL, SHAPES, all_cells, cells, headline_rows


def missed(found):
    """Return the cells that are below the goal by more than three Monte Carlo errors."""
    return [cell for cell in found if cell.covered < GOAL - 3 * cell.error]


def test_a_few_cells_cover():
    found = list(
        cells(
            items=(8, 30),
            samples=(1, 64),
            seeds=(1, 3),
            rates=(0.02, 0.5, 0.95),
            pairs=((0.02, 0.12), (0.5, 0.5), (0.95, 0.05)),
            shapes={"12+12+8 items x 2": SHAPES["12+12+8 items x 2"]},
            runs=400,
        )
    )
    assert len(found) == 3 * (4 * 3 + 4 * 3 + 2)
    assert missed(found) == []
    plain = [cell for cell in found if cell.kind == "score" and cell.t_covered >= GOAL]
    assert plain
    assert all(cell.width < 1.4 for cell in plain)
    assert (
        min(cell.t_covered for cell in found) < 0.8
    )  # the simulation sees an interval that does not cover


def test_equal_teachers_have_no_leader():
    few = {"12+12+8 items x 2": SHAPES["12+12+8 items x 2"]}
    for _, _, _, _, share, error in headline_rows(runs=400, counts=(2, 5), shapes=few):
        assert share <= 0.05 + 2 * error


@pytest.mark.slow
def test_every_cell_covers_and_equal_teachers_have_no_leader():
    assert missed(all_cells()) == []
    for _, _, _, _, share, error in headline_rows():
        assert share <= 0.05 + 2 * error
