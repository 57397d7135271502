"""What a pipeline stage may read: the parameters that dvc.yaml lists for it, and records of other stages."""

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from stillhouse import plugins
from stillhouse.params.base import ParamsError
from stillhouse.params.files import (
    PARAMS_FILE,
    STUDENTS_FOLDER,
    TEACHERS_FOLDER,
    SectionT,
    parse,
    read_yaml,
)
from stillhouse.params.student import Student
from stillhouse.params.teacher import Teacher
from stillhouse.params.tracked import tracked_params

ValueT = TypeVar("ValueT")


class StageParams:
    """The parameters that a pipeline stage tracks, and no others.

    Args:
        stage: its name, for messages.
        tracked: values by their names in dvc.yaml: a dotted key of params.yaml, or `<file>:<key>`.
    """

    def __init__(self, stage: str, tracked: dict[str, Any]) -> None:
        self.stage = stage
        self._tracked = tracked

    def value(self, key: str, path: Path = PARAMS_FILE) -> Any:
        """Return the value of a dotted key that the stage tracks, alone or as part of a tracked section.

        Raises:
            ParamsError: the stage does not track the key, so that its output would depend on an untracked value.
        """
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            name = name if path == PARAMS_FILE else f"{path}:{name}"
            if name in self._tracked:
                return self._below(self._tracked[name], parts[length:], f"{path}: {key}")
        raise ParamsError(
            f"dvc.yaml: stage {self.stage!r} reads {key!r} of {path} but does not list it under params"
        )

    def _below(self, value: Any, parts: list[str], where: str) -> Any:
        for part in parts:
            if not isinstance(value, dict) or part not in value:
                raise ParamsError(f"{where}: missing key")
            value = value[part]
        return value

    def read(self, kind: type[ValueT], key: str) -> ValueT:
        """Return a checked value of params.yaml that is not a section, such as a number or a list of sections."""
        value = self.value(key)
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise ParamsError(f"{PARAMS_FILE}: {key}: {error.errors()[0]['msg']}") from None

    def section(self, section: type[SectionT], key: str) -> SectionT:
        """Return a checked section of params.yaml that the stage tracks as a whole, or of which it tracks every key.

        Raises:
            ParamsError: the section has a fault, or the stage tracks only some of its keys.
        """
        parts = {
            name.removeprefix(f"{key}."): value
            for name, value in self._tracked.items()
            if name.startswith(f"{key}.")
        }
        if parts and key not in self._tracked:
            for name in section.model_fields:
                parts.setdefault(name, self.value(f"{key}.{name}"))
            return parse(section, parts, f"{PARAMS_FILE}: {key}")
        return parse(section, self.value(key), f"{PARAMS_FILE}: {key}")

    def teacher(self, teacher_id: str) -> Teacher:
        """Return the tracked part of a teacher's file, which decides the teacher's answers."""
        path = TEACHERS_FOLDER / f"{teacher_id}.yaml"
        return parse(Teacher, self.value("teacher", path), f"{path}: teacher")

    def student(self, student_id: str) -> Student:
        """Return the tracked part of a student's file, which decides what the student learns."""
        path = STUDENTS_FOLDER / f"{student_id}.yaml"
        return parse(Student, self.value("student", path), f"{path}: student")


def read_student(student_id: str) -> Student:
    """Return the tracked part of a student's file, for a stage over all students.

    It cannot list each file in dvc.yaml; it depends on the folder conf/students.

    Raises:
        ParamsError: the file is missing or malformed.
    """
    path = STUDENTS_FOLDER / f"{student_id}.yaml"
    content = read_yaml(path)
    if "student" not in content:
        raise ParamsError(f"{path}: student: missing key")
    return parse(Student, content["student"], f"{path}: student")


def load_stage() -> StageParams:
    """Return the parameters that the running DVC stage tracks.

    Raises:
        ParamsError: DVC did not start this process, or a tracked file or key is missing.
    """
    stage = os.environ.get("DVC_STAGE")
    if not stage:
        raise ParamsError(
            "a stage script runs inside the pipeline: use `dvc repro --single-item <stage>`"
        )
    tracked = tracked_params(stage)
    found = StageParams(stage, tracked)
    if "plugins" in tracked:  # only stages that use plugins track them
        plugins.load(tracked["plugins"])
    return found


def load_recorded(section: type[SectionT], path: Path) -> SectionT:
    """Return the tracked part of a teacher's file as the generate stage recorded it beside the responses.

    A stage over all teachers cannot list each teacher's parameters in dvc.yaml.

    Raises:
        ParamsError: the record is missing or malformed.
    """
    return parse(section, read_yaml(path), str(path))
