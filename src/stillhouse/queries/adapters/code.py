"""Adapters of public sets of programming problems.

The questions of these sets leave unsaid what their tests need: the language and the name of the function. `_task` puts
it below the question where the question does not say it.
"""

import ast
import builtins
import re
import sys
from collections.abc import Mapping
from typing import Any

from stillhouse.queries.adapters.base import AdaptedRow, Adapter, NotSelected
from stillhouse.queries.adapters.fields import (
    column,
    decoded,
    last_user_text,
    mapping,
    sequence,
    text,
)
from stillhouse.queries.faults import RowFaultError, shown
from stillhouse.queries.tests_layouts import SOLUTION, ReadTests, pairs, read_tests

_EURUS_FORMAT = re.compile(
    r"\s*Write Python code to solve the problem\. Present the code in\s+```python\s+Your code\s+```\s*at the end\.\s*$"
)
# Modules of a pytest module that the sandbox provides.
_OF_SANDBOX = frozenset({"pytest", "solution"})
_CODEFORCES_TESTS = (
    "public_tests",
    "private_tests",
    "generated_tests",
    "public_tests_ms",
    "examples",
)


def _task(question: str, found: ReadTests, starter: str = "") -> dict[str, Any]:
    """Return the row of a question and its tests.

    Args:
        question: the question as the set has it.
        found: its tests.
        starter: the beginning of the program, or the signature of the function, that the answer must keep.
    """
    name = found.entry_point or ""
    if not isinstance(name, str) or not (name or "x").replace(".", "").isidentifier():
        raise RowFaultError("invalid_tests", f"{shown(name)} is no name of a function")
    if not isinstance(starter, str):
        raise RowFaultError("invalid_value", f"the given beginning is no text: {shown(starter)}")
    language = found.language or "python"
    said = f"{question}\n{starter}"
    asked = [question]
    if name and not _names(said, name.rpartition(".")[2]):
        kind = "class" if name[0].isupper() else "function"
        kind = f"method of `class {SOLUTION}`" if name.startswith(f"{SOLUTION}.") else kind
        asked.append(f"Name the {kind} `{name.rpartition('.')[2]}`.")
    if language == "python" and "python" not in said.lower():
        reads = any(test["kind"] == "stdio" for test in found.tests)
        how = " It reads standard input and writes standard output." if reads else ""
        asked.append(f"Write the program in Python.{how}")
    return {
        "prompt": question and "\n\n".join(asked),
        "tests": found.tests,
        "language": language,
        "entry_point": name or None,
        "starter_code": starter,
    }


def _names(said: str, name: str) -> bool:
    """Return whether a question names a function: a word of the language may be its name too."""
    name = re.escape(name)
    form = rf"`{name}`|\b{name}\s*\("
    return re.search(rf"\b{name}\b" if "_" in name else form, said) is not None


def _eurus_code(row: Mapping[str, Any]) -> AdaptedRow:
    """Eurus-2 has a long system prompt and a line on the format; both are left out."""
    if text(row, "ability") != "code":
        return NotSelected("other_subject")
    tests = column(mapping(row, "reward_model"), "ground_truth")
    return _task(_EURUS_FORMAT.sub("", last_user_text(row, "prompt")), read_tests(tests))


def _deepcoder(row: Mapping[str, Any]) -> AdaptedRow:
    starter = text(row, "starter_code") if "starter_code" in row else ""
    named = mapping(row, "metadata").get("func_name") if row.get("metadata") else None
    tests = read_tests(column(row, "tests"), named, starter)
    return _task(text(row, "problem"), tests, starter)


def _kodcode(row: Mapping[str, Any]) -> AdaptedRow:
    """The tests are a pytest module that imports the answer as `solution`."""
    module = text(row, "test" if "test" in row else "test_code")
    if _imported(module) - _OF_SANDBOX - sys.stdlib_module_names:
        return NotSelected("needs_packages")
    info = decoded(column(row, "test_info"), "test_info") or {}
    info = info[0] if isinstance(info, list) and info else info
    if not isinstance(info, Mapping):
        raise RowFaultError("invalid_value", f"'test_info' is no mapping: {shown(info)}")
    found = read_tests(module)
    found.entry_point = info.get("function_name") or None
    return _task(text(row, "question"), found, info.get("function_declaration") or "")


