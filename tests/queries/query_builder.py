"""Queries for the tests of this folder."""

from stillhouse.records import Message, Query, query_id


def make_query(
    text: str, source: str = "made", category: str = "other", turns: tuple[str, ...] = ()
) -> Query:
    """Return a query with `text` as the last user turn, after earlier turns of user and assistant."""
    roles = ["user", "assistant"] * len(turns)
    earlier = [
        Message(role=role, content=turn)  # type: ignore[arg-type]
        for role, turn in zip(roles, turns, strict=False)
    ]
    messages = [*earlier, Message(role="user", content=text)]
    return Query(
        id=query_id(messages),
        category=category,  # type: ignore[arg-type]
        source=source,
        license="apache-2.0",
        messages=messages,
        ground_truth="1",
    )
