"""Adapters of public sets of maths problems."""

import re
from collections.abc import Mapping
from typing import Any

from stillhouse.queries.adapters.base import AdaptedRow, Adapter, NotSelected
from stillhouse.queries.adapters.fields import (
    boxed,
    column,
    last_user_text,
    mapping,
    text,
)
from stillhouse.queries.faults import RowFaultError, shown

_METAMATH_ANSWER = re.compile(r"The answer is:?\s*(\S.*)", re.IGNORECASE)
_EURUS_FORMAT = re.compile(r"\s*Present the answer in LaTex format: \\boxed\{Your answer\}\s*$")
# The benchmark aime24 is this year.
BENCHMARK_YEAR = 2024


def _valid_word_problem(row: Mapping[str, Any]) -> AdaptedRow:
    """NuminaMath 1.5 and OpenR1-Math: problems that people marked as valid, with one answer to compare."""
    kind = text(row, "question_type")
    if kind != "math-word-problem":
        return NotSelected({"MCQ": "multiple_choice", "proof": "proof"}.get(kind, "other_type"))
    if text(row, "problem_is_valid") != "Yes" or text(row, "solution_is_valid") != "Yes":
        return NotSelected("marked_invalid")
    return {"prompt": column(row, "problem"), "ground_truth": column(row, "answer")}


def _big_math(row: Mapping[str, Any]) -> AdaptedRow:
    return {"prompt": column(row, "problem"), "ground_truth": column(row, "answer")}


def _deepmath(row: Mapping[str, Any]) -> AdaptedRow:
    return {"prompt": column(row, "question"), "ground_truth": column(row, "final_answer")}


def _s1_full_59k(row: Mapping[str, Any]) -> AdaptedRow:
    """The set also has science, code, crosswords and law; its `solution` is a worked text, not an answer."""
    if text(row, "cot_type") != "math":
        return NotSelected("other_subject")
    solution = text(row, "solution")
    if not solution:
        raise RowFaultError("no_reference", "`solution` is empty")
    answer = boxed(solution)
    if answer is None:
        return NotSelected("no_boxed_answer")
    return {"prompt": column(row, "question"), "ground_truth": answer}


def _metamath(row: Mapping[str, Any]) -> AdaptedRow:
    response = text(row, "response")
    found = _METAMATH_ANSWER.findall(response)
    if not found:
        raise RowFaultError("no_reference", f"no 'The answer is: ' in: {shown(response[-100:])}")
    return {"prompt": column(row, "query"), "ground_truth": found[-1].strip()}


def _aime(row: Mapping[str, Any]) -> AdaptedRow:
    try:
        year = int(column(row, "Year"))
    except (TypeError, ValueError):
        raise RowFaultError(
            "invalid_value", f"'Year' is no year: {shown(row.get('Year'))}"
        ) from None
    if year >= BENCHMARK_YEAR:
        return NotSelected("benchmark_year")
    return {"prompt": column(row, "Question"), "ground_truth": column(row, "Answer")}


def _eurus_math(row: Mapping[str, Any]) -> AdaptedRow:
    """Eurus-2 has a long system prompt and a line on the format; both are left out."""
    if text(row, "ability") != "math":
        return NotSelected("other_subject")
    return {
        "prompt": _EURUS_FORMAT.sub("", last_user_text(row, "prompt")),
        "ground_truth": column(mapping(row, "reward_model"), "ground_truth"),
    }


ADAPTERS = [
    Adapter(
        name="openr1_math",
        repo="open-r1/OpenR1-Math-220k",
        revision=None,
        config="default",
        split="train",
        license="apache-2.0",
        category="math",
        adapt=_valid_word_problem,
        selection="word problems whose problem and solution are marked valid; no proofs, no multiple choice",
    ),
    Adapter(
        name="numina_math",
        repo="AI-MO/NuminaMath-1.5",
        revision=None,
        config=None,
        split="train",
        license="apache-2.0",
        category="math",
        adapt=_valid_word_problem,
        selection="word problems whose problem and solution are marked valid; no proofs, no multiple choice",
    ),
    Adapter(
        name="big_math",
        repo="SynthLabsAI/Big-Math-RL-Verified",
        revision=None,
        config=None,
        split="train",
        license="apache-2.0",
        category="math",
        adapt=_big_math,
    ),
    Adapter(
        name="deepmath",
        repo="zwhe99/DeepMath-103K",
        revision="5cf055d1fe3d7a2eb19719ac020211469736ae44",
        config=None,
        split="train",
        license="mit",
        category="math",
        adapt=_deepmath,
    ),
    Adapter(
        name="s1_full_59k",
        repo="simplescaling/data_ablation_full59K",
        revision=None,
        config=None,
        split="train",
        license="unknown",
        category="math",
        adapt=_s1_full_59k,
        selection="`cot_type` math with a boxed result in `solution`, which is the reference",
    ),
    Adapter(
        name="metamath",
        repo="meta-math/MetaMathQA",
        revision=None,
        config=None,
        split="train",
        license="mit",
        category="math",
        adapt=_metamath,
        selection="the text after the last 'The answer is: ' of `response` is the reference",
        caveat="of the answers only the columns were seen, not their endings",
    ),
    Adapter(
        name="aime_1983_2023",
        repo="di-zhang-fdu/AIME_1983_2024",
        revision="3e2cc86390666c5c756622afc0eeb9e6194496bc",
        config=None,
        split="train",
        license="unknown",
        category="math",
        adapt=_aime,
        selection=f"years before {BENCHMARK_YEAR}, which is the benchmark aime24",
    ),
    Adapter(
        name="eurus_math",
        repo="PRIME-RL/Eurus-2-RL-Data",
        revision="9776b13264b5aaa0b16495fcf086a0a8d86fd655",
        config=None,
        split="train",
        license="mit",
        category="math",
        adapt=_eurus_math,
        selection="`ability` math; the user turn alone, without its last line on the format",
    ),
]
