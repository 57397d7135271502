"""Tests of code queries in the layouts of public data sets; the ones read are run against right and wrong programs."""

import json
from typing import Any

import msgspec
import pytest

from stillhouse.queries.faults import EVIDENCE_CHARS, RowFaultError
from stillhouse.queries.tests_layouts import ReadTests, asserts, call, pytest_module, read_tests
from stillhouse.records import CodeTest
from stillhouse.verify.code.check import check_code
from tests.verify.verify_builder import LIMITS, make_query

DOUBLE = "def double(x):\n    return 2 * x\n"
NOT_DOUBLE = "def double(x):\n    return 2 * x if x > 2 else 0\n"
OF_CLASS = "class Solution:\n    def double(self, x):\n        return 2 * x\n"
READS = "print(2 * int(input()))\n"
MODULE = '''
"""Tests of double."""
import pytest
from solution import double

LIMIT = 3

def helper(x):
    return x + x

def test_small():
    for x in range(LIMIT):
        assert double(x) == helper(x)

@pytest.mark.parametrize("x", [4, 5])
def test_large(x):
    assert double(x) == 2 * x

class TestText:
    def test_text(self):
        assert double("a") == "aa"

if __name__ == "__main__":
    pytest.main()
'''
CASES = {
    "asserts": ["assert double(2) == 4", "assert double(1) == 2"],
    "asserts as JSON": json.dumps(["assert double(2) == 4", "assert double(1) == 2"]),
    "asserts as text": "assert double(2) == 4\nassert double(1) == 2",
    "asserts below a name": "two = 2\nassert double(two) == 4\nassert double(1) == 2",
    "own": [{"kind": "assert", "code": "assert double(1) == 2", "output": None}],
    "module": MODULE,
    "human eval": "def check(candidate):\n    assert candidate(1) == 2\n",
    "apps call": json.dumps({"inputs": [[1], [4]], "outputs": [[2], 8], "fn_name": "double"}),
    "call": {"language": "python", "test_cases": [
        {"input": "[1]", "output": "[2]", "type": "function_call", "fn_name": "double"},
    ]},
    "functional": [
        {"input": "1", "output": "2", "testtype": "functional", "metadata": '{"func_name": "double"}'},
    ],
}  # fmt: skip
STDIO = {
    "apps": {"inputs": ["2\n"], "outputs": ["4\n"]},
    "apps as Python": "{'inputs': ['2\\n'], 'outputs': ['4\\n']}",
    "lines": {"inputs": [["2"]], "outputs": [["4"]]},
    "pairs": [{"input": "2", "output": "4"}],
    "pairs as JSON texts": ['{"input": "2", "output": "4", "testtype": "stdin_stdout"}'],
    "cases": {"language": "python", "test_cases": [{"input": "2", "output": 4, "type": "stdin_stdout"}]},
    "own": [{"kind": "stdio", "input": "2", "output": "4"}],
}  # fmt: skip


def score(found: ReadTests, code: str) -> float | None:
    """Return the share of the tests that a program passes in the sandbox; null where they cannot run."""
    query = make_query(
        "code",
        "Write double, in Solution where asked.",
        language="python",
        entry_point=found.entry_point or "double",
        tests=msgspec.convert(found.tests, list[CodeTest]),
    )
    return check_code(query, f"```python\n{code}```", LIMITS).score


@pytest.mark.parametrize("layout", CASES.values(), ids=CASES)
def test_function_tests_of_every_layout_tell_right_from_wrong(sandboxed: None, layout: Any) -> None:
    found = read_tests(layout, entry_point="double")
    assert score(found, DOUBLE) == 1.0
    assert score(found, NOT_DOUBLE) != 1.0
    assert score(found, NOT_DOUBLE) is not None


@pytest.mark.parametrize("layout", STDIO.values(), ids=STDIO)
def test_stdio_tests_of_every_layout_tell_right_from_wrong(sandboxed: None, layout: Any) -> None:
    found = read_tests(layout)
    assert score(found, READS) == 1.0
    assert score(found, "print(input())\n") == 0.0


