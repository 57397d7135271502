"""Removes what teachers and students left that are no longer in the run.

Stages over all teachers depend on whole folders, such as data/filtered, and DVC leaves the outs of a stage that is
gone. With the folder of a removed teacher in it, the hash in dvc.lock would be one that no fresh clone can have, and
each clone would run these stages again. What is removed is in DVC's cache or, under metrics/effort, in git.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

# Folders with one entry per teacher: a folder, or a file `<teacher>.<suffix>`.
BY_TEACHER = (
    "data/responses",
    "data/verdicts",
    "data/perplexity",
    "data/filtered",
    "metrics/generate",
    "metrics/verify",
    "metrics/perplexity",
    "metrics/filter",
)
# Folders with one file per teacher, beside folders that are no teacher's. Git has these files.
FILES_BY_TEACHER = ("metrics/effort", "metrics/effort/filter")
# Folders with one entry per student: a folder, or a file `<student>.<suffix>`.
BY_STUDENT = (
    "data/fit",
    "data/samples",
    "data/samples_untrained",
    "data/model_cards",
    "metrics/fit",
    "metrics/benchmark",
    "metrics/benchmark_untrained",
)
# Folders with one folder per student, which has one per teacher, which has one entry per training seed.
BY_TRAINING = ("models", "metrics/sft", "plots/sft")


def remove_leftovers(
    teachers: Sequence[str],
    students: Sequence[str] | None = None,
    root: Path = Path(),
) -> list[Path]:
    """Delete the outs of other teachers and, where `students` is given, of other students; return what was deleted.

    Args:
        teachers: the ids of the run's teachers.
        students: the ids of the run's students; None leaves students' outs alone.
        root: the project folder.
    """
    found = [path for name in BY_TEACHER for path in _foreign(root / name, teachers)]
    for name in FILES_BY_TEACHER:
        found += [path for path in _foreign(root / name, teachers) if path.is_file()]
    if students is not None:
        for name in (*BY_STUDENT, *BY_TRAINING):
            found += _foreign(root / name, students)
    return _removed(found)


def remove_student_leftovers(
    students: Sequence[str], teachers: Collection[str], seeds: Iterable[int], root: Path = Path()
) -> list[Path]:
    """Delete the outs of these students that belong to other teachers or other training seeds; return what was deleted.

    Args:
        students: the students whose folders are looked through.
        teachers: the ids of the run in the place of a teacher, those of shuffled controls too.
        seeds: the training seeds of the run.
        root: the project folder.
    """
    found: list[Path] = []
    names = [str(seed) for seed in seeds]
    for student in students:
        for name in BY_TRAINING:
            found += _foreign(root / name / student, teachers)
            for teacher in teachers:
                found += _foreign(root / name / student / teacher, names)
    return _removed(found)


def _removed(found: list[Path]) -> list[Path]:
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return found


def _foreign(folder: Path, ids: Iterable[str]) -> Iterator[Path]:
    """Yield the entries of a folder that belong to none of the ids; .gitignore files, which DVC writes, stay."""
    known = set(ids)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.split(".")[0] not in known and not path.name.startswith("."):
                yield path
