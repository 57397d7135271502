"""Reads the tests of a code query in the layouts that public data sets have.

`read_tests(value)` takes any of these layouts and returns `ReadTests`: tests in our own layout, and the language and
entry point that the layout names. The column `tests` of every source is read with it, so an adapter may leave the value
as it is. Its parts can be used alone:

| function | reads |
|---|---|
| `asserts(code)` | Python text of asserts: one test for each, after the statements above it |
| `pytest_module(code)` | a module with `def test_*` or `class Test*`: one test for each, with all else of the module |
| `stdio(input, output)` | one pair of standard input and output; either may be a list of lines |
| `call(name, arguments, expected)` | one function call; a name `Solution.f` is a method of `class Solution` |
| `pairs(inputs, outputs, fn_name)` | parallel lists, as in APPS and TACO |
| `loads(text)` | a JSON text, or a Python literal of lists and dicts |

A value may also be a JSON text of any of these, a list of them, or a mapping that holds them under `test_cases`.
Faults are `RowFaultError` with the reasons `no_tests`, `invalid_tests` and `unequal_tests`. No text is evaluated.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillhouse.queries.faults import RowFaultError, shown

PlainTest = dict[str, Any]  # kind assert: code; kind stdio: input and output

SOLUTION = "Solution"
MAX_LITERAL_CHARS = 1_000_000  # parsing a Python literal takes a hundred times its size in memory
MAX_NESTING = 6  # of layouts within layouts, as a JSON text within a list within a JSON text
_OWN_KINDS = ("assert", "stdio")
_CALLS = ("functional", "function_call", "call", "call_based")
# Arguments of a test that are no fixtures.
_OF_A_CLASS = ("self", "cls")


@dataclass
class ReadTests:
    """Tests in our own layout, with the language and the entry point that the layout names, if any."""

    tests: list[PlainTest] = field(default_factory=list)
    language: str | None = None
    entry_point: str | None = None

    def add(self, other: "ReadTests") -> None:
        """Take over another one's tests, and what it names where this one names nothing."""
        self.tests += other.tests
        self.language = self.language or other.language
        self.entry_point = self.entry_point or other.entry_point


def read_tests(
    value: Any, entry_point: str | None = None, starter_code: str | None = None
) -> ReadTests:
    """Return the tests that a cell holds, in whatever known layout.

    Args:
        value: the cell.
        entry_point: the function under test, where the row names it in a column of its own.
        starter_code: the beginning of the program that the task gives; with a `class Solution`, functions are methods.

    Raises:
        RowFaultError: there are none (`no_tests`), the layout is unknown or a test cannot be parsed (`invalid_tests`),
            or there are more inputs than outputs or fewer (`unequal_tests`).
    """
    found = _read(value, _Task(entry_point, SOLUTION in (starter_code or "")), 0)
    if not found.tests:
        raise RowFaultError("no_tests", shown(value))
    return found


@dataclass(frozen=True)
class _Task:
    """What the row says about its tests outside of them."""

    entry_point: str | None
    of_class: bool

    def name(self, given: Any) -> str:
        """Return the name to call: the test's own, or the row's entry point."""
        name = given or self.entry_point
        if not isinstance(name, str) or not name:
            raise RowFaultError("invalid_tests", "a function call without the name of the function")
        if self.of_class and not name.startswith(f"{SOLUTION}."):
            return f"{SOLUTION}.{name}"
        return name


def _read(value: Any, task: _Task, depth: int) -> ReadTests:
    if depth > MAX_NESTING:
        raise RowFaultError("invalid_tests", f"layouts nested more than {MAX_NESTING} deep")
    if value is None:
        return ReadTests()
    if isinstance(value, str):
        return _of_text(value, task, depth)
    if isinstance(value, Mapping):
        return _of_mapping(value, task, depth)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        found = ReadTests()
        for entry in value:
            if entry is not None:
                found.add(_read(entry, task, depth + 1))
        return found
    raise RowFaultError("invalid_tests", f"tests as {type(value).__name__}: {shown(value)}")


def _of_text(text: str, task: _Task, depth: int) -> ReadTests:
    plain = text.strip()
    if not plain:
        return ReadTests()
    quoted = plain[0] == plain[-1] == '"' and not plain.startswith('"""')
    if plain[0] in "[{" or quoted:
        return _read(loads(plain), task, depth + 1)
    if "def check(" in plain and not has_pytest(
        plain
    ):  # HumanEval: the sandbox calls check(candidate)
        _parsed(plain)
        return ReadTests([{"kind": "assert", "code": text}], "python")
    return ReadTests(pytest_module(text) if has_pytest(plain) else asserts(text), "python")


