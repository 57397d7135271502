"""Every worked solution that ships with stillhouse must satisfy its own ground truth, tests or constraints."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.constraint_arguments import CONSTRAINT_KWARGS
from stillhouse.params.queries import EmbeddedSource
from stillhouse.queries.sources import EMBEDDED_FOLDER, load_source
from stillhouse.records import Query

CATEGORY = {
    "code_basics": "code",
    "science_basics": "science",
    "if_basics": "if",
    "multiturn_basics": "multiturn",
    "chat_basics": "other",
}


def load(name: str) -> list[Query]:
    source = EmbeddedSource.model_validate(
        {
            "id": name,
            "kind": "embedded",
            "category": CATEGORY[name],
            "license": "apache-2.0",
            "name": name,
        }
    )
    return list(load_source(source, 1))


def code_of(query: Query) -> str:
    assert query.solution is not None
    match = re.fullmatch(r"```(python|cpp)\n(.*)\n```", query.solution.answer, re.DOTALL)
    assert match, query.solution.answer
    assert match.group(1) == query.language
    return match.group(2) + "\n"


def test_every_set_on_disk_is_tested_here() -> None:
    assert {path.stem for path in EMBEDDED_FOLDER.glob("*.yaml")} == CATEGORY.keys()


@pytest.mark.parametrize("name", CATEGORY)
def test_all_rows_are_distinct_and_have_a_worked_solution(name: str) -> None:
    queries = load(name)
    assert len({query.id for query in queries}) == len(queries)
    for query in queries:
        assert query.solution is not None
        assert query.solution.think.strip()
        assert query.solution.answer.strip()


def test_python_solutions_pass_their_tests() -> None:
    script = []
    for query in (q for q in load("code_basics") if q.language == "python"):
        asserts = [test.code or "" for test in query.tests if test.kind == "assert"]
        if asserts:
            program = "\n".join([code_of(query), *asserts])
            script.append(f"exec({program!r}, {{}})")
    assert len(script) == 10
    subprocess.run([sys.executable, "-I", "-c", "\n".join(script)], check=True, timeout=10)


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_programs_print_what_their_tests_expect(language: str, tmp_path: Path) -> None:
    if language == "cpp" and shutil.which("g++") is None:
        pytest.skip("no g++ here")
    programs = [
        q for q in load("code_basics") if q.language == language and q.tests[0].kind == "stdio"
    ]
    assert len(programs) == 2
    for query in programs:
        if language == "python":
            command = [sys.executable, "-I", "-c", code_of(query)]
        else:
            (tmp_path / "main.cpp").write_text(code_of(query))
            command = [str(tmp_path / "main")]
            subprocess.run(["g++", "-o", *command, tmp_path / "main.cpp"], check=True, timeout=60)
        for test in query.tests:
            done = subprocess.run(
                command, input=test.input, capture_output=True, text=True, check=True, timeout=10
            )
            assert done.stdout == test.output


def test_science_solutions_end_with_the_ground_truth() -> None:
    for query in load("science_basics"):
        assert query.solution is not None
        assert query.solution.answer == f"The answer is \\boxed{{{query.ground_truth}}}."
        if re.fullmatch("[A-D]", query.ground_truth or ""):
            assert re.search(rf"^{query.ground_truth}\. ", query.prompt, re.MULTILINE)


def test_if_solutions_keep_their_constraints() -> None:
    pytest.importorskip("if_verifiable")
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

    for query in load("if_basics"):
        assert query.solution is not None
        for constraint in query.constraints:
            assert constraint.kwargs.keys() <= CONSTRAINT_KWARGS
            checker = INSTRUCTION_DICT[constraint.id](constraint.id)
            checker.build_description(**constraint.kwargs)
            assert checker.check_following(query.solution.answer), (constraint, query.solution)


def test_conversations_have_two_or_three_user_turns_in_turn_with_the_assistant() -> None:
    for query in load("multiturn_basics"):
        roles = [message.role for message in query.messages]
        assert roles == [("user", "assistant")[i % 2] for i in range(len(roles))]
        assert roles.count("user") in (2, 3)