@pytest.mark.parametrize("layout", ["apps call", "call", "functional"])
def test_a_starter_with_class_solution_makes_functions_methods(
    sandboxed: None, layout: str
) -> None:
    found = read_tests(CASES[layout], starter_code="class Solution:\n    def double(self, x):")
    assert found.entry_point == "Solution.double"
    assert score(found, OF_CLASS) == 1.0
    assert score(found, DOUBLE) == 0.0


def test_parts_of_a_layout_can_be_read_alone() -> None:
    assert [
        test["code"] for test in asserts("import math\nassert f(1) == 2\nassert f(2) == 4")
    ] == [
        "import math\nassert f(1) == 2",
        "import math\nassert f(2) == 4",
    ]
    small, large, text = pytest_module(MODULE)
    assert "def helper" in small["code"]
    assert "__main__" not in small["code"] + large["code"] + text["code"]
    assert "test_small" not in large["code"]
    assert large["code"].count("parametrize") == 1
    assert (
        call("f", [True, None, "a"], {"b": [1.5]})["code"]
        == "assert f(True, None, 'a') == {'b': [1.5]}"
    )


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("layout", "reason", "said"),
    [
        (None, "no_tests", "None"),
        ("", "no_tests", "''"),
        ([], "no_tests", "[]"),
        ([None, ""], "no_tests", ""),
        ("[]", "no_tests", "[]"),
        ({"inputs": [], "outputs": []}, "no_tests", "inputs"),
        ({"inputs": ["1", "2"], "outputs": ["1"]}, "unequal_tests", "2 inputs and 1 outputs"),
        ({"inputs": ["1"], "outputs": None}, "unequal_tests", "1 inputs and 0 outputs"),
        ({"inputs": "1", "outputs": "2"}, "invalid_tests", "no lists"),
        ({"inputs": ["1"], "outputs": [None]}, "invalid_tests", "expected output"),
        ({"inputs": [[["1"]]], "outputs": ["1"]}, "invalid_tests", "list of lines"),
        ({"inputs": [b"1"], "outputs": ["1"]}, "invalid_tests", "1 bytes"),
        ({"inputs": [[1]], "outputs": [2], "fn_name": "f(); g"}, "invalid_tests", "no name"),
        ("assert double(2 == 4", "invalid_tests", "no Python"),
        ("double(2)", "invalid_tests", "no assert"),
        (["assert f(1) == 1", "assert f("], "invalid_tests", "no Python"),
        ("def test_f(tmp_path):\n    assert f(tmp_path)", "invalid_tests", "fixtures tmp_path"),
        ("@pytest.mark.skip\ndef test_f():\n    assert f()", "invalid_tests", "mark skip"),
        ([{"kind": "magic"}], "invalid_tests", "'magic'"),
        ([{"kind": "assert", "code": "assert ("}], "invalid_tests", "no Python"),
        ([{"kind": "assert"}], "invalid_tests", "without `code`"),
        ([{"kind": "stdio", "input": "1"}], "invalid_tests", "without `output`"),
        ([{"question": 1}], "invalid_tests", "unknown keys"),
        ([{"input": "1", "output": "1", "testtype": "functional"}], "invalid_tests", "name of"),
        ("[1, 2", "invalid_tests", "neither JSON nor"),
        (nested(100_000), "invalid_tests", "neither JSON nor"),
        (nested(50), "invalid_tests", "nested"),
        ("[" + "9" * 5000 + "]", "invalid_tests", "neither JSON nor"),
        (7, "invalid_tests", "int"),
        (float("nan"), "invalid_tests", "float"),
        (b"assert 1", "invalid_tests", "bytes"),
        ("x" * 10_000_000, "invalid_tests", ""),
        ("[" + "1," * 5_000_000, "invalid_tests", "neither JSON nor"),
        ('"' * 7, "invalid_tests", ""),
        ("assert '\ud800'", "invalid_tests", ""),
    ],
)
def test_what_cannot_run_has_a_typed_reason(layout: Any, reason: str, said: str) -> None:
    with pytest.raises(RowFaultError) as caught:
        read_tests(layout)
    assert caught.value.reason == reason
    assert said in caught.value.evidence
    assert len(caught.value.evidence) <= EVIDENCE_CHARS
    caught.value.evidence.encode()
