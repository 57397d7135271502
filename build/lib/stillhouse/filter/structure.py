"""Structure of a conversation: turns alternate, the last is the assistant's, reasoning and answer are apart.

Paper section 2.3: an even number of turns, the last one the assistant's, explicit think and answer segments.
"""

from stillhouse.records import Query, Response

_MARKS = ("<think>", "</think>", "<answer>", "</answer>")


def structure_fault(query: Query, response: Response, *, require_think: bool) -> str | None:
    """Return why the conversation is malformed, or None."""
    roles = [m.role for m in query.messages if m.role != "system"] + ["assistant"]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        return "turns"
    if not response.answer:
        return "no_answer"
    if require_think and not response.think:
        return "no_think"
    if any(mark in part for mark in _MARKS for part in (response.think, response.answer)):
        return "stray_mark"
    return None
