"""`stillhouse check`: validate every YAML file of a run, and that the files fit together.

The models in stillhouse.params check one file each. This module checks what needs several files, such as a listed id
without a file, and what YAML allows but DVC reads in another way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.check_controls import alias_findings
from stillhouse.cli.check_release import changelog_findings, license_findings
from stillhouse.cli.check_turns import turn_warnings
from stillhouse.cli.output import json_option, print_json, require_project
from stillhouse.cli.placeholder import Placeholder

if TYPE_CHECKING:
    from stillhouse.params.queries import Source
    from stillhouse.params.run import RunParams
    from stillhouse.params.student import StudentFile
    from stillhouse.params.teacher import TeacherFile

PROFILES_FOLDER = Path("profiles")
# DVC's run-cache ignores parameters of these names (dvc#10296) and would restore stale data.
BANNED_KEYS = frozenset({"size", "nfiles"})

# What the user writes in place of FILL_IN, by the last name of the key.
_WHAT_TO_PUT = {
    "revision": "the 40-digit commit of {owner} (on the Hub: Files, History; or `git ls-remote` of its page)",
    "endpoints": "base URLs of the servers of {owner}, such as http://gpu-1:8000/v1",
    "license": "the licence that the page of {owner} states, such as apache-2.0",
    "path": "the JSONL or Parquet file with the queries of {owner} (the profile's README says how)",
    "namespace": "your user or organisation on the Hub",
}


@dataclass
class Survey:
    """All YAML files of one run: what was read, the faults, what should differ, and the values to fill in.

    `run` is None where params.yaml has a fault; the dictionaries hold the valid files.
    """

    run: "RunParams | None" = None
    teachers: dict[str, "TeacherFile"] = field(default_factory=dict)
    students: dict[str, "StudentFile"] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    placeholders: list[Placeholder] = field(default_factory=list)


@click.command()
@click.option("--profile", help="Check profiles/NAME, not the current run.", metavar="NAME")
@json_option("files", "faults", "warnings", "placeholders", "templates")
def check(profile: str | None, json: bool) -> None:
    """Validate the parameters of the run.

    Reads params.yaml and every teacher, judge and student file that it uses, the licences that they name, the
    changelog of the data sets, and the students' chat templates. Downloads nothing: where a student's tokenizer is not
    on this machine, its template is checked with a stand-in. Exit code 2 if there is a fault, or a value to fill in
    that is not in a profile. A warning says that the benchmarks ask a student for tags that it is not trained on.
    """
    from stillhouse.cli.check_students import check_students
    from stillhouse.params.base import ParamsError

    if profile is None:
        require_project()
    root = Path() if profile is None else PROFILES_FOLDER / profile
    if profile is not None and not root.is_dir():
        known = ", ".join(sorted(p.name for p in PROFILES_FOLDER.glob("*/"))) or "none"
        raise ParamsError(f"{root}: no such profile; there are: {known}")
    found = survey(root, Path())
    templates = check_students(found.students, (root, Path()))
    found.faults.extend(one.fault for one in templates if one.fault)
    faults = found.faults
    if profile is None:
        faults = faults + [
            f"{p.file}: {p.key}: fill in {p.what_to_put}" for p in found.placeholders
        ]
    if json:
        placeholders = [placeholder._asdict() for placeholder in found.placeholders]
        print_json(
            {
                "files": found.files,
                "faults": found.faults,
                "warnings": found.warnings,
                "placeholders": placeholders,
                "templates": [one._asdict() for one in templates],
            }
        )
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    if faults:
        raise ParamsError("\n".join(faults))
    if json:
        return
    for path in found.files:
        click.echo(f"{path}: ok")
    for one in templates:
        click.echo(f"chat template of {one.student}: {one.found}")
    if found.placeholders:
        click.echo(f"\n{len(found.placeholders)} values to fill in before this profile can run:")
        for placeholder in found.placeholders:
            click.echo(f"{placeholder.file}: {placeholder.key}: {placeholder.what_to_put}")


@click.group()
def params() -> None:
    """The former place of `check`."""


params.add_command(check)


def survey(root: Path, project: Path) -> Survey:
    """Read and check all files of the run in `root`.

    `project` is the folder that a profile is copied over. A file named in the YAML may be in either folder.
    """
    from stillhouse import plugins
    from stillhouse.params.base import ParamsError
    from stillhouse.params.files import PARAMS_FILE, RUNTIME_FILE, STUDENTS_FOLDER, TEACHERS_FOLDER
    from stillhouse.params.load import load_run, load_student, load_teacher
    from stillhouse.params.runtime import filter_runtime

    found = Survey()
    try:
        found.files.append(root / PARAMS_FILE)
        found.run = load_run(root)
    except ParamsError as error:
        found.faults.extend(str(error).splitlines())
        return found
    run = found.run
    try:
        plugins.load(run.plugins, project)
    except plugins.PluginError as error:
        found.faults.append(f"{root / PARAMS_FILE}: plugins: {error}")
        return found
    for teacher_id in dict.fromkeys([*run.teacher_ids, run.verify.judge.model]):
        found.files.append(root / TEACHERS_FOLDER / f"{teacher_id}.yaml")
        try:
            found.teachers[teacher_id] = load_teacher(teacher_id, root)
        except ParamsError as error:
            found.faults.extend(str(error).splitlines())
    for student_id in run.student_ids:
        found.files.append(root / STUDENTS_FOLDER / f"{student_id}.yaml")
        try:
            found.students[student_id] = load_student(student_id, root)
        except ParamsError as error:
            found.faults.extend(str(error).splitlines())
    found.files.append(root / RUNTIME_FILE)
    try:
        filter_runtime(run.filter.ngram, root)
    except ParamsError as error:
        found.faults.extend(str(error).splitlines())
    found.files = [path for path in found.files if path.is_file()]
    owners = {i: file.teacher.model for i, file in found.teachers.items()}
    owners |= {i: file.student.model for i, file in found.students.items()}
    for path in found.files:
        found.faults.extend(_yaml_traps(path))
        found.placeholders.extend(_placeholders(path, owners))
    found.faults.extend(_run_faults(run, root / PARAMS_FILE, (root, project)))
    faults, to_allow = license_findings(run, found.teachers, root / PARAMS_FILE)
    found.faults.extend(faults)
    found.placeholders.extend(to_allow)
    found.placeholders.extend(changelog_findings(run.package.version, (root, project)))
    found.faults.extend(_plugin_faults(run, found.teachers))
    sources = {source.id for source in run.queries.sources}
    for teacher_id, file in found.teachers.items():
        path = root / TEACHERS_FOLDER / f"{teacher_id}.yaml"
        if unknown := sorted(set(file.teacher.sources or ()) - sources):
            found.faults.append(
                f"{path}: teacher.sources: no query source {unknown[0]!r}; there are: {', '.join(sorted(sources))}"
            )
        found.faults.extend(_teacher_faults(file, path, (root, project)))
        if file.teacher.engine == "openai" and not file.runtime.endpoints:
            found.faults.append(
                f"{root / RUNTIME_FILE}: teachers.{teacher_id}.endpoints: engine openai needs at least one base URL"
            )
        if teacher_id == run.verify.judge.model and file.teacher.engine == "replay":
            found.faults.append(
                f"{path}: teacher.engine: a judge must answer new prompts, replay cannot"
            )
        sampling = file.teacher.sampling
        if teacher_id == run.verify.judge.model and sampling and sampling.temperature > 0:
            found.faults.append(
                f"{path}: teacher.sampling.temperature: {sampling.temperature:g}; a judge must say the same "
                "every time: set it to 0.0"
            )
    found.faults.extend(alias_findings(run, found.teachers, root))
    for student_id, student in found.students.items():
        path = root / STUDENTS_FOLDER / f"{student_id}.yaml"
        found.faults.extend(
            _missing_file(
                student.student.chat_template, path, "student.chat_template", (root, project)
            )
        )
    files = {root / STUDENTS_FOLDER / f"{i}.yaml": s.student for i, s in found.students.items()}
    found.warnings.extend(turn_warnings(run.benchmark.sampling, files, root / PARAMS_FILE))
    return found


def _run_faults(run: "RunParams", path: Path, folders: tuple[Path, Path]) -> Iterator[str]:
    if not run.teacher_ids:
        yield f"{path}: teacher_ids: is empty; a run needs at least one teacher"
    elif not run.compared_ids:
        yield f"{path}: compared_ids: is empty; name the teachers whose answers make the parallel set"
    if not run.queries.sources:
        yield f"{path}: queries.sources: is empty; a run needs at least one source"
    for i, source in enumerate(run.queries.sources):
        key = f"queries.sources.{i}"
        if source.kind == "file":
            yield from _missing_file(source.path, path, f"{key}.path", folders)
        if source.kind in ("file", "hub"):
            yield from _origin_faults(source, f"{path}: {key}")
        if source.kind == "embedded":
            yield from _missing_embedded(source.name, path, f"{key}.name")
    known = {task.id for task in run.benchmark.tasks}
    for name in run.queries.decontaminate.allow_unchecked:
        if name not in known:
            yield (
                f"{path}: queries.decontaminate.allow_unchecked: no benchmark task {name!r}; there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    for i, task in enumerate(run.benchmark.tasks):
        if task.path is not None:
            yield from _missing_file(task.path, path, f"benchmark.tasks.{i}.path", folders)


def _origin_faults(source: "Source", where: str) -> Iterator[str]:
    """Find an adapter that does not exist, and a revision that neither the source nor its adapter has."""
    from stillhouse.params.base import PLACEHOLDER
    from stillhouse.queries.origins import QueriesError, origin_of

    if getattr(source, "revision", None) == PLACEHOLDER:
        source = source.model_copy(update={"revision": "0" * 40})  # it is listed as one to fill in
    try:
        origin_of(source)
    except QueriesError as error:
        yield f"{where}: {error}"


def _plugin_faults(run: "RunParams", teachers: "dict[str, TeacherFile]") -> Iterator[str]:
    """Find the uses of plugins that nothing is registered for, or that have other parameters."""
    from stillhouse import plugins
    from stillhouse.params.files import PARAMS_FILE, TEACHERS_FOLDER

    sources, tasks = run.queries.sources, run.benchmark.tasks
    uses: list[tuple[plugins.Kind, str, str, dict[str, Any] | None, int]] = [
        ("filter rule", name, f"{PARAMS_FILE}: filter.rules: {name}", params, 1)
        for name, params in run.filter.custom_rules
    ]
    for i, source in enumerate(sources):
        where = f"{PARAMS_FILE}: queries.sources.{i}"
        if source.verifier is not None:
            uses.append(("verifier", source.verifier, f"{where}.verifier", None, 0))
        if source.kind == "plugin":
            uses.append(("source adapter", source.adapter, f"{where}.config", source.config, 0))
    for i, task in enumerate(tasks):
        where = f"{PARAMS_FILE}: benchmark.tasks.{i}"
        if task.verifier is not None:
            uses.append(("verifier", task.verifier, f"{where}.verifier", None, 0))
        if task.kind == "plugin":
            uses.append(("benchmark task", str(task.plugin), f"{where}.config", task.config, 0))
    for teacher_id, file in teachers.items():
        if (plugin := file.teacher.plugin) is not None:
            where = f"{TEACHERS_FOLDER / teacher_id}.yaml: teacher.plugin"
            uses.append(("engine", plugin.name, where, plugin.config, 1))
    for kind, name, where, config, given in uses:
        try:
            found = plugins.find(kind, name, where)
            if config is not None:
                found.refuse_unknown(config, where, given)
        except plugins.PluginError as error:
            yield str(error)


def _teacher_faults(file: "TeacherFile", path: Path, folders: tuple[Path, Path]) -> Iterator[str]:
    teacher = file.teacher
    if (
        teacher.sampling is not None
        and teacher.max_model_len is not None
        and teacher.sampling.max_tokens >= teacher.max_model_len
    ):
        yield (
            f"{path}: teacher.sampling.max_tokens: {teacher.sampling.max_tokens} leaves no room for a prompt in "
            f"teacher.max_model_len {teacher.max_model_len}"
        )
    if teacher.chat_template is not None:
        yield from _missing_file(teacher.chat_template, path, "teacher.chat_template", folders)
    if teacher.replay is not None and teacher.replay.kind == "file":
        yield from _missing_file(teacher.replay.path, path, "teacher.replay.path", folders)


def _missing_file(
    name: str | None, path: Path, key: str, folders: tuple[Path, Path]
) -> Iterator[str]:
    from stillhouse.params.base import PLACEHOLDER

    if name and name != PLACEHOLDER and not any((folder / name).is_file() for folder in folders):
        yield f"{path}: {key}: no such file: {name}"


def _missing_embedded(name: str, path: Path, key: str) -> Iterator[str]:
    import stillhouse

    folder = Path(stillhouse.__file__).parent / "queries/embedded"
    if not (folder / f"{name}.yaml").is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        yield f"{path}: {key}: no embedded query set {name!r}; there are: {known}"


def _yaml_traps(path: Path) -> Iterator[str]:
    """Yield a fault for everything that YAML allows and DVC reads in another way."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent

    from stillhouse.params.files import read_yaml

    for event in YAML(typ="safe", pure=True).parse(path.read_text(encoding="utf-8")):
        if isinstance(event, AliasEvent):
            yield (
                f"{path}: line {event.start_mark.line + 1}: the alias *{event.anchor}; write the value out: "
                "DVC would not see a change of the shared one"
            )
    for keys, _ in _leaves(read_yaml(path), ()):
        for banned in sorted(BANNED_KEYS.intersection(keys)):
            yield (
                f"{path}: {'.'.join(keys)}: the key {banned!r}; DVC's run-cache ignores parameters of this name "
                "and would restore stale data"
            )


