"""Puts the weights and the card of a trained student into one folder, as they are published."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse import layout
from stillhouse.package.manifest import write_manifest


@contextmanager
def student_folder(teacher: str, student: str, seed: int) -> Iterator[Path]:
    """Give a folder with the weights, the card and a manifest of a student; it is removed at the end.

    The weights are those of one training; the card has the scores of all. The folder is on the disk of the run, where a
    second name of a file takes no space.
    """
    with tempfile.TemporaryDirectory(dir="data", prefix="student-") as scratch:
        folder = Path(scratch) / student
        parts = (layout.student_model(student, teacher, seed), layout.model_card(student, teacher))
        for part in parts:
            shutil.copytree(part, folder, copy_function=link, dirs_exist_ok=True)
        write_manifest(folder)
        yield folder


def link(source: str, target: str) -> None:
    """Put a file in a second place without copying it, where the disk can; the card replaces the trainer's own."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