def _imported(module: str) -> set[str]:
    """Return the top-level modules that a Python text imports, none where it does not parse."""
    try:
        nodes = list(ast.walk(ast.parse(module)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # `read_tests` says what is wrong with it
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - {""}


def _codeforces_cots(row: Mapping[str, Any]) -> AdaptedRow:
    """One row for each generation: the queries of one problem are exact duplicates, of which `queries` keeps one."""
    if text(row, "interaction_format"):
        return NotSelected("interactive")
    found = ReadTests()
    for name in _CODEFORCES_TESTS:
        if row.get(name):
            found.add(_codeforces_tests(row[name]))
    # The lists overlap, and texts differ in their last line break.
    different = {(test["input"].strip(), test["output"].strip()): test for test in found.tests}
    found.tests = list(different.values())
    if not found.tests:
        raise RowFaultError("no_tests", "no tests and no examples")
    examples = sequence(row, "examples")
    sections = {
        "": text(row, "description"),
        "Input": text(row, "input_format"),
        "Output": text(row, "output_format"),
        "Examples": "\n\n".join(_example(example) for example in examples),
        "Note": text(row, "note"),
    }
    if not sections[""]:
        raise RowFaultError("no_text", "`description` is empty")
    parts = [f"{head}\n{body}".strip() for head, body in sections.items() if body]
    return _task("\n\n".join(parts), found)


def _codeforces_tests(value: Any) -> ReadTests:
    """Return tests as one mapping of two lists, or as a list of {input, output}."""
    if isinstance(value, Mapping):
        return pairs(value.get("input"), value.get("output"))
    return read_tests(value)


def _example(example: Any) -> str:
    if not isinstance(example, Mapping):
        raise RowFaultError("invalid_value", f"an example is no mapping: {shown(example)}")
    return f"Input:\n{example.get('input')}\nOutput:\n{example.get('output')}"


def _verifiable_coding(row: Mapping[str, Any]) -> AdaptedRow:
    problem = text(row, "problem_statement" if "problem_statement" in row else "problem")
    return _task(problem, read_tests(mapping(row, "verification_info")))


def _opencoder(row: Mapping[str, Any]) -> AdaptedRow:
    found = read_tests(sequence(row, "testcase"))
    found.entry_point = text(row, "entry_point") or None
    return _task(text(row, "instruction"), found)


def _openthoughts_code(row: Mapping[str, Any]) -> AdaptedRow:
    tests = column(row, "test_cases")
    if not tests or tests == "[]":
        return NotSelected("no_tests")
    starter = text(row, "starter_code") if "starter_code" in row else ""
    return _task(text(row, "problem"), read_tests(tests, starter_code=starter), starter)


def _acecode(row: Mapping[str, Any]) -> AdaptedRow:
    found = read_tests(sequence(row, "test_cases"))
    if any(test["kind"] != "assert" for test in found.tests):
        raise RowFaultError("invalid_tests", f"no assert: {shown(found.tests[0])}")
    found.entry_point = _called(found.tests[0]["code"])
    return _task(text(row, "question"), found)


def _called(test: str) -> str | None:
    """Return the first name that an assert calls and that Python does not have: the function or class under test."""
    nodes = (node.func for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call))
    names = (node.id for node in nodes if isinstance(node, ast.Name))
    return next((name for name in names if not hasattr(builtins, name)), None)


def _apps(row: Mapping[str, Any]) -> AdaptedRow:
    if not row.get("input_output"):
        return NotSelected("no_tests")
    starter = text(row, "starter_code") if "starter_code" in row else ""
    tests = read_tests(column(row, "input_output"), starter_code=starter)
    return _task(text(row, "question"), tests, starter)


ADAPTERS = [
    Adapter(
        name="eurus_code",
        repo="PRIME-RL/Eurus-2-RL-Data",
        revision="9776b13264b5aaa0b16495fcf086a0a8d86fd655",
        config=None,
        split="train",
        license="mit",
        category="code",
        adapt=_eurus_code,
        selection="`ability` code; the user turn alone, without its last lines on the format",
        caveat="of the tests only one row was seen",
    ),
    Adapter(
        name="deepcoder",
        repo="agentica-org/DeepCoder-Preview-Dataset",
        revision=None,
        config="primeintellect",
        split="train",
        license="mit",
        category="code",
        adapt=_deepcoder,
        selection="all rows; also `config: taco`; lcbv5 and codeforces are benchmarks",
    ),
    Adapter(
        name="kodcode",
        repo="KodCode/KodCode-V1",
        revision=None,
        config=None,
        split="train",
        license="cc-by-nc-4.0",
        category="code",
        adapt=_kodcode,
        selection="tests that import the standard library only; the signature is given as the beginning",
    ),
    Adapter(
        name="codeforces_cots",
        repo="open-r1/codeforces-cots",
        revision="39ac85c150806230473c70ad72c31f6232fe3f41",
        config="solutions_py_decontaminated",
        split="train",
        license="cc-by-4.0",
        category="code",
        adapt=_codeforces_cots,
        selection="no interactive problems; the statement is put together of its parts",
        caveat="problems with several right outputs are not marked: a right answer to them may fail",
    ),
    Adapter(
        name="verifiable_coding",
        repo="open-r1/verifiable-coding-problems-python",
        revision="b761a24a95fa03289a231d2d31c183636ffb9833",
        config=None,
        split="train",
        license="unknown",
        category="code",
        adapt=_verifiable_coding,
    ),
    Adapter(
        name="opencoder",
        repo="OpenCoder-LLM/opc-sft-stage2",
        revision=None,
        config="educational_instruct",
        split="train",
        license="mit",
        category="code",
        adapt=_opencoder,
        selection="all rows; the other configurations have no tests",
    ),
    Adapter(
        name="openthoughts_code",
        repo="open-r1/OpenThoughts-114k-Code_decontaminated",
        revision="b90307fcdb68ae52d01f60cfd38d5f0b4852115a",
        config=None,
        split="train",
        license="apache-2.0",
        category="code",
        adapt=_openthoughts_code,
        selection="rows with tests",
        caveat="of the tests two layouts are known, and both are read",
    ),
    Adapter(
        name="acecode",
        repo="TIGER-Lab/AceCode-87K",
        revision=None,
        config=None,
        split="train",
        license="mit",
        category="code",
        adapt=_acecode,
    ),
    Adapter(
        name="apps",
        repo="codeparrot/apps",
        revision="21e74ddf8de1a21436da12e3e653065c5213e9d1",
        config=None,
        split="train",
        license="mit",
        category="code",
        adapt=_apps,
        selection="rows with tests",
        caveat="the repository has a loading script, which `datasets` 4 does not run: download train.jsonl and use "
        "`kind: file`",
    ),
]
