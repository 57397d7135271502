"""Adapters of public sets of instructions with checkable constraints."""

from collections.abc import Mapping
from typing import Any

from stillhouse.queries.adapters.base import AdaptedRow, Adapter
from stillhouse.queries.adapters.fields import column, decoded, sequence, turns
from stillhouse.queries.faults import RowFaultError, shown

# The arguments of IFEval's checkers. A checker refuses one that it does not know.
ARGUMENTS: dict[str, frozenset[str]] = {
    "keywords:existence": frozenset({"keywords"}),
    "keywords:frequency": frozenset({"keyword", "frequency", "relation"}),
    "keywords:forbidden_words": frozenset({"forbidden_words"}),
    "keywords:letter_frequency": frozenset({"letter", "let_frequency", "let_relation"}),
    "language:response_language": frozenset({"language"}),
    "length_constraints:number_sentences": frozenset({"num_sentences", "relation"}),
    "length_constraints:number_paragraphs": frozenset({"num_paragraphs"}),
    "length_constraints:number_words": frozenset({"num_words", "relation"}),
    "length_constraints:nth_paragraph_first_word": frozenset(
        {"num_paragraphs", "nth_paragraph", "first_word"}
    ),
    "detectable_content:number_placeholders": frozenset({"num_placeholders"}),
    "detectable_content:postscript": frozenset({"postscript_marker"}),
    "detectable_format:number_bullet_lists": frozenset({"num_bullets"}),
    "detectable_format:constrained_response": frozenset(),
    "detectable_format:number_highlighted_sections": frozenset({"num_highlights"}),
    "detectable_format:multiple_sections": frozenset({"section_spliter", "num_sections"}),
    "detectable_format:json_format": frozenset(),
    "detectable_format:title": frozenset(),
    "combination:two_responses": frozenset(),
    "combination:repeat_prompt": frozenset({"prompt_to_repeat"}),
    "startend:end_checker": frozenset({"end_phrase"}),
    "startend:quotation": frozenset(),
    "change_case:capital_word_frequency": frozenset({"capital_frequency", "capital_relation"}),
    "change_case:english_capital": frozenset(),
    "change_case:english_lowercase": frozenset(),
    "punctuation:no_comma": frozenset(),
}
_OPPOSITES = {"change_case:english_capital", "change_case:english_lowercase"}


def _ifeval_like(row: Mapping[str, Any]) -> AdaptedRow:
    """Configuration `filtered` has the arguments of each constraint, `default` one mapping for all of a row."""
    prompt = column(row, "prompt" if "prompt" in row else "instruction")
    ids = sequence(row, "instruction_id_list")
    given = decoded(column(row, "kwargs"), "kwargs")
    if isinstance(given, Mapping):
        given = [given] * len(ids)
    if not isinstance(given, list) or len(given) != len(ids):
        raise RowFaultError(
            "invalid_value",
            f"'kwargs' has not one mapping for each of {len(ids)} constraints: {shown(given)}",
        )
    if not ids:
        raise RowFaultError("invalid_constraints", "`instruction_id_list` is empty")
    if not all(isinstance(id_, str) for id_ in ids):
        raise RowFaultError("invalid_constraints", f"ids that are no texts: {shown(ids)}")
    if set(ids) >= _OPPOSITES:
        raise RowFaultError(
            "invalid_constraints", "contradict each other: " + ", ".join(sorted(_OPPOSITES))
        )
    constraints = []
    for id_, arguments in zip(ids, given, strict=True):
        if not isinstance(arguments or {}, Mapping):
            raise RowFaultError(
                "invalid_constraints", f"the arguments of {id_} are no mapping: {shown(arguments)}"
            )
        taken = ARGUMENTS.get(id_, frozenset())
        kept = {name: value for name, value in (arguments or {}).items() if name in taken}
        constraints.append({"id": id_, "kwargs": kept})
    return {"prompt": prompt, "constraints": constraints}


def _autoif(row: Mapping[str, Any]) -> AdaptedRow:
    """The checks of a row are Python functions, which no verifier of stillhouse runs: the judge writes demands."""
    return {"messages": [turn for turn in turns(row, "messages") if turn.get("role") != "system"]}


ADAPTERS = [
    Adapter(
        name="ifeval_like",
        repo="argilla/ifeval-like-data",
        revision=None,
        config="filtered",
        split="train",
        license="LicenseRef-Qwen",
        category="if",
        adapt=_ifeval_like,
        selection="arguments that a checker does not take are left out; a row where one is missing, which the checker "
        "would draw at random, is rejected",
    ),
    Adapter(
        name="autoif",
        repo="Post-training-Data-Flywheel/AutoIF-instruct-61k-with-funcs",
        revision=None,
        config=None,
        split="train",
        license="unknown",
        category="if",
        adapt=_autoif,
        selection="all rows, without their check functions: the judge writes demands and grades them",
        caveat="the check functions (`eval_funcs`) are not run",
    ),
]
