"""Reads existing answers row by row from JSONL and Parquet files or a Hub data set.

A row has these columns. A mapping gives their names in the files if they differ:

| column | holds |
|---|---|
| `query_id` | the id of the query in our query set |
| `prompt` | the text of the query's only user turn |
| `messages` | a conversation as role and content, or from and value; without `text` its last turn is the answer |
| `text` | the answer, or a list of answers of several attempts |
| `reasoning` | the reasoning, if it is separate from the answer; a list if `text` is one |
| `attempt` | the number of the attempt from 0; without it, rows count in their order |
| `finish_reason` | why the answer ended, or a list of it; without it, all answers are complete |
| `prompt_tokens`, `completion_tokens` | counts of the model's own tokenizer; otherwise our tokenizer counts |

Releases of stillhouse and the AM sets are read without a mapping (`stillhouse.known_layouts`).

Each row needs `query_id`, `prompt` or `messages`, and `text` or `messages` that end with the answer. The reasoning may
also be in that last turn, as `reasoning_content`, `reasoning` or `thinking`, or as a part of its content.

Finish reasons are read as those of endpoints (`chat_reply.finish_name`).
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stillhouse.hashing import file_sha256
from stillhouse.known_layouts import answer_columns
from stillhouse.models.chat_reply import finish_name
from stillhouse.models.engine import EngineError
from stillhouse.models.replay.files import fetched, numbered_rows
from stillhouse.params.teacher import ReplayFile, ReplayHub
from stillhouse.records import ROLES, FinishReason, Message, nfc, query_id
from stillhouse.where import rows_where

COLUMNS = (
    "query_id",
    "prompt",
    "messages",
    "text",
    "reasoning",
    "attempt",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
)
SHOWN_CHARS = 200


class ReplayAnswer(NamedTuple):
    """One answer of a row. `key` identifies its query: an id, or the hash of a conversation (`conversation_key`)."""

    key: str
    attempt: int | None
    text: str
    reasoning: str | None
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None


class SourceRow(NamedTuple):
    """A row's place (file and number), the start of its prompt, and its answers."""

    place: str
    asked: str
    answers: list[ReplayAnswer]


def conversation_key(messages: list[Message]) -> str:
    """Return the key that a conversation is matched by: a hash of its turns up to the last user turn.

    System prompts are left out: a data set may or may not repeat the system prompt of its teacher.
    """
    turns = [message for message in messages if message.role != "system"]
    while turns and turns[-1].role != "user":
        turns.pop()
    plain = [Message(role=turn.role, content=nfc(turn.content)) for turn in turns]
    return query_id(plain)


class ReplaySource:
    """The files of one source. `name` and `sha256` identify its content."""

    def __init__(self, source: ReplayFile | ReplayHub) -> None:
        """Find the files; files of the Hub are downloaded.

        Raises:
            EngineError: the mapping has an unknown column, a file is missing, or the download failed.
        """
        if unknown := source.columns.keys() - set(COLUMNS):
            raise EngineError(
                f"replay.columns: unknown {', '.join(sorted(unknown))}; can be mapped: {', '.join(COLUMNS)}"
            )
        self.columns = dict(source.columns)
        self._source = source
        if isinstance(source, ReplayFile):
            self.name = source.path
            self._files = {source.path: Path(source.path)}
        else:
            self.name = f"{source.repo}@{source.revision}"
            self._files = fetched(source)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The name of the source, the hashes of its files, and the parameters that select and map its rows."""
        try:
            digests = {name: file_sha256(path) for name, path in self._files.items()}
        except OSError as error:
            raise EngineError(
                f"{self.name}: cannot be read as JSONL or Parquet answers: {error}"
            ) from None
        chosen = self._source.model_dump(
            include={"where", "limit", "strip_prefixes", "strip_suffixes"}, exclude_defaults=True
        )
        return {"source": self.name, "files_sha256": digests, "columns": self.columns, **chosen}

    def rows(self) -> Iterator[SourceRow]:
        """Yield all rows in the order of the files.

        Raises:
            EngineError: a file is broken, a row lacks a column or has a value of a wrong type, or no row has a mapped
                column; the message names file, row and column.
        """
        source, rows = self._source, self._plain_rows()
        if source.where:
            rows = rows_where(rows, source.where, f"replay of {self.name}", EngineError)
        seen: set[str] = set()
        for place, row in itertools.islice(rows, source.limit):
            seen.update(row)
            yield self._row(row, place)
        for column, own in self.columns.items():
            if own not in seen:
                raise EngineError(
                    f"replay.columns.{column}: no row of {self.name} has {own!r}; "
                    f"found: {', '.join(sorted(seen)) or 'no rows'}"
                )

    def _plain_rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, path in self._files.items():
            for number, row in numbered_rows(path):
                place = f"{name}: row {number}"
                if not isinstance(row, dict):
                    raise EngineError(f"{place}: a JSON object was expected")
                yield place, row

    def _row(self, row: Mapping[str, Any], place: str) -> SourceRow:
        known = None if self.columns else answer_columns(row)
        mapping = self.columns or {name: name for name in COLUMNS}
        row = row if known is None else known
        values = {name: row.get(mapping[name]) if name in mapping else None for name in COLUMNS}
        try:
            key, asked = self._key(values)
            texts, reasonings = _texts(values)
            reasons = _finish_reasons(values["finish_reason"], len(texts))
            numbers = {
                name: _whole(values[name], name)
                for name in ("attempt", "prompt_tokens", "completion_tokens")
            }
        except (ValueError, TypeError) as error:
            found = ", ".join(map(str, row))
            raise EngineError(f"{place}: {error}; found the keys {found}") from None
        if len(texts) > 1 and numbers["attempt"] is not None:
            raise EngineError(
                f"{place}: `attempt` numbers one answer, but `text` lists {len(texts)}"
            )
        answers = [
            ReplayAnswer(key, text=text, reasoning=reasoning, finish_reason=reason, **numbers)
            for text, reasoning, reason in zip(texts, reasonings, reasons, strict=True)
        ]
        return SourceRow(place, asked[:SHOWN_CHARS], answers)

    def _key(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the key of a row's query, and the text that names the query in messages."""
        if values["query_id"] is not None:
            return _string(values["query_id"], "query_id"), str(values["query_id"])
        if values["prompt"] is not None:
            turns = [Message(role="user", content=_string(values["prompt"], "prompt"))]
        else:
            turns = [turn.message for turn in _turns(values["messages"])]
        asked = [turn.content for turn in turns if turn.role == "user"]
        if not asked:
            raise ValueError("needs `query_id`, `prompt`, or `messages` with a user turn")
        return conversation_key([self._without_frame(turn) for turn in turns]), asked[-1]

    def _without_frame(self, turn: Message) -> Message:
        """Return a turn without what the file has around its questions and the queries have not."""
        if turn.role != "user":
            return turn
        content, source = turn.content, self._source
        before = next((text for text in source.strip_prefixes if content.startswith(text)), "")
        content = content.removeprefix(before)
        after = next((text for text in source.strip_suffixes if content.endswith(text)), "")
        return Message(role="user", content=content.removesuffix(after))