def _of_mapping(row: Mapping[str, Any], task: _Task, depth: int) -> ReadTests:
    if row.get("kind") in _OWN_KINDS:
        return ReadTests([_own(row)])
    if row.get("kind") is not None and "type" not in row:
        raise RowFaultError(
            "invalid_tests", f"a test of kind {shown(row['kind'])}; assert or stdio was expected"
        )
    for name in ("test_cases", "tests"):
        if row.get(name) is not None:
            found = _read(
                row[name], _Task(row.get("fn_name") or task.entry_point, task.of_class), depth + 1
            )
            language = row.get("language")
            found.language = language if isinstance(language, str) and language else found.language
            return found
    if "inputs" in row or "outputs" in row:
        return pairs(row.get("inputs"), row.get("outputs"), row.get("fn_name"), task.of_class)
    if "input" in row or "output" in row:
        return _of_case(row, task)
    raise RowFaultError(
        "invalid_tests", f"tests with the unknown keys {shown(sorted(map(str, row)))}"
    )


def _own(row: Mapping[str, Any]) -> PlainTest:
    """Return a test that is in our own layout, without columns that have no value."""
    test = {name: entry for name, entry in row.items() if entry is not None}
    if row["kind"] == "assert":
        code = test.get("code")
        if not isinstance(code, str) or not code.strip():
            raise RowFaultError("invalid_tests", "a test of kind assert without `code`")
        _parsed(code)
    elif test.get("output") is None:
        raise RowFaultError("invalid_tests", "a test of kind stdio without `output`")
    return test


def _of_case(row: Mapping[str, Any], task: _Task) -> ReadTests:
    """Return one test of the layout {input, output, type or testtype}, with `fn_name` or `metadata.func_name`."""
    metadata = row.get("metadata")
    if isinstance(metadata, str) and metadata.strip():
        metadata = loads(metadata)
    named = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    name = row.get("fn_name") or named
    kind = row.get("testtype") or row.get("type") or ""
    if kind not in _CALLS and not (name and not kind):
        return ReadTests([stdio(row.get("input"), row.get("output"))])
    name = task.name(name)
    if kind == "functional":  # LiveCodeBench: one JSON value a line, and the result as JSON
        lines = [line for line in _lines(row.get("input")).splitlines() if line.strip()]
        arguments, expected = [loads(line) for line in lines], _value(row.get("output"))
        return ReadTests([call(name, arguments, expected)], "python", name)
    arguments = _value(row.get("input"))
    return ReadTests([_call_in_a_list(name, arguments, _value(row.get("output")))], "python", name)


def pairs(
    inputs: Any, outputs: Any, fn_name: str | None = None, of_class: bool = False
) -> ReadTests:
    """Return the tests of parallel lists of inputs and outputs.

    Args:
        inputs: texts, lists of lines, or with `fn_name` lists of arguments.
        outputs: as many of them.
        fn_name: the function that is called with the arguments; null: programs that read standard input.
        of_class: whether the function is a method of `class Solution`.

    Raises:
        RowFaultError: `unequal_tests` where the numbers differ; `invalid_tests` where one is no list.
    """
    inputs, outputs = ([] if side is None else side for side in (inputs, outputs))
    if not isinstance(inputs, list | tuple) or not isinstance(outputs, list | tuple):
        raise RowFaultError(
            "invalid_tests", f"`inputs` and `outputs` are no lists: {shown(inputs)}"
        )
    if len(inputs) != len(outputs):
        raise RowFaultError("unequal_tests", f"{len(inputs)} inputs and {len(outputs)} outputs")
    if not fn_name:
        return ReadTests(
            [stdio(given, wanted) for given, wanted in zip(inputs, outputs, strict=True)]
        )
    name = _Task(None, of_class).name(fn_name)
    tests = [
        _call_in_a_list(name, _value(given), _value(wanted))
        for given, wanted in zip(inputs, outputs, strict=True)
    ]
    return ReadTests(tests, "python", name)


def stdio(given: Any, wanted: Any) -> PlainTest:
    """Return the test of one pair of standard input and expected output; lists are lines."""
    if wanted is None:
        raise RowFaultError("invalid_tests", "a test without its expected output")
    return {"kind": "stdio", "input": _lines(given), "output": _lines(wanted)}


def call(name: str, arguments: Sequence[Any], expected: Any) -> PlainTest:
    """Return the test of one function call: `assert name(*arguments) == expected`.

    Args:
        name: the function; `Solution.name`: a method, on a new instance.
        arguments: JSON values.
        expected: the JSON value that the call must return.
    """
    return {"kind": "assert", "code": f"assert {_called(name, arguments)} == {_literal(expected)}"}


