"""Adapters of public sets of conversations and free questions. A judge or a reward model grades their answers."""

from collections.abc import Mapping
from typing import Any

from stillhouse.queries.adapters.base import AdaptedRow, Adapter
from stillhouse.queries.adapters.fields import column, text, turns


def _conversations(row: Mapping[str, Any]) -> AdaptedRow:
    return {"messages": turns(row, "conversations")}


def _messages(row: Mapping[str, Any]) -> AdaptedRow:
    return {"messages": turns(row, "messages")}


def _evol_instruct(row: Mapping[str, Any]) -> AdaptedRow:
    return {"prompt": column(row, "instruction")}


def _open_orca(row: Mapping[str, Any]) -> AdaptedRow:
    """The system prompt says how to answer ("to a five-year-old"), so it is part of the question."""
    system = text(row, "system_prompt")
    asked = [{"role": "user", "content": text(row, "question")}]
    return {"messages": [{"role": "system", "content": system}, *asked] if system else asked}


def _natural_reasoning(row: Mapping[str, Any]) -> AdaptedRow:
    """Many rows have an empty reference, so the category is `other`; `category: science` takes those with one."""
    return {"prompt": column(row, "question"), "ground_truth": text(row, "reference_answer")}


ADAPTERS = [
    Adapter(
        name="infinity_instruct",
        repo="BAAI/Infinity-Instruct",
        revision=None,
        config="0625",
        split="train",
        license="cc-by-sa-4.0",
        category="multiturn",
        adapt=_conversations,
        caveat="gated: accept its terms on the Hub and run `hf auth login`",
    ),
    Adapter(
        name="openhermes",
        repo="teknium/OpenHermes-2.5",
        revision=None,
        config=None,
        split="train",
        license="unknown",
        category="other",
        adapt=_conversations,
    ),
    Adapter(
        name="ultrachat",
        repo="HuggingFaceH4/ultrachat_200k",
        revision=None,
        config=None,
        split="train_sft",
        license="mit",
        category="multiturn",
        adapt=_messages,
    ),
    Adapter(
        name="tulu_3",
        repo="allenai/tulu-3-sft-mixture",
        revision=None,
        config=None,
        split="train",
        license="odc-by",
        category="multiturn",
        adapt=_messages,
    ),
    Adapter(
        name="evol_instruct",
        repo="WizardLMTeam/WizardLM_evol_instruct_70k",
        revision=None,
        config=None,
        split="train",
        license="mit",
        category="other",
        adapt=_evol_instruct,
    ),
    Adapter(
        name="open_orca",
        repo="Open-Orca/OpenOrca",
        revision=None,
        config=None,
        split="train",
        license="mit",
        category="other",
        adapt=_open_orca,
        selection="all rows; the system prompt is kept, because it says how to answer",
    ),
    Adapter(
        name="natural_reasoning",
        repo="facebook/natural_reasoning",
        revision=None,
        config=None,
        split="train",
        license="cc-by-nc-4.0",
        category="other",
        adapt=_natural_reasoning,
        selection="all rows; with `category: science` those with a reference",
    ),
]
