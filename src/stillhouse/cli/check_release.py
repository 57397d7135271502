"""What `stillhouse check` says of the release before anything is paid: its licences and its changelog."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stillhouse.cli.placeholder import Placeholder

if TYPE_CHECKING:
    from stillhouse.params.queries import Source
    from stillhouse.params.run import RunParams
    from stillhouse.params.teacher import TeacherFile


def license_findings(
    run: "RunParams", teachers: "dict[str, TeacherFile]", path: Path
) -> tuple[list[str], list[Placeholder]]:
    """Return the faults of the licences that the parameters name, and those licences that only the user can allow.

    Rows may name licences of their own; the stage queries checks those.

    Args:
        run: the parameters of the run.
        teachers: the files of teachers and judge by id.
        path: the file of the parameters.
    """
    from dataclasses import replace

    from stillhouse.package.licenses import consequences, faults
    from stillhouse.params.base import PLACEHOLDER

    licenses = {f"source {source.id}": _license_of(source) for source in run.queries.sources}
    licenses |= {
        f"teacher {i}": teachers[i].teacher.license for i in run.teacher_ids if i in teachers
    }
    known = {name: terms for name, terms in licenses.items() if terms not in (None, PLACEHOLDER)}
    package = run.package
    found = consequences(
        {name: str(terms) for name, terms in known.items()}, package.allow_licenses
    )
    lines = faults(replace(found, unknown={}), package.license, package.allow_licenses)
    to_allow: dict[str, list[str]] = {}
    for name, terms in found.unknown.items():
        to_allow.setdefault(terms, []).append(name)
    places = [
        Placeholder(
            path,
            "package.allow_licenses",
            f"{terms!r}, the licence of {', '.join(names)}, once you have read it: stillhouse does not know it",
        )
        for terms, names in sorted(to_allow.items())
    ]
    return [f"{path}: {line}" for line in lines], places


def _license_of(source: "Source") -> str | None:
    from stillhouse.queries.adapters import ADAPTERS

    adapter = ADAPTERS.get(str(getattr(source, "adapter", None)))
    return source.license or (adapter.license if adapter else None)


def changelog_findings(version: str, folders: tuple[Path, Path]) -> Iterator[Placeholder]:
    """Yield the entry that the changelog of the data sets lacks.

    Args:
        version: the version of the release.
        folders: where the changelog may be: the run's folder or the project's.
    """
    from stillhouse.package.changelog import CHANGELOG, names

    found = next(
        (f / CHANGELOG for f in folders if (f / CHANGELOG).is_file()), folders[1] / CHANGELOG
    )
    if not found.is_file() or not names(found.read_text(encoding="utf-8"), version):
        yield Placeholder(
            found, version, f"a line on what version {version} of the data sets has or changes"
        )
