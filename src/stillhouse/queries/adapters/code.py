"""Adapters of public sets of programming problems, all of them for Python.

The tests stay in the layout of their set: `rows.query_of_row` reads them, and puts the beginning of the program and the
name that the tests call below a question that lacks them.
"""

import ast
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
from stillhouse.queries.tests_layouts import ReadTests, pairs, read_tests

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


def _task(question: str, tests: Any, **columns: Any) -> dict[str, Any]:
    """Return the row of a question, which says the language, and of its tests; `columns` are further ones."""
    if question and "python" not in question.lower():
        question += "\n\nWrite the program in Python."
    return {"prompt": question, "tests": tests, "language": "python", **columns}


def _eurus_code(row: Mapping[str, Any]) -> AdaptedRow:
    """Eurus-2 has a long system prompt and a line on the format; both are left out."""
    if text(row, "ability") != "code":
        return NotSelected("other_subject")
    tests = column(mapping(row, "reward_model"), "ground_truth")
    return _task(_EURUS_FORMAT.sub("", last_user_text(row, "prompt")), tests)


def _deepcoder(row: Mapping[str, Any]) -> AdaptedRow:
    named = mapping(row, "metadata").get("func_name") if row.get("metadata") else None
    return _task(
        text(row, "problem"),
        column(row, "tests"),
        entry_point=named,
        starter_code=row.get("starter_code"),
    )


def _kodcode(row: Mapping[str, Any]) -> AdaptedRow:
    """The tests are a pytest module that imports the answer as `solution`."""
    module = text(row, "test" if "test" in row else "test_code")
    if _imported(module) - _OF_SANDBOX - sys.stdlib_module_names:
        return NotSelected("needs_packages")
    info = decoded(column(row, "test_info"), "test_info") or {}
    info = info[0] if isinstance(info, list) and info else info
    if not isinstance(info, Mapping):
        raise RowFaultError("invalid_value", f"'test_info' is no mapping: {shown(info)}")
    return _task(
        text(row, "question"),
        module,
        entry_point=info.get("function_name"),
        starter_code=info.get("function_declaration"),
    )


def _imported(module: str) -> set[str]:
    """Return the top-level modules that a Python text imports, none where it does not parse."""
    try:
        nodes = list(ast.walk(ast.parse(module)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # it is rejected with its syntax error
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
    return _task("\n\n".join(parts), list(different.values()))


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
    return _task(problem, mapping(row, "verification_info"))


def _opencoder(row: Mapping[str, Any]) -> AdaptedRow:
    tests = sequence(row, "testcase")
    return _task(text(row, "instruction"), tests, entry_point=column(row, "entry_point"))


def _openthoughts_code(row: Mapping[str, Any]) -> AdaptedRow:
    tests = column(row, "test_cases")
    if not tests or tests == "[]":
        return NotSelected("no_tests")
    return _task(text(row, "problem"), tests, starter_code=row.get("starter_code"))


def _acecode(row: Mapping[str, Any]) -> AdaptedRow:
    return _task(text(row, "question"), sequence(row, "test_cases"))


def _apps(row: Mapping[str, Any]) -> AdaptedRow:
    if not row.get("input_output"):
        return NotSelected("no_tests")
    tests = column(row, "input_output")
    return _task(text(row, "question"), tests, starter_code=row.get("starter_code"))


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
