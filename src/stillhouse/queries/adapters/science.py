"""Adapters of public sets of science questions and logic puzzles."""

import re
from collections.abc import Mapping
from typing import Any

from stillhouse.queries.adapters.base import AdaptedRow, Adapter, NotSelected
from stillhouse.queries.adapters.fields import (
    boxed,
    column,
    text,
    turns,
)
from stillhouse.queries.faults import RowFaultError, shown

_CHOSEN = re.compile(r"(?i:answer(?:\s+is)?):?\s*\*{0,2}\(?([A-J])(?:[).*]|\s*$)", re.MULTILINE)
_LOGIC_LETTERS = "ABCDE"


def _logic_701(row: Mapping[str, Any]) -> AdaptedRow:
    """The options are columns of their own; the right one is a number that counts from 1."""
    options = {
        letter: text(row, f"answer_option_{number}")
        for number, letter in enumerate(_LOGIC_LETTERS, start=1)
    }
    number = column(row, "correct_option_number")
    if number not in range(1, len(_LOGIC_LETTERS) + 1):
        raise RowFaultError("invalid_choices", f"`correct_option_number` is {shown(number)}")
    return {
        "prompt": column(row, "problem_statement"),
        "choices": {letter: option for letter, option in options.items() if option},
        "ground_truth": _LOGIC_LETTERS[int(number) - 1],
    }


def _chemistry_qa(row: Mapping[str, Any]) -> AdaptedRow:
    answer = text(row, "answer")
    if answer.count("->") > 1:
        return NotSelected("reaction_chain")
    question = text(row, "question")
    description = text(row, "question_description") if "question_description" in row else ""
    return {"prompt": f"{question}\n\n{description}".strip(), "ground_truth": answer}


def _nemotron_science(row: Mapping[str, Any]) -> AdaptedRow:
    """There is no column with a reference: the result of the answer that a model wrote is used instead."""
    if text(row, "reasoning") != "on":
        return NotSelected("no_reasoning")
    if isinstance(column(row, "input"), str):
        raise RowFaultError(
            "invalid_value", f"'input' is one text, not a list of turns: {shown(row['input'])}"
        )
    asked = [turn for turn in turns(row, "input") if turn.get("role") != "system"]
    answer = text(row, "output").rpartition("</think>")[2]
    if not answer.strip():
        raise RowFaultError("no_reference", "`output` ends with its reasoning, or is empty")
    chosen = _CHOSEN.findall(answer)
    reference = boxed(answer) or (chosen[-1] if chosen else None)
    if reference is None:
        return NotSelected("no_marked_answer")
    license_ = text(row, "license").lower().replace(" ", "-") if "license" in row else ""
    return {"messages": asked, "ground_truth": reference, "license": license_ or None}


ADAPTERS = [
    Adapter(
        name="logic_701",
        repo="hivaze/LOGIC-701",
        revision=None,
        config="en",
        split="train",
        license="apache-2.0",
        category="science",
        adapt=_logic_701,
        selection="the options are put below the question; the letter of the right one is the reference",
    ),
    Adapter(
        name="chemistry_qa",
        repo="avaliev/ChemistryQA",
        revision=None,
        config=None,
        split="train",
        license="unknown",
        category="science",
        adapt=_chemistry_qa,
        selection="no chains of several reactions",
        caveat="may be readable only where its loading script may run, which `datasets` 4 does not do",
    ),
    Adapter(
        name="nemotron_science",
        repo="nvidia/Llama-Nemotron-Post-Training-Dataset",
        revision=None,
        config="SFT",
        split="science",
        license="cc-by-4.0",
        category="science",
        adapt=_nemotron_science,
        selection="answers with reasoning and a boxed result or a letter, which is the reference; no system prompt; "
        "a row's own licence goes before that of the set",
        caveat="the reference is a model's answer, not a checked one; how answers mark their result was not seen",
    ),
]
