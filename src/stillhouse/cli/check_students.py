"""The part of `stillhouse check` and `doctor` that needs transformers and TRL: the students' templates and recipes."""

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from stillhouse.params.student import Student, StudentFile

Tokenizer = Literal["own", "stand-in", "none"]
_LATER = "it is checked with the student's tokenizer before the training"


class TemplateCheck(NamedTuple):
    """What was seen of a student's chat template.

    `tokenizer` is the one that it was checked with: the student's own, a stand-in, or none (not checked). `fault` is
    null where no fault was found.
    """

    student: str
    tokenizer: Tokenizer
    found: str
    fault: str | None = None


def check_students(
    students: "dict[str, StudentFile]", folders: tuple[Path, Path]
) -> list[TemplateCheck]:
    """Check the chat templates and recipes of students with what is on this machine.

    Nothing is downloaded or converted. A template whose file is missing is left to `survey`.

    Args:
        students: the files of the students by id.
        folders: where the files of the templates may be.
    """
    found = []
    for student_id, file in students.items():
        name = file.student.chat_template
        if name is None or any((folder / name).is_file() for folder in folders):
            found.append(_check(student_id, file.student, folders))
    return found


def _check(student_id: str, student: "Student", folders: tuple[Path, Path]) -> TemplateCheck:
    if any(importlib.util.find_spec(name) is None for name in ("transformers", "trl")):
        return TemplateCheck(
            student_id, "none", f"not checked: transformers or TRL is not installed here; {_LATER}"
        )
    from stillhouse.models.weights import local_folder
    from stillhouse.params.files import STUDENTS_FOLDER
    from stillhouse.sft.arguments import check_recipe
    from stillhouse.sft.gates import StudentError, load_template, set_template
    from stillhouse.sft.stand_in import stand_in_tokenizer

    base = local_folder(student.model, student.revision)
    tokenizer = None if base is None else _tokenizer(base)
    kind: Tokenizer = "own"
    path = student.chat_template
    if path is not None:
        path = next(str(folder / path) for folder in folders if (folder / path).is_file())
    try:
        check_recipe(student.recipe, base)
        if tokenizer is None and path is None:
            return TemplateCheck(
                student_id,
                "none",
                f"not checked: null takes TRL's template for the tokenizer of {student.model}, which is not on this "
                f"machine; {_LATER}",
            )
        if tokenizer is None:
            kind = "stand-in"
            tokenizer = stand_in_tokenizer("")
            load_template(tokenizer, Path(str(path)))
            tokenizer = stand_in_tokenizer(tokenizer.chat_template)
        turn = set_template(tokenizer, path, allow_header_in_marks=student.allow_header_in_marks)
    except StudentError as error:
        fault = f"{folders[0] / STUDENTS_FOLDER / student_id}.yaml: student: {error}"
        return TemplateCheck(student_id, kind, "refused", fault)
    found = f"answers end with {turn.stop_token}"
    if turn.header:
        found += f"; the marks also hold {turn.header!r}, which is never in the loss here"
    if kind == "stand-in":
        found += (
            f"; checked only with a stand-in tokenizer, because that of {student.model} is not on this machine; "
            f"{_LATER}"
        )
    return TemplateCheck(student_id, kind, found)


@functools.cache
def _tokenizer(base: Path) -> Any:
    """Return the tokenizer in a folder; None where it has none, as where only the configuration was downloaded."""
    from transformers import AutoTokenizer

    from stillhouse.progress import quiet_libraries

    quiet_libraries()
    try:
        return AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return None