def _call_in_a_list(name: str, arguments: Any, expected: Any) -> PlainTest:
    """Return the test of a call as APPS and TACO have it: a result may be alone in a list, or be that list."""
    if not isinstance(arguments, list | tuple):
        arguments = [arguments]
    if not isinstance(expected, list) or len(expected) != 1:
        return call(name, arguments, expected)
    code = f"result = {_called(name, arguments)}\n"
    code += f"assert result == {_literal(expected[0])} or result == {_literal(expected)}"
    return {"kind": "assert", "code": code}


def _called(name: str, arguments: Sequence[Any]) -> str:
    owner, dot, method = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise RowFaultError("invalid_tests", f"{shown(name)} is no name of a function")
    function = f"{owner}().{method}" if dot else name
    return f"{function}({', '.join(map(_literal, arguments))})"


def _literal(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError) as error:
        raise RowFaultError("invalid_tests", f"a value that cannot be written: {error}") from None


def _value(cell: Any) -> Any:
    """Return an argument or result: a text that is JSON is read as its value."""
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _lines(cell: Any) -> str:
    if isinstance(cell, list | tuple):
        if any(isinstance(line, list | tuple | Mapping) for line in cell):
            raise RowFaultError("invalid_tests", f"a list of lines holds {shown(cell)}")
        return "\n".join(_lines(line) for line in cell)
    if cell is None:
        return ""
    if isinstance(cell, bool | int | float):
        return _literal(cell)
    if not isinstance(cell, str):
        raise RowFaultError("invalid_tests", f"standard input or output as {shown(cell)}")
    return cell


def has_pytest(code: str) -> bool:
    """Return whether a Python text defines tests as pytest finds them."""
    return "def test" in code or "class Test" in code


def asserts(code: str) -> list[PlainTest]:
    """Return one test for each assert of a Python text, with the other statements above it.

    Raises:
        RowFaultError: `invalid_tests`: a syntax error, or no assert.
    """
    tree = _parsed(code)
    above: list[str] = []
    tests = []
    for node in tree.body:
        source = ast.get_source_segment(code, node) or ast.unparse(node)
        if isinstance(node, ast.Assert):
            tests.append({"kind": "assert", "code": "\n".join([*above, source])})
        elif not _is_text(node):
            above.append(source)
    if not tests and above:  # a loop or a `with` may hold the asserts
        if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            raise RowFaultError("invalid_tests", f"no assert in {shown(code)}")
        tests.append({"kind": "assert", "code": code})
    return tests


def pytest_module(code: str) -> list[PlainTest]:
    """Return one test for each test function or test class of a module, each with all else that the module has.

    The sandbox calls what a test defines, provides `pytest.raises`, `approx` and `mark.parametrize`, and takes the
    answer for the modules `solution`, `main`, `answer` and `candidate`.

    Raises:
        RowFaultError: `invalid_tests`: a syntax error, a test that needs a fixture, or a mark but `parametrize`.
    """
    tree = _parsed(code)
    tested = [node for node in tree.body if _is_test(node)]
    shared = [
        node
        for node in tree.body
        if not _is_test(node) and not _is_text(node) and not _is_main(node)
    ]
    above = "\n".join(_source(code, node) for node in shared)
    for node in tested:
        _refuse_fixtures(node)
    return [
        {"kind": "assert", "code": f"{above}\n{_source(code, node)}".strip()} for node in tested
    ]


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith("test")
    return isinstance(node, ast.ClassDef) and node.name.startswith("Test")


def _refuse_fixtures(node: ast.AST) -> None:
    for function in ast.walk(node):
        if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test"):
            continue
        marks = {
            part.attr
            for decorator in function.decorator_list
            for part in ast.walk(decorator)
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Attribute)
        }
        arguments = [a.arg for a in function.args.args if a.arg not in _OF_A_CLASS]
        needed = arguments[: len(arguments) - len(function.args.defaults)]
        if marks - {"parametrize"}:
            unknown = ", ".join(sorted(marks - {"parametrize"}))
            raise RowFaultError("invalid_tests", f"{function.name} has the mark {unknown}")
        if needed and "parametrize" not in marks:
            raise RowFaultError(
                "invalid_tests", f"{function.name} needs the fixtures {', '.join(needed)}"
            )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_main(node: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _source(code: str, node: ast.stmt) -> str:
    """Return the text of a statement with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(code.splitlines()[first - 1 : node.end_lineno])


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = str(getattr(error, "msg", error))
        raise RowFaultError("invalid_tests", f"no Python: {reason}{where}: {shown(code)}") from None


def loads(text: str) -> Any:
    """Return the value of a JSON text, or of a Python literal of at most `MAX_LITERAL_CHARS`.

    Raises:
        RowFaultError: `invalid_tests`: it is neither, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        fault = error
    try:
        if len(text) <= MAX_LITERAL_CHARS:
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        pass
    raise RowFaultError("invalid_tests", f"neither JSON nor Python values ({fault}): {shown(text)}")
