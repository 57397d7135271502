"""`stillhouse doctor`: check that the machine, the environments and the project can run the pipeline.

It imports no heavy library: versions are read from the names of the installed dist-info folders.
"""

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from stillhouse.cli.output import json_option, print_json

if TYPE_CHECKING:
    from stillhouse.cli.check import Survey

State = Literal["OK", "WARN", "FAIL"]

# Training the 135M student of the default run in float32 takes 5 GB; with less the kernel kills it.
MEMORY_NEEDED_GB, MEMORY_WANTED_GB = 6, 8
# The default run writes about 3 GB (converted weights, students, DVC's cache).
DISK_NEEDED_GB, DISK_WANTED_GB = 4, 10
CORES_WANTED = 2
EVAL_ENVIRONMENT = Path(".venv-eval")
REQUIREMENTS = Path("requirements")
_SHOWN_PACKAGES = 3


class Diagnosis(NamedTuple):
    """One row of the table; `remedy` is empty where the state is OK."""

    check: str
    state: State
    found: str
    remedy: str = ""


@click.command()
@json_option("ok", "checks")
@click.pass_context
def doctor(ctx: click.Context, json: bool) -> None:
    """Check whether the pipeline can run here.

    Checks the machine, environments, parameters, isolation and project. Exit code 2 if a check fails.
    """
    diagnoses = list(_examine())
    failed = any(diagnosis.state == "FAIL" for diagnosis in diagnoses)
    if json:
        print_json({"ok": not failed, "checks": [one._asdict() for one in diagnoses]})
    else:
        _print_table(diagnoses)
    if failed:
        ctx.exit(2)


def _print_table(diagnoses: list[Diagnosis]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "check", "found", "remedy", box=None, pad_edge=False)
    styles = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}
    for one in diagnoses:
        table.add_row(
            f"[{styles[one.state]}]{one.state}[/]",
            *(_plain(text) for text in (one.check, one.found, one.remedy)),
        )
    Console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _examine() -> Iterator[Diagnosis]:
    from stillhouse.cli.check import survey

    yield from machine(Path())
    yield python_version()
    yield environment("main environment", Path(sys.prefix), main_locks(Path(sys.prefix)))
    yield environment("eval environment", EVAL_ENVIRONMENT, [REQUIREMENTS / "eval.txt"])
    found = survey(Path(), Path())
    yield parameters(found)
    yield from templates(found)
    yield from api_keys(found)
    yield isolation(found)
    yield from programs()
    yield dvc_project(Path())
    yield from weights(found)


def machine(folder: Path) -> Iterator[Diagnosis]:
    """Check cores, memory and the disk under `folder`."""
    cores = len(os.sched_getaffinity(0))
    if cores < CORES_WANTED:
        yield Diagnosis("cores", "WARN", str(cores), "expect the default run to take twice as long")
    else:
        yield Diagnosis("cores", "OK", str(cores))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    yield amount("memory", memory, MEMORY_NEEDED_GB, MEMORY_WANTED_GB, "use a larger machine")
    free = shutil.disk_usage(folder).free / 1e9
    yield amount(
        "free disk", free, DISK_NEEDED_GB, DISK_WANTED_GB, "free some (`dvc gc --workspace`)"
    )


def amount(check: str, found: float, needed: float, wanted: float, remedy: str) -> Diagnosis:
    """Compare an amount with what the default run needs.

    Args:
        check: name of the check.
        found: the amount that is there, in GB; so are the next two.
        needed: less fails.
        wanted: less is a warning.
        remedy: what to do about too little.
    """
    text = f"{found:.1f} GB"
    if found >= wanted:
        return Diagnosis(check, "OK", text)
    state: State = "WARN" if found >= needed else "FAIL"
    return Diagnosis(
        check, state, text, f"{remedy}: the default run needs {needed} GB, better {wanted} GB"
    )


