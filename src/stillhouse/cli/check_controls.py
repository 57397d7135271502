"""What `stillhouse check` checks of the controls of a run, which needs several files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillhouse.params.run import RunParams
    from stillhouse.params.teacher import TeacherFile

MAY_DIFFER = ("label", "alias_of", "seed_name")


def alias_findings(
    run: "RunParams", teachers: "Mapping[str, TeacherFile]", root: Path
) -> Iterator[str]:
    """Yield the faults of aliases: each must be another compared teacher once more, in all but its sampling seeds.

    Args:
        run: the run.
        teachers: the files of its teachers by id.
        root: the folder of the run.
    """
    from stillhouse.params.files import PARAMS_FILE, TEACHERS_FOLDER

    for teacher_id, file in teachers.items():
        path = root / TEACHERS_FOLDER / f"{teacher_id}.yaml"
        original = file.teacher.alias_of
        listed = teacher_id in run.controls.alias
        if original is None and listed:
            yield f"{path}: teacher.alias_of: missing key; controls.alias of {PARAMS_FILE} names this teacher"
        if original is None:
            continue
        if not listed and teacher_id in run.compared_ids:
            yield (
                f"{root / PARAMS_FILE}: controls.alias: {teacher_id}: is not listed, but its teacher.alias_of is "
                f"{original}; an alias must not be ranked"
            )
        if original not in run.controls.released(run.compared_ids):
            yield f"{path}: teacher.alias_of: {original}: not a teacher of compared_ids, or an alias itself"
            continue
        if original not in teachers:
            continue  # its file has a fault of its own
        sampling = file.teacher.sampling
        if file.teacher.engine == "replay" or (sampling and sampling.temperature == 0):
            yield f"{path}: teacher.alias_of: a teacher that does not sample gives the same answers again"
        if different := _different(file, teachers[original]):
            yield f"{path}: {', '.join(different)}: differs from {original}, of which this teacher is an alias"


def _different(one: "TeacherFile", other: "TeacherFile") -> list[str]:
    """Return the keys that decide answers or their filtering and differ."""
    parts: list[dict[str, Any]] = [
        {f"teacher.{key}": value for key, value in file.teacher.model_dump().items()}
        | {"perplexity_cut": file.perplexity_cut}
        for file in (one, other)
    ]
    return [
        key
        for key in dict.fromkeys([*parts[0], *parts[1]])
        if parts[0].get(key) != parts[1].get(key) and key.removeprefix("teacher.") not in MAY_DIFFER
    ]