def _texts(values: Mapping[str, Any]) -> tuple[list[str], list[str | None]]:
    """Return the answers of a row, each with its reasoning if that is separate."""
    text, reasoning = values["text"], values["reasoning"]
    if text is None:
        turns = _turns(values["messages"])
        if not turns or turns[-1].message.role != "assistant":
            raise ValueError("needs `text`, or `messages` that end with the assistant's turn")
        text = turns[-1].message.content
        reasoning = turns[-1].reasoning if reasoning is None else reasoning
    texts = [_string(one, "text") for one in (text if isinstance(text, list) else [text])]
    if reasoning is None:
        return texts, [None] * len(texts)
    reasonings = reasoning if isinstance(reasoning, list) else [reasoning]
    if len(reasonings) != len(texts):
        raise ValueError(f"`reasoning` has {len(reasonings)} entries and `text` {len(texts)}")
    return texts, [None if one is None else _string(one, "reasoning") for one in reasonings]


class _Turn(NamedTuple):
    message: Message
    reasoning: str | None


def _turns(messages: Any) -> list[_Turn]:
    if messages is None:
        return []
    turns = []
    for turn in messages:
        role = turn.get("role") or turn.get("from") if isinstance(turn, dict) else None
        if role not in ROLES:
            raise ValueError(
                f"`messages` must list turns of {', '.join(ROLES)} with role and content, or from and value"
            )
        content = turn["content"] if "content" in turn else turn.get("value")
        said, thought = _parts(content) if isinstance(content, list) else (content, None)
        named = (turn.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
        reasoning = next((text for text in named if text is not None), thought)
        message = {"role": ROLES[role], "content": _string(said, "messages")}
        turns.append(
            _Turn(
                msgspec.convert(message, Message),
                None if reasoning is None else _string(reasoning, "messages"),
            )
        )
    return turns


def _parts(content: list[Any]) -> tuple[Any, Any]:
    """Return text and reasoning of a content in parts: {type: text, text} and {type: thinking, thinking}."""
    found: dict[str, list[str]] = {"text": [], "thinking": []}
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in found:
            raise ValueError("a content in parts may have those of type text and thinking")
        inner = part.get(kind)
        found[kind].append(
            _string(_parts(inner)[0] if isinstance(inner, list) else inner, "messages")
        )
    return "".join(found["text"]), "\n".join(found["thinking"]) or None


def _string(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{column}` must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{column}` has half of a surrogate pair, which is no text") from None
    return value


def _finish_reasons(value: Any, answers: int) -> list[FinishReason]:
    reasons = value if isinstance(value, list) else [value] * answers
    if len(reasons) != answers:
        raise ValueError(f"`finish_reason` has {len(reasons)} entries and `text` {answers}")
    return [
        "stop" if one is None else finish_name(_string(one, "finish_reason")) for one in reasons
    ]


def _whole(value: Any, column: str) -> int | None:
    # Tables without a type for whole numbers that may be missing have 3.0 for 3, and NaN for none.
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise TypeError(f"a whole number as `{column}` was expected, found {value!r}")
    return value
