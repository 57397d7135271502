"""Code verification apart from the golden cases: shares, packages, comparing outputs, the program in an answer."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.records import CodeTest, Verdict
from stillhouse.verify.code import check as code
from stillhouse.verify.code import packages, sandbox
from stillhouse.verify.code.extract import extract_code, names_wanted
from stillhouse.verify.code.referee.compare import same_text, same_token
from stillhouse.verify.grade import Grader
from tests.verify.verify_builder import LIMITS, make_query, make_response, make_verify

SQUARES = [CodeTest(kind="assert", code=f"assert f({n}) == {n * n}") for n in range(1, 11)]
NINE_OF_TEN = "```python\ndef f(n): return n * n if n != 10 else 0\n```"
MOUNTED = LIMITS.model_copy(update={"packages": ["numpy", "sortedcontainers"], "memory_mb": 256})


def test_the_share_of_tests_decides_and_the_score_stays_raw(sandboxed: None) -> None:
    query = make_query("code", tests=SQUARES, language="python", entry_point="f")
    check = code.check_code(query, NINE_OF_TEN, LIMITS)
    assert (check.state, check.score, check.reason) == ("fail", 0.9, "wrong_output")
    lenient = LIMITS.model_copy(update={"pass_share": 0.9})
    check = code.check_code(query, NINE_OF_TEN, lenient)
    assert (check.state, check.score, check.reason) == ("pass", 0.9, None)
    assert check.evidence is not None
    assert check.evidence.startswith("9 of 10 tests pass")


@pytest.mark.parametrize(("share", "state"), [(1.0, "fail"), (0.9, "pass")])
def test_the_threshold_of_the_run_does_not_decide_on_code(
    sandboxed: None, share: float, state: str
) -> None:
    query = make_query("code", tests=SQUARES, language="python", entry_point="f")
    limits = LIMITS.model_copy(update={"pass_share": share})

    async def grade() -> Verdict:
        grader = Grader(make_verify(code=limits, threshold=0.9), judge=None, workers=1)
        try:
            return await grader.grade(query, make_response(query, NINE_OF_TEN))
        finally:
            await grader.close()

    verdict = asyncio.run(grade())
    assert (verdict.state, verdict.score) == (state, 0.9)


def check_program(program: str, printed: str, setup: str | None = None) -> code.Check:
    test = CodeTest(kind="stdio", input="3", output=printed)
    query = make_query("code", tests=[test], language="python", setup=setup)
    return code.check_code(query, f"```python\n{program}\n```", MOUNTED)


def test_a_mounted_package_is_there_and_named(sandboxed: None) -> None:
    check = check_program("import numpy as np\nprint(np.arange(int(input())).sum())", "3")
    assert check.state == "pass", check
    assert re.fullmatch(r"1 of 1 tests pass \(bubblewrap, numpy [\d.]+\)", check.evidence or "")
    # Only an import brings it into the sandbox, and into the evidence.
    check = check_program("print(3)  # no numpy here", "3")
    assert check.evidence == "1 of 1 tests pass (bubblewrap)"


def test_nothing_but_the_named_packages_is_mounted(sandboxed: None) -> None:
    look = "import os, sys, numpy\nprint(sorted(os.listdir('/packages')), os.environ['OMP_NUM_THREADS'])"
    shown = "['numpy', 'numpy.libs', 'sortedcontainers'] 1"
    assert check_program(look, shown).state == "pass", check_program(look, shown)
    write = (
        "import numpy\ntry:\n    open('/packages/numpy/x', 'w')\nexcept OSError:\n    print('no')"
    )
    assert check_program(write, "no").state == "pass"
    assert check_program("import numpy, pandas", "").reason == "missing_package"


@pytest.mark.parametrize(
    ("program", "test"),
    [
        (
            "def f(x): return [i * 2 for i in x]",
            "import numpy as np\nassert np.allclose(f([1]), [2])",
        ),
        (
            "import numpy as np\ndef f(x): return np.array(x) * 2",
            "assert f([1, 2]).tolist() == [2, 4] and f([1]).shape == (1,)",
        ),
        ("import numpy as np\ndef f(x): return np.float64(x) / 2", "assert f(3) == 1.5"),
        ("def f(a): return a.sum()", "import numpy as np\nassert f(np.arange(4)) == 6"),
        (
            "from sortedcontainers import SortedList\ndef f(x): return SortedList(x)",
            "assert list(f([2, 1])) == [1, 2]",
        ),
    ],
)
def test_arrays_cross_between_test_and_program(sandboxed: None, program: str, test: str) -> None:
    query = make_query("code", tests=[CodeTest(kind="assert", code=test)], entry_point="f")
    check = code.check_code(query, f"```python\n{program}\n```", MOUNTED)
    assert check.state == "pass", check
    wrong = program.replace("return ", "return 1 + 0 * ") if "float64" in program else None
    if wrong:
        assert code.check_code(query, f"```python\n{wrong}\n```", MOUNTED).state == "fail"


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(sandbox.SandboxError, match=r"no-such-package.*not installed"):
        packages.mounted(("no-such-package",))


def test_output_up_to_the_limit_is_read(sandboxed: None) -> None:
    program = "print('7' * 10_000_000)"
    query = make_query("code", tests=[CodeTest(kind="stdio", input="", output="7" * 10_000_000)])
    assert code.check_code(query, f"```python\n{program}\n```", LIMITS).state == "pass"
    little = LIMITS.model_copy(update={"output_mb": 1.0})
    assert code.check_code(query, f"```python\n{program}\n```", little).reason == "output_limit"


@given(st.text(), st.text())
def test_equal_tokens_are_the_same_and_others_only_as_numbers(one: str, two: str) -> None:
    assert same_token(one, one, None)
    if same_token(one, two, None) and one != two:
        assert re.fullmatch(r"[-0-9.eE+]+", one + two, re.ASCII)


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_whole_numbers_are_exact(one: int, two: int) -> None:
    for tolerance in (None, 1e-3):
        assert same_token(str(one), str(two), tolerance) == (one == two)
        assert same_token(f"{one}.0", str(two), None) == (one == two)


# From 1e-6 on: below, twelve decimals are fewer than six digits, so that the rounding exceeds a millionth of the value.
@given(st.integers(1, 10**9), st.integers(1, 10**6))
def test_a_quotient_is_accepted_in_six_decimals_and_not_in_four(above: int, below: int) -> None:
    quotient = above / below
    assert same_token(f"{quotient:.6f}", f"{quotient:.12f}", None)
    assert same_token(repr(quotient), f"{quotient:.12f}", None)
    if abs(round(quotient, 4) - quotient) > 2e-6 * max(1.0, quotient):
        assert not same_token(f"{quotient:.4f}", f"{quotient:.12f}", None)


@given(st.integers(0, 10**12), st.integers(1, 99))
def test_amounts_in_cents_are_exact(cents: int, more: int) -> None:
    def written(amount: int) -> str:
        return f"{amount // 100}.{amount % 100:02d}"

    assert not same_token(written(cents + more), written(cents), None)


def test_lines_count() -> None:
    assert same_text("1 2 \n3\n\n", "1  2\n3", None)
    assert not same_text("1\n2 3", "1 2\n3", None)


@given(st.lists(st.sampled_from(["```", "```python", "~~~", "def f(): pass", "'''", "x = 1", ""])))
def test_any_order_of_fences_gives_a_part_of_the_answer(lines: list[str]) -> None:
    answer = "\n".join(lines)
    for wanted in ([], ["f"]):
        found = extract_code(answer, "python", wanted)
        assert found is None or all(line in answer for line in found.splitlines())


def test_what_asserts_take_from_a_program() -> None:
    assert names_wanted(["assert f(1) == g(2)"], "", "f") == ["f"]
    assert names_wanted(["s = Stack()\nassert s.pop() == len([1])"], "", None) == ["Stack"]
    assert names_wanted(["assert helper(f(1))"], "def helper(x): return x", None) == ["f"]
    assert names_wanted(["assert (lambda x: x)(f(1))"], "", None) == ["f"]


def test_the_referee_needs_only_modules_that_come_before() -> None:
    for number, name in enumerate(code.MODULES):
        text = (code.REFEREE / f"{name}.py").read_text()
        used = set(
            re.findall(r"^from stillhouse\.verify\.referee\.(\w+) import", text, re.MULTILINE)
        )
        assert used <= set(code.MODULES[:number]), name
    found = {path.stem for path in code.REFEREE.glob("*.py")} - {"__init__"}
    assert found == set(code.MODULES)
