import numpy as np

from stillhouse.analysis.statistics import box


def test_box_leaves_out_what_is_not_finite_and_is_none_when_nothing_is_left():
    found = box(np.array([1.0, 2.0, 3.0, np.inf, np.nan]))
    assert (found["rows"], found["mean"], found["p50"], found["max"]) == (3, 2.0, 2.0, 3.0)
    assert box(np.array([np.nan]))["mean"] is None