def python_version() -> Diagnosis:
    """Check the version of this interpreter."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == (3, 11):
        return Diagnosis("Python", "OK", found)
    return Diagnosis(
        "Python", "FAIL", found, "the locks are for Python 3.11: run `make env` with it"
    )


def main_locks(prefix: Path) -> list[Path]:
    """Return the locks of the main environment: the GPU lock where the CUDA build of vLLM is installed."""
    gpu = REQUIREMENTS / "gpu.txt"
    main = gpu if gpu.is_file() and "vllm" in installed(prefix) else REQUIREMENTS / "main.txt"
    return [main, REQUIREMENTS / "payload.txt"]


def environment(check: str, prefix: Path, locks: list[Path]) -> Diagnosis:
    """Compare installed packages with the locks.

    Args:
        check: name of the check.
        prefix: folder of the environment.
        locks: its lock files.
    """
    missing_locks = [str(lock) for lock in locks if not lock.is_file()]
    if missing_locks:
        return Diagnosis(
            check, "FAIL", f"no lock {', '.join(missing_locks)}", "restore it: `git checkout`"
        )
    if not prefix.is_dir():
        return Diagnosis(check, "FAIL", f"no {prefix}", "run `make env`")
    have = installed(prefix)
    wrong = [
        f"{name} {have.get(name, 'missing')} (lock: {version})"
        for name, version in sorted(locked(locks).items())
        if have.get(name) != version
    ]
    if not wrong:
        return Diagnosis(check, "OK", f"{len(locked(locks))} packages as in {locks[0]}")
    more = f" and {len(wrong) - _SHOWN_PACKAGES} more" if len(wrong) > _SHOWN_PACKAGES else ""
    return Diagnosis(check, "FAIL", ", ".join(wrong[:_SHOWN_PACKAGES]) + more, "run `make env`")


def locked(locks: list[Path]) -> dict[str, str]:
    """Return package name -> version of the pins in lock files."""
    pins: dict[str, str] = {}
    for lock in locks:
        for line in lock.read_text(encoding="utf-8").splitlines():
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;#\\]+)", line)
            if match:
                pins[_normal(match[1])] = match[2]
    return pins


@functools.cache
def installed(prefix: Path) -> dict[str, str]:
    """Return package name -> version of the dist-info folders under an environment, importing nothing."""
    found: dict[str, str] = {}
    for folder in prefix.glob("lib/python3*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        found[_normal(name)] = version
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def parameters(found: "Survey") -> Diagnosis:
    """Report the first fault of the run's YAML files and the number of the others."""
    faults = found.faults + [f"{p.file}: {p.key}: to be filled in" for p in found.placeholders]
    if not faults:
        return Diagnosis("parameters", "OK", f"{len(found.files)} files")
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Diagnosis("parameters", "FAIL", faults[0] + more, "run `stillhouse check`")


def templates(found: "Survey") -> Iterator[Diagnosis]:
    """Check that the chat templates of the run's students are fit to train on."""
    from stillhouse.cli.check_students import check_students

    for one in check_students(found.students, (Path(), Path())):
        check = f"template of {one.student}"
        if one.fault:
            yield Diagnosis(check, "FAIL", one.fault, "choose another student.chat_template")
        elif one.tokenizer == "own":
            yield Diagnosis(check, "OK", one.found)
        else:
            remedy = "nothing to do: the training downloads the tokenizer and checks it first"
            yield Diagnosis(check, "WARN", one.found, remedy)


def api_keys(found: "Survey") -> Iterator[Diagnosis]:
    """Check that the keys of the endpoints of this run are in the environment; they are not shown."""
    from stillhouse.models.api_key import read_key
    from stillhouse.models.engine import EngineError

    variables = {
        file.runtime.api_key_variable
        for file in found.teachers.values()
        if file.teacher.engine == "openai" and file.runtime.api_key_variable
    }
    for variable in sorted(variables):
        try:
            read_key(variable)
        except EngineError as error:
            yield Diagnosis("API key", "FAIL", str(error), f"export {variable}=...")
        else:
            yield Diagnosis("API key", "OK", variable)


def isolation(found: "Survey") -> Diagnosis:
    """Check that programs of models can be isolated as the parameters require."""
    from stillhouse.verify.code.sandbox import probe

    trouble = probe()
    if trouble is None:
        return Diagnosis("isolation", "OK", "bubblewrap works")
    run = found.run
    if run is not None and run.verify.code.isolation != "bubblewrap":
        return Diagnosis(
            "isolation",
            "WARN",
            trouble,
            "programs of models run with resource limits only: trust them or use another host",
        )
    return Diagnosis(
        "isolation",
        "FAIL",
        trouble,
        "allow user namespaces, or set verify.code.isolation to rlimits (weaker)",
    )


def programs() -> Iterator[Diagnosis]:
    """Check the programs that the pipeline calls."""
    for name, state, why in (
        ("git", "FAIL", "DVC needs it"),
        ("gcc", "WARN", "some kernels of vLLM are compiled on first use"),
        ("g++", "WARN", "C++ code queries cannot be verified without it"),
    ):
        path = shutil.which(name)
        if path:
            yield Diagnosis(name, "OK", path)
        else:
            yield Diagnosis(
                name, "FAIL" if state == "FAIL" else "WARN", "not found", f"install it: {why}"
            )


def dvc_project(root: Path) -> Diagnosis:
    """Check that the folder is a DVC project with a pipeline."""
    if not (root / "dvc.yaml").is_file():
        return Diagnosis("DVC", "FAIL", "no dvc.yaml", "run inside the project folder")
    if not (root / ".dvc/config").is_file():
        return Diagnosis("DVC", "FAIL", "not initialised", "run `dvc init`")
    return Diagnosis("DVC", "OK", "initialised")


def weights(found: "Survey") -> Iterator[Diagnosis]:
    """Check the weights of every model of the run whose file is part of a Python package."""
    from stillhouse.models.weights import WeightsError, package_file

    models = {
        file.teacher.model for file in found.teachers.values() if file.teacher.engine == "vllm"
    }
    models |= {file.student.model for file in found.students.values()}
    if found.run is not None:
        models.add(found.run.perplexity.model)
    for model in sorted(models):
        if not model.startswith("package:"):
            continue
        try:
            path = package_file(model.removeprefix("package:"))
        except WeightsError as error:
            yield Diagnosis("weights", "FAIL", str(error), "run `make env`")
        else:
            yield Diagnosis("weights", "OK", f"{path.name}, {path.stat().st_size / 1e6:.0f} MB")