def _leaves(node: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*keys, str(key)))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _leaves(value, (*keys, str(i)))
    else:
        yield keys, node


def _placeholders(path: Path, owners: dict[str, str]) -> Iterator[Placeholder]:
    """Yield the keys to fill in; `owners` are the models of teachers and students by id, for conf/runtime.yaml."""
    from stillhouse.params.files import RUNTIME_FILE, read_yaml

    content = read_yaml(path)
    if path.name != RUNTIME_FILE.name:
        yield from _placeholders_below(content, path, (), path.stem)
        return
    for kind, entries in content.items():
        for entry, value in (entries or {}).items():
            yield from _placeholders_below(
                value, path, (str(kind), str(entry)), owners.get(entry, str(entry))
            )


def _placeholders_below(
    node: Any, path: Path, keys: tuple[str, ...], owner: str
) -> Iterator[Placeholder]:
    from stillhouse.params.base import PLACEHOLDER

    if isinstance(node, dict):
        named = (
            node.get("repo")
            or node.get("model")
            or node.get("task")
            or _adapted_repo(node)
            or node.get("id")
        )
        owner = named if isinstance(named, str) else owner
        for key, value in node.items():
            yield from _placeholders_below(value, path, (*keys, str(key)), owner)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _placeholders_below(value, path, (*keys, str(i)), owner)
    elif node == PLACEHOLDER:
        name = next((key for key in reversed(keys) if not key.isdigit()), "")
        what = _WHAT_TO_PUT.get(name, "your own value").format(owner=owner)
        if name == "revision" and keys[:2] == ("queries", "sources"):
            what = f"the 40-digit commit of {owner} (`stillhouse queries pin` does it)"
        yield Placeholder(path, ".".join(keys), what)


def _adapted_repo(node: dict[str, Any]) -> str | None:
    """Return the data set of the adapter that a source names, if there is such an adapter."""
    from stillhouse.queries.adapters import ADAPTERS

    adapter = ADAPTERS.get(str(node.get("adapter"))) if "adapter" in node else None
    return adapter.repo if adapter else None
