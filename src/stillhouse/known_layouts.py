"""Published data sets whose rows are read without a mapping of columns: as queries, and as answers to replay.

| set | its rows have |
|---|---|
| a release of stillhouse | `query_id`, `source_license`, the chat with the teacher's answer, `think` and `answer` |
| the AM sets (a-m-team) | `conversations` of `from` and `value`, with facts of the question under `info` of its turn |
"""

from collections.abc import Mapping
from typing import Any

# What the AM sets call the categories that have another name here.
_CATEGORIES = {
    "instruction follow": "if",
    "instruction_follow": "if",
    "instruction following": "if",
    "ifeval": "if",
    "multi-turn": "multiturn",
    "multi_turn": "multiturn",
    "others": "other",
    "general chat": "other",
}


def is_release_row(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of `data`, `all_attempts` or `parallel` of a release."""
    return "query_id" in row and "source_license" in row


def is_am_row(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the layout of the AM sets."""
    return bool(_am_info(row))


def query_columns(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a row of a known layout with the columns of a query, and its `category`; null for another layout."""
    if is_release_row(row):
        found = {name: value for name, value in row.items() if name != "license"}
        chat = row.get("messages") if row.get("messages") is not None else row.get("prompt")
        return found | {"messages": chat, "prompt": None, "license": row["source_license"]}
    info = _am_info(row)
    if not info:
        return None
    category = info.get("category")
    return {
        "messages": row["conversations"],
        "ground_truth": info.get("ground_truth"),
        "tests": info.get("test_case"),
        "constraints": info.get("instruction_constrain"),
        "category": _CATEGORIES.get(str(category).casefold(), category),
    }


def answer_columns(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a row of a known layout with the columns of an answer to replay; null for another layout.

    The answer of a release is apart from its reasoning; the AM sets have both in one text, between tags.
    """
    if is_release_row(row) and isinstance(row.get("answer"), str):
        return {
            "query_id": row["query_id"],
            "text": row["answer"],
            "reasoning": row.get("think") or None,
            "attempt": row.get("attempt") if "state" in row else None,
            "finish_reason": row.get("finish_reason"),
            "completion_tokens": row.get("tokens"),
        }
    if _am_info(row):
        return {"messages": row["conversations"]}
    return None


def _am_info(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts of the question, which are at its turn."""
    turns = row.get("conversations")
    if not isinstance(turns, list):
        return {}
    for turn in turns:
        info = turn.get("info") if isinstance(turn, Mapping) else None
        if isinstance(info, Mapping) and ("ground_truth" in info or "category" in info):
            return info
    return {}
