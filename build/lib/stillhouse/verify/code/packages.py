"""Provides packages of this environment to the code of answers, and measures the cost of importing them.

The sandbox mounts the files of the named distributions and of their requirements read-only, and nothing else of this
environment. Only answers, setups and tests that import one of these packages get a sandbox with packages.
"""

import functools
import importlib.metadata
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from stillhouse.verify.code import sandbox
from stillhouse.verify.code.sandbox import Isolation, SandboxError

# Top-level names of packages that programs often import. A program that fails because one of them is not installed here
# is not wrong; a program that imports an unknown name is.
KNOWN = frozenset(
    (
        *(
            "numpy",
            "pandas",
            "scipy",
            "sympy",
            "networkx",
            "sortedcontainers",
            "sklearn",
            "skimage",
        ),
        *("matplotlib", "seaborn", "plotly", "torch", "torchvision", "tensorflow", "keras", "jax"),
        *("requests", "httpx", "aiohttp", "flask", "fastapi", "django", "bs4", "lxml", "yaml"),
        *("cv2", "PIL", "nltk", "spacy", "gensim", "statsmodels", "numba", "cython", "gmpy2"),
        *("mpmath", "dateutil", "pytz", "pydantic", "attr", "attrs", "click", "tqdm", "regex"),
        *("more_itertools", "toolz", "cytoolz", "bitarray", "intervaltree", "ortools", "pulp"),
        *("cvxpy", "shapely", "geopandas", "polars", "pyarrow", "sqlalchemy", "Crypto", "jwt"),
        *("cryptography", "psutil", "simpy", "pyperclip", "openpyxl", "xlrd", "docx", "faker"),
        *("blist", "atcoder", "pyrsistent", "sortedcollections", "Levenshtein", "rapidfuzz"),
    )
)
OWN_SUFFIXES = (".libs",)  # folders without __init__.py that belong to one distribution
# The cost of an import is measured once. It varies, so the limits are raised by these factors of the measured cost.
CPU_FACTOR = 2.0
SPACE_FACTOR = 1.25
MEASURE_SECONDS = 600.0  # a guard: an import takes ten times as long on a busy machine
MEASURE = """
import json, os, resource, sys
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmPeak"))
sys.path.append({folder!r})
before = peak(), os.times()
try:
    import {name}
except Exception as error:
    print(json.dumps({{"error": f"{{type(error).__name__}}: {{error}}"}}))
else:
    used = [sum(times[:2]) for times in (before[1], os.times())]
    print(json.dumps({{"cpu_seconds": used[1] - used[0], "bytes": peak() - before[0]}}))
"""


@dataclass(frozen=True)
class Mounted:
    """The packages in the sandbox.

    `files` has pairs of a path on this machine and its name in the folder of packages. `modules` has the top-level
    names, and `versions` the versions of the distributions by top-level name.
    """

    files: tuple[tuple[str, str], ...]
    modules: frozenset[str]
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cost:
    """The CPU time and memory that importing packages may take in addition to a program's limits."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0


@functools.cache
def mounted(packages: tuple[str, ...]) -> Mounted:
    """Return the files that the sandbox mounts for distributions of this environment and their requirements.

    Raises:
        SandboxError: a distribution is not installed, or the sandbox has another version of Python.
    """
    theirs, ours = sandbox.interpreter_version(), ".".join(map(str, sys.version_info[:2]))
    if packages and not theirs.startswith(f"{ours}."):
        raise SandboxError(
            f"verify.code.packages: the code of answers runs under Python {theirs}, which cannot import packages of "
            f"this environment's {ours}; install the system's python{ours}, or set verify.code.packages to []"
        )
    files: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name in _closure(packages):
        found = importlib.metadata.distribution(name)
        for path in _entries(found):
            files[str(path)] = str(found.locate_file(path))
            versions[Path(path).parts[0].partition(".")[0]] = found.version
    if os.geteuid() == 0 and not all(sandbox.open_to_all(Path(path)) for path in files.values()):
        files = _copied(files)
    return Mounted(
        tuple((here, there) for there, here in files.items()),
        frozenset(versions),
        tuple(versions.items()),
    )


def mentioned(modules: frozenset[str], *texts: str) -> set[str]:
    """Return those of `modules` that the import statements of some source texts name."""
    lines = [line for text in texts for line in text.splitlines() if "import" in line]
    words = {word for line in lines for word in re.findall(r"\w+", line)}
    return words & modules


@functools.cache
def cost(packages: tuple[str, ...], module: str, isolation: Isolation) -> Cost:
    """Return the CPU time and memory that importing a module may take, from a measurement in the sandbox.

    Args:
        packages: the distributions in the sandbox.
        module: the module to import.
        isolation: how the sandbox is isolated.

    Raises:
        SandboxError: the module cannot be imported in the sandbox.
    """
    folder = sandbox.packages_folder(mounted(packages).files, isolation)
    done = sandbox.run(
        MEASURE.format(name=module, folder=folder),
        b"",
        isolation=isolation,
        seconds=MEASURE_SECONDS,
        packages=mounted(packages).files,
    )
    try:
        measured = json.loads(done.stdout)
    except ValueError:
        measured = {"error": done.stderr.decode("utf-8", "replace")[-300:] or str(done)}
    if "error" in measured:
        error = measured["error"]
        raise SandboxError(f"verify.code.packages: {module} cannot be imported: {error}")
    return Cost(CPU_FACTOR * measured["cpu_seconds"], int(SPACE_FACTOR * measured["bytes"]))


def _closure(packages: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    waiting = list(packages)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name)
        except importlib.metadata.PackageNotFoundError:
            raise SandboxError(
                f"verify.code.packages: {name} is not installed in this environment; install it, or remove it there"
            ) from None
        found.append(name)
        for text in required or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _entries(distribution: importlib.metadata.Distribution) -> list[Path]:
    """Return the folders and files of a distribution; a folder is one entry if only this distribution uses it."""
    paths = [Path(str(path)) for path in distribution.files or ()]
    ours = {path for path in paths if not path.is_absolute() and ".." not in path.parts}
    found: set[Path] = set()
    for path in ours:
        if (
            path.parts[0].endswith((".dist-info", ".egg-info", ".pth"))
            or "__pycache__" in path.parts
        ):
            continue
        folder = next((p for p in reversed(path.parents[:-1]) if _is_own(p, ours)), None)
        found.add(folder or path)
    return sorted(found)


def _is_own(folder: Path, files: set[Path]) -> bool:
    return folder / "__init__.py" in files or folder.name.endswith(OWN_SUFFIXES)


def _copied(files: dict[str, str]) -> dict[str, str]:
    """Return copies of the files in a folder that every user can access; the sandbox's user cannot access /root."""
    folder = sandbox.open_folder("stillhouse-packages-")
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            shutil.copytree(path, target, copy_function=_link)
        else:
            _link(path, str(target))
    return {name: str(folder / name) for name in files}


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # the target is on another file system
        shutil.copy2(source, target)
    return target
