"""What `stillhouse check` says of the form of answers: the one that is asked for, and the one that is trained."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillhouse.params.benchmark import BenchmarkSampling
    from stillhouse.params.student import Student


def turn_warnings(
    sampling: "BenchmarkSampling", students: "dict[Path, Student]", path: Path
) -> Iterator[str]:
    """Yield a line for each student that the benchmarks ask for tags which its training does not have.

    Args:
        sampling: how students are asked, with the system prompt.
        students: each student by its file.
        path: the file of the parameters.
    """
    from stillhouse.marks import PRESETS, STRAY_PATTERN

    asked = dict.fromkeys(re.findall(STRAY_PATTERN, sampling.system_prompt or ""))
    for file, student in students.items():
        trained = PRESETS[student.turn_format].all
        if other := [mark for mark in asked if mark not in trained]:
            yield (
                f"{path}: benchmark.sampling.system_prompt: asks for {' '.join(other)}, but {file} has student."
                f"turn_format {student.turn_format}, whose turns have {' '.join(trained)} only; a student follows its "
                "training rather than the prompt: change one of the two"
            )
