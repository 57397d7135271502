"""Columns of tables, and the figures of a box plot."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

DIGITS = 6  # the last bits of sums differ between processors; rounded figures do not


def box(values: NDArray[Any]) -> dict[str, Any]:
    """Return rows, mean, p5, p25, p50, p75, p95 and max of the finite values; None where there are none.

    Quantiles interpolate linearly (Hyndman and Fan 1996, type 7).
    """
    finite = np.sort(values[np.isfinite(values)].astype(float))
    names = ("p5", "p25", "p50", "p75", "p95")
    if len(finite) == 0:
        return {"rows": 0, "mean": None, **dict.fromkeys(names), "max": None}
    quantiles = np.quantile(finite, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {
        "rows": len(finite),
        "mean": round(math.fsum(finite) / len(finite), DIGITS),
        **{name: round(float(q), DIGITS) for name, q in zip(names, quantiles, strict=True)},
        "max": round(float(finite[-1]), DIGITS),
    }
