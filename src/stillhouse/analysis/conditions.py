"""What is compared: one trained student, or the one that was never trained."""

from typing import NamedTuple

from stillhouse import layout

UNTRAINED = layout.UNTRAINED


class Condition(NamedTuple):
    """One model that answers the benchmarks: `student`, trained on the answers of `teacher` with `seed`.

    The untrained student has the teacher `UNTRAINED` and the seed 0.
    """

    teacher: str
    student: str
    seed: int
