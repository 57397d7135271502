"""Verdicts on public data that does not ship with the project: reference solutions, answers another grader has seen.

The data is looked for in `../shared/data`, or where STILLHOUSE_SHARED_DATA points; without it these tests are skipped.
"""

import ast
import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillhouse import records
from stillhouse.records import Check
from stillhouse.verify.code.check import check_code
from stillhouse.verify.pool import Pool
from stillhouse.verify.rules.math import check_math
from tests.verify.verify_builder import LIMITS, make_query

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("STILLHOUSE_SHARED_DATA", "../shared/data"))
WORKERS = 2
MATH_SECONDS = 20.0
CODE_SECONDS = 60.0
TRACES = ("Qwen2.5-14B-Instruct", "Qwen2.5-Math-7B", "gemma-2-27b-it")
MOST_REFUSED = 0.01  # of a model's answers: right by label, and not passed by the rule
MOST_APART = 0.006  # that share of one model against another's
# Passed by the rule, wrong by label: each was read (docs/verification.md); a new one must be read too.
PASSED_AND_READ = {
    *((TRACES[0], number) for number in (198, 217, 284)),
    *((TRACES[1], number) for number in (198, 296, 384)),
    *((TRACES[2], number) for number in (8, 74, 85, 179, 198, 218, 277, 284, 296, 313, 376, 424)),
}
MBPP_PASS = 0.99


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Mutation(ast.NodeTransformer):
    """Wraps every returned value of the function under test, so that no test that looks at it can pass."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name == self.name:
            node.name = f"{node.name}_before"
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.name:
            node.id = f"{node.id}_before"
        return node


def mutated(code: str, name: str) -> str:
    """Return a program that differs from the given one in the value of one function: by one, or by being shorter."""
    tree = Mutation(name).visit(ast.parse(code))
    return f"""{ast.unparse(tree)}

def _changed(value):
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float, complex)):
        return value + 1
    if isinstance(value, str):
        return value + "?"
    if isinstance(value, (list, tuple)):
        return [*value, 0] if isinstance(value, list) else (*value, 0)
    if isinstance(value, dict):
        return {{**value, "?": 0}}
    return None

def {name}(*positional, **keywords):
    return _changed({name}_before(*positional, **keywords))
"""


def fenced(code: str) -> str:
    return f"Here it is.\n```python\n{code}\n```"


def grade_code(jobs: list[tuple[Any, str]]) -> list[Check]:
    async def run() -> list[Check]:
        pool = Pool(WORKERS, CODE_SECONDS)
        try:
            graded = (pool.run(check_code, query, fenced(code), LIMITS) for query, code in jobs)
            return await asyncio.gather(*graded)
        finally:
            await pool.close()

    return asyncio.run(run())


def report(problems: Iterator[tuple[str, Check]]) -> list[str]:
    """Print every case that is not as it should be, and return its name."""
    found = []
    for name, check in problems:
        print(f"{name}: {check.state} {check.score} {check.reason}: {check.evidence}")
        found.append(name)
    return found


def test_humaneval_solutions_pass_and_changed_ones_fail(sandboxed: None) -> None:
    problems = rows("benchmarks/humaneval.jsonl")
    jobs, changed = [], []
    for row in problems:
        # The text of the test ends with its call: check(<function>).
        entry_point = row["test"].rstrip().rpartition("check(")[2].rstrip(")")
        test = records.CodeTest(kind="assert", code=row["test"])
        query = make_query("code", tests=[test], language="python", entry_point=entry_point)
        solution = row["prompt"] + row["canonical_solution"]
        jobs.append((query, solution))
        changed.append((query, mutated(solution, entry_point)))
    names = [row["task_id"] for row in problems]
    checks = grade_code(jobs)
    wrong = report((n, c) for n, c in zip(names, checks, strict=True) if c.state != "pass")
    assert (len(names), wrong) == (164, [])
    checks = grade_code(changed)
    assert report((n, c) for n, c in zip(names, checks, strict=True) if c.state != "fail") == []


def test_mbpp_solutions_pass_and_changed_ones_fail(sandboxed: None) -> None:
    problems = rows("queries/mbpp.jsonl")
    jobs, changed, names = [], [], []
    for row in problems:
        tests = [records.CodeTest(kind="assert", code=code) for code in row["test_list"]]
        called = called_function(row)
        query = make_query(
            "code",
            tests=tests,
            language="python",
            setup=row.get("test_setup_code") or None,
            entry_point=called,
        )
        jobs.append((query, row["code"]))
        changed.append((query, mutated(row["code"], called)))
        names.append(str(row["task_id"]))
    checks = grade_code(jobs)
    missed = report((n, c) for n, c in zip(names, checks, strict=True) if c.state != "pass")
    print(f"{len(names) - len(missed)} of {len(names)} reference solutions pass")
    assert len(names) - len(missed) >= MBPP_PASS * len(names)
    checks = grade_code(changed)
    # Some tests of the data set do not look at the value; these cannot tell a changed solution.
    kept = report((n, c) for n, c in zip(names, checks, strict=True) if c.state == "pass")
    print(f"{len(kept)} changed solutions pass")
    assert len(kept) <= (1 - MBPP_PASS) * len(names)


def called_function(row: dict[str, Any]) -> str:
    """Return the function of a reference solution that its first test calls."""
    defined = {n.name for n in ast.walk(ast.parse(row["code"])) if isinstance(n, ast.FunctionDef)}
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(row["test_list"][0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return next(name for name in calls if name in defined)


def test_right_answers_of_three_models_pass_alike() -> None:
    """A rule that refuses one model's way of writing more than another's would decide a comparison of the two."""
    refused = {}
    for name in TRACES:
        traces = rows(f"traces/math500_{name}.jsonl")
        assert len(traces) == 500
        checks = asyncio.run(grade_math([(row["answer"], row["code"][0]) for row in traces]))
        missed = 0
        for row, check in zip(traces, checks, strict=True):
            passed, labelled = check.state == "pass", bool(row["score"][0])
            missed += labelled and not passed
            if passed != labelled:
                print(
                    f"{name} {row['idx']}: ours {check.state} {check.reason}, theirs {row['score'][0]}; "
                    f"reference {row['answer']!r}, their reading {row['pred'][0]!r}; {check.evidence}"
                )
                assert labelled or (name, row["idx"]) in PASSED_AND_READ
        refused[name] = missed / len(traces)
    print(f"right by label and not passed: {refused}")
    assert max(refused.values()) <= MOST_REFUSED
    assert max(refused.values()) - min(refused.values()) <= MOST_APART


async def grade_math(pairs: list[tuple[str, str]]) -> list[Check]:
    pool = Pool(WORKERS, MATH_SECONDS)
    try:
        return await asyncio.gather(*(pool.run(check_math, *pair) for pair in pairs))
    finally:
        await pool.close()
