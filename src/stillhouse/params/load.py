"""Whole files of a project, loaded and checked."""

import warnings
from pathlib import Path

from stillhouse.params.base import ParamsError, Section
from stillhouse.params.files import (
    PARAMS_FILE,
    RUNTIME_FILE,
    STUDENTS_FOLDER,
    TEACHERS_FOLDER,
    SectionT,
    parse,
    read_yaml,
)
from stillhouse.params.package import Package
from stillhouse.params.run import RunParams
from stillhouse.params.runtime import old_runtime, runtime_of
from stillhouse.params.student import StudentFile, StudentRuntime
from stillhouse.params.teacher import TeacherFile, TeacherRuntime


def load_run(root: Path = Path()) -> RunParams:
    """Return params.yaml of the project in `root`.

    Raises:
        ParamsError: the file is missing, or has a fault.
    """
    path = root / PARAMS_FILE
    return parse(RunParams, read_yaml(path), str(path))


def load_package(root: Path = Path()) -> Package:
    """Return the section `package` of params.yaml, for a stage whose outs do not depend on it.

    Raises:
        ParamsError: the file or the section is missing, or has a fault.
    """
    path = root / PARAMS_FILE
    return parse(Package, read_yaml(path).get("package", {}), f"{path}: package")


def load_teacher(teacher_id: str, root: Path = Path()) -> TeacherFile:
    """Return conf/teachers/<id>.yaml, with its runtime from conf/runtime.yaml.

    Raises:
        ParamsError: there is no such file (the message lists the ids that have one), or one of the files has a fault.
    """
    return _load_by_id(TeacherFile, TeacherRuntime, teacher_id, TEACHERS_FOLDER, root)


def load_student(student_id: str, root: Path = Path()) -> StudentFile:
    """Return conf/students/<id>.yaml, with its runtime from conf/runtime.yaml; errors as in `load_teacher`."""
    return _load_by_id(StudentFile, StudentRuntime, student_id, STUDENTS_FOLDER, root)


def _load_by_id(
    section: type[SectionT], runtime: type[Section], file_id: str, folder: Path, root: Path
) -> SectionT:
    path = root / folder / f"{file_id}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(
            f"{path}: no such file, but the id {file_id!r} is used; ids there: {known}"
        )
    content = read_yaml(path)
    where = f"{root / RUNTIME_FILE}: {folder.name}.{file_id}"
    own = runtime_of(runtime, folder.name, file_id, root)
    if "runtime" in content:
        warnings.warn(old_runtime(path), FutureWarning, stacklevel=3)
        own, where = content["runtime"], f"{path}: runtime"
    return parse(section, content | {"runtime": parse(runtime, own, where)}, str(path))
