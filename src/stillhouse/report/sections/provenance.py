"""Section on provenance: the teachers' models and settings, and the released data sets."""

from collections.abc import Mapping

from stillhouse.params.teacher import Teacher
from stillhouse.report.formats import count, integer
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import Settings, model_text
from stillhouse.report.page import DASH, Block, Table, Text


def provenance(files: RunFiles, settings: Settings, names: Mapping[str, str]) -> list[Block]:
    """Return the teachers' models, how students were sampled, and what was packaged.

    Args:
        files: the data of the run.
        settings: the parameters of the run.
        names: display names by teacher id.
    """
    rows = [
        [
            names[teacher_id],
            teacher_id,
            teacher.engine,
            model_text(teacher),
            teacher.license,
            _sampling(teacher),
            files.fingerprints.get(teacher_id, DASH)[:12],
        ]
        for teacher_id, teacher in settings.teachers.items()
    ]
    header = ["Teacher", "Id", "Engine", "Model @ revision", "Licence", "Sampling", "Fingerprint"]
    blocks: list[Block] = [Table("Teachers", header, rows, labels=7)]
    sampling = settings.benchmark.sampling
    if files.student_ids:
        blocks.append(
            Text(
                f"Students ({', '.join(files.student_ids)}) were benchmarked at temperature {sampling.temperature:g}, "
                f"top-p {sampling.top_p:g}, at most {count(sampling.max_tokens, 'new token')}."
            )
        )
    if not files.package:
        return [*blocks, Text("No release was packaged.")]
    columns = ("rows", "tokens", "shards", "bytes")
    released = [
        [names[teacher], *(integer(files.package[teacher][column]) for column in columns)]
        for teacher in names
        if teacher in files.package
    ]
    header = ["Teacher", *(column.capitalize() for column in columns)]
    return [*blocks, Table("Released data sets", header, released)]


def _sampling(teacher: Teacher) -> str:
    if teacher.sampling is None:
        return DASH
    chosen = teacher.sampling
    return f"temperature {chosen.temperature:g}, top-p {chosen.top_p:g}, up to {chosen.max_tokens:,} tokens"
