"""`stillhouse doctor`: can this machine, these environments and this project run the pipeline?

It imports none of the heavy libraries: versions are read from the names of the installed dist-info folders.
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

if TYPE_CHECKING:
    from stillhouse.cli.params_check import Survey

State = Literal["OK", "WARN", "FAIL"]

# Training the 135M student of the default run in float32 takes 5 GB; below that the kernel ends it.
MEMORY_NEEDED_GB, MEMORY_WANTED_GB = 6, 8
# The default run writes about 3 GB (converted weights, students, DVC's cache).
DISK_NEEDED_GB, DISK_WANTED_GB = 4, 10
CORES_WANTED = 2
EVAL_ENVIRONMENT = Path(".venv-eval")
REQUIREMENTS = Path("requirements")
_SHOWN_PACKAGES = 3


class Finding(NamedTuple):
    """One line of the doctor's table; `remedy` is empty where all is well."""

    what: str
    state: State
    found: str
    remedy: str = ""


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check whether the pipeline can run here.

    Looks at machine, environments, parameters, isolation and project; exits with 2 if anything fails.
    """
    from rich.console import Console
    from rich.table import Table

    findings = list(_examine())
    table = Table("", "check", "found", "remedy", box=None, pad_edge=False)
    styles = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}
    for finding in findings:
        table.add_row(
            f"[{styles[finding.state]}]{finding.state}[/]",
            *(_plain(text) for text in (finding.what, finding.found, finding.remedy)),
        )
    Console().print(table)
    if any(finding.state == "FAIL" for finding in findings):
        ctx.exit(2)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _examine() -> Iterator[Finding]:
    from stillhouse.cli.params_check import survey

    yield from machine(Path())
    yield python_version()
    yield environment("main environment", Path(sys.prefix), main_locks(Path(sys.prefix)))
    yield environment("eval environment", EVAL_ENVIRONMENT, [REQUIREMENTS / "eval.txt"])
    found = survey(Path(), Path())
    yield parameters(found)
    yield isolation(found)
    yield from programs()
    yield dvc_project(Path())
    yield from weights(found)


def machine(folder: Path) -> Iterator[Finding]:
    """Check cores, memory and the disk under `folder`."""
    cores = len(os.sched_getaffinity(0))
    if cores < CORES_WANTED:
        yield Finding("cores", "WARN", str(cores), "expect the default run to take twice as long")
    else:
        yield Finding("cores", "OK", str(cores))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    yield amount("memory", memory, MEMORY_NEEDED_GB, MEMORY_WANTED_GB, "use a larger machine")
    free = shutil.disk_usage(folder).free / 1e9
    yield amount(
        "free disk", free, DISK_NEEDED_GB, DISK_WANTED_GB, "free some (`dvc gc --workspace`)"
    )


def amount(what: str, found: float, needed: float, wanted: float, remedy: str) -> Finding:
    """Judge an amount in GB against what is needed and what is comfortable."""
    text = f"{found:.1f} GB"
    if found >= wanted:
        return Finding(what, "OK", text)
    state: State = "WARN" if found >= needed else "FAIL"
    return Finding(
        what, state, text, f"{remedy}: the default run needs {needed} GB, better {wanted} GB"
    )


def python_version() -> Finding:
    """Check the version of this interpreter."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == (3, 11):
        return Finding("Python", "OK", found)
    return Finding("Python", "FAIL", found, "the locks are for Python 3.11: run `make env` with it")


def main_locks(prefix: Path) -> list[Path]:
    """Return the locks of the main environment: the GPU lock where the CUDA build of vLLM is installed."""
    gpu = REQUIREMENTS / "gpu.txt"
    main = gpu if gpu.is_file() and "vllm" in installed(prefix) else REQUIREMENTS / "main.txt"
    return [main, REQUIREMENTS / "payload.txt"]


def environment(what: str, prefix: Path, locks: list[Path]) -> Finding:
    """Compare the packages installed under `prefix` with its locks."""
    missing_locks = [str(lock) for lock in locks if not lock.is_file()]
    if missing_locks:
        return Finding(
            what, "FAIL", f"no lock {', '.join(missing_locks)}", "restore it: `git checkout`"
        )
    if not prefix.is_dir():
        return Finding(what, "FAIL", f"no {prefix}", "run `make env`")
    have = installed(prefix)
    wrong = [
        f"{name} {have.get(name, 'missing')} (lock: {version})"
        for name, version in sorted(locked(locks).items())
        if have.get(name) != version
    ]
    if not wrong:
        return Finding(what, "OK", f"{len(locked(locks))} packages as in {locks[0]}")
    more = f" and {len(wrong) - _SHOWN_PACKAGES} more" if len(wrong) > _SHOWN_PACKAGES else ""
    return Finding(what, "FAIL", ", ".join(wrong[:_SHOWN_PACKAGES]) + more, "run `make env`")


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


def parameters(found: "Survey") -> Finding:
    """Report the faults and unfilled values of the run's YAML files."""
    faults = found.faults + [f"{p.file}: {p.key}: to be filled in" for p in found.placeholders]
    if not faults:
        return Finding("parameters", "OK", f"{len(found.files)} files")
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Finding("parameters", "FAIL", faults[0] + more, "see `stillhouse params check`")


def isolation(found: "Survey") -> Finding:
    """Check that code under test can be shut in as the parameters ask."""
    from stillhouse.verify.sandbox import probe

    trouble = probe()
    if trouble is None:
        return Finding("isolation", "OK", "bubblewrap works")
    run = found.run
    if run is not None and run.verify.code.isolation != "bubblewrap":
        return Finding(
            "isolation",
            "WARN",
            trouble,
            "programs of models run with resource limits only: trust them or use another host",
        )
    return Finding(
        "isolation",
        "FAIL",
        trouble,
        "allow user namespaces, or set verify.code.isolation to rlimits (weaker)",
    )


def programs() -> Iterator[Finding]:
    """Check the programs that the pipeline calls."""
    for name, state, why in (
        ("git", "FAIL", "DVC needs it"),
        ("gcc", "WARN", "some kernels of vLLM are compiled on first use"),
        ("g++", "WARN", "C++ code queries cannot be verified without it"),
    ):
        path = shutil.which(name)
        if path:
            yield Finding(name, "OK", path)
        else:
            yield Finding(
                name, "FAIL" if state == "FAIL" else "WARN", "not found", f"install it: {why}"
            )


def dvc_project(root: Path) -> Finding:
    """Check that the folder is a DVC project with a pipeline."""
    if not (root / "dvc.yaml").is_file():
        return Finding("DVC", "FAIL", "no dvc.yaml", "run this inside the project folder")
    if not (root / ".dvc/config").is_file():
        return Finding("DVC", "FAIL", "not initialised", "run `dvc init`")
    return Finding("DVC", "OK", "initialised")


def weights(found: "Survey") -> Iterator[Finding]:
    """Check the weights of every model of the run that comes inside a Python package."""
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
            yield Finding("weights", "FAIL", str(error), "run `make env`")
        else:
            yield Finding("weights", "OK", f"{path.name}, {path.stat().st_size / 1e6:.0f} MB")
