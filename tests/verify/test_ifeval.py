"""The IFEval checkers: no chance, no long computation, IFEval's own prompts, answers that just break a constraint."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillhouse.queries.rows import constraints_of
from stillhouse.records import Constraint
from stillhouse.verify.rules import ifeval
from stillhouse.verify.rules.ifeval import check_constraints
from tests.verify.verify_builder import constraints, golden

DATA = Path(os.environ.get("STILLHOUSE_SHARED_DATA", "../shared/data"))
TIMES = 20
ANSWERS = (
    "The train is late today, and I wait. It is #1 of MANY!",
    "<<Rain>>\n\n* tea\n* ice\n\nP.S. *Bye* [name]\r\n***\r\nSection 1 SECTION 2",
    '"one two three four five six seven eight nine ten"',
)
SIGNS = st.text(alphabet="*-p.s \n\r\t[]<>aP", max_size=60)


def package_says(constraint: Constraint, answer: str) -> bool:
    """Return what the package's checker says of the whole answer."""
    checker = ifeval._registry()[constraint.id](constraint.id)
    checker.build_description(**constraint.kwargs)
    return bool(checker.check_following(answer))


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(id="detectable_content:number_placeholders", kwargs={"num_placeholders": 2}),
        Constraint(id="detectable_format:number_bullet_lists", kwargs={"num_bullets": 2}),
        Constraint(id="detectable_format:title", kwargs={}),
        Constraint(id="detectable_content:postscript", kwargs={"postscript_marker": "P.S."}),
        Constraint(id="detectable_content:postscript", kwargs={"postscript_marker": "P.P.S"}),
    ],
    ids=lambda constraint: constraint.id,
)
@settings(deadline=None)
@given(answer=SIGNS)
@example(answer="*\n\n\n* a\n\n\n- b")
@example(answer="a\n \n\n \n*a\n\n-")
@example(answer="<<>><<a>>\n<<a>> >>")
@example(answer="p.   p.\n\n\ns. P. S.")
def test_an_answer_that_is_shortened_has_the_verdict_of_the_whole(
    constraint: Constraint, answer: str
) -> None:
    shortened = ifeval._SHORTENED[constraint.id](answer)
    assert package_says(constraint, shortened) == package_says(constraint, answer)
    assert len(shortened) <= len(answer)


@pytest.mark.parametrize("case", golden("if"), ids=lambda case: case["why"])
def test_a_verdict_does_not_depend_on_chance(case: dict[str, Any]) -> None:
    checks = []
    for seed in range(3):
        random.seed(seed)
        checks.append(check_constraints(constraints(case), case["output"]))
    assert checks[1:] == checks[:-1]


def test_a_draw_of_the_package_is_an_error() -> None:
    checker = ifeval._registry()["keywords:existence"]("keywords:existence")
    with pytest.raises(ifeval._DrawError, match="random"):
        checker.build_description(keywords=[])


def test_the_prompts_of_the_benchmark_are_accepted_and_their_verdicts_stay() -> None:
    path = DATA / "queries/ifeval.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    prompts = [constraints_of(row) for row in rows]
    assert len(prompts) == 541
    for number, wanted in enumerate(prompts):
        answer = ANSWERS[number % len(ANSWERS)]
        first = check_constraints(wanted, answer)
        assert first.score is not None, (wanted, first.evidence)
        for seed in range(TIMES - 1):
            random.seed(seed)
            assert check_constraints(wanted, answer) == first


def without(part: str) -> Callable[[str, dict[str, Any]], str]:
    return lambda output, kwargs: output.replace(part, "")


# How an answer that follows a constraint is changed so that it just does not.
BREAKS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "keywords:existence": lambda output, kwargs: replaced(output, kwargs["keywords"][0]),
    "keywords:forbidden_words": lambda output, kwargs: f"{output} {kwargs['forbidden_words'][-1]}",
    "detectable_format:title": without(">>"),
    "detectable_format:json_format": lambda output, kwargs: f"{{{output}",
    "detectable_format:number_bullet_lists": lambda output, kwargs: f"{output}\n* more",
    "detectable_format:number_highlighted_sections": without("*"),
    "detectable_format:constrained_response": without("answer"),
    "detectable_content:number_placeholders": without("]"),
    "detectable_content:postscript": lambda output, kwargs: output.replace(".", ""),
    "length_constraints:number_paragraphs": lambda output, kwargs: f"{output}\n***\nMore.\n***\nx",
    "length_constraints:nth_paragraph_first_word": lambda output, kwargs: f"{output}\n\nMore.",
    "combination:two_responses": lambda output, kwargs: f"{output}\n******\nMore.\n******\nx",
    "combination:repeat_prompt": lambda output, kwargs: f"Well. {output}",
    "change_case:english_lowercase": lambda output, kwargs: f"{output} I",
    "change_case:english_capital": lambda output, kwargs: f"{output} i",
    "startend:end_checker": lambda output, kwargs: f"{output.strip()} More",
    "startend:quotation": lambda output, kwargs: f"{output.strip()} x",
    "punctuation:no_comma": lambda output, kwargs: f"{output},",
}
FOLLOWED = [
    case
    for case in golden("if")
    if case["verdict"] == "pass"
    and len(case["constraints"]) == 1
    and case["constraints"][0]["id"] in BREAKS
]


def replaced(output: str, keyword: str) -> str:
    start = output.casefold().index(keyword.casefold())
    return output[:start] + "_" + output[start + len(keyword) :]


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: case["why"])
def test_an_answer_that_just_breaks_its_constraint_fails(case: dict[str, Any]) -> None:
    [constraint] = constraints(case)
    broken = BREAKS[constraint.id](case["output"], constraint.kwargs)
    assert broken != case["output"]
    assert check_constraints([constraint], broken).state == "fail"


def test_every_kind_of_break_is_tried() -> None:
    assert {case["constraints"][0]["id"] for case in FOLLOWED} == BREAKS.keys()


def test_the_start_loads_what_a_checker_needs_and_nothing_large() -> None:
    program = """
import sys
from stillhouse.verify.rules import ifeval
ifeval.warm()
assert ifeval._package.cache_info().currsize == 1
from if_verifiable.ifeval import instructions_util
assert instructions_util._get_sentence_tokenizer.cache_info().currsize == 1
print(sorted({"scipy", "datasets", "pandas", "torch"} & sys.modules.keys()))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_an_answer_is_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    wanted = [Constraint(id="change_case:english_capital", kwargs={})]
    check_constraints(wanted, "A1 HTTP://EXAMPLE.ORG")
    check_constraints(wanted, "Ⅷ")
    assert caplog.records == []
