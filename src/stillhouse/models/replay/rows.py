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
| `finish_reason` | `stop` or `length`; `stop` without it |
| `prompt_tokens`, `completion_tokens` | counts of the model's own tokenizer; otherwise our tokenizer counts |

Releases of stillhouse and the AM sets are read without a mapping (`stillhouse.known_layouts`).

Each row needs `query_id`, `prompt` or `messages`, and `text` or `messages` that end with the answer.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.hashing import file_sha256
from stillhouse.known_layouts import answer_columns
from stillhouse.models.engine import EngineError
from stillhouse.params.teacher import ReplayFile, ReplayHub
from stillhouse.records import ROLES, FinishReason, Message, nfc, query_id

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
SUFFIXES = (".jsonl", ".parquet")
BATCH_ROWS = 100
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
        if isinstance(source, ReplayFile):
            self.name = source.path
            self._files = {source.path: Path(source.path)}
        else:
            self.name = f"{source.repo}@{source.revision}"
            self._files = _fetched(source)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The name of the source, the hashes of its files, and the mapping of columns."""
        try:
            digests = {name: file_sha256(path) for name, path in self._files.items()}
        except OSError as error:
            raise EngineError(
                f"{self.name}: cannot be read as JSONL or Parquet answers: {error}"
            ) from None
        return {"source": self.name, "files_sha256": digests, "columns": self.columns}

    def rows(self) -> Iterator[SourceRow]:
        """Yield all rows in the order of the files.

        Raises:
            EngineError: a file is broken, a row lacks a column or has a value of a wrong type, or no row has a mapped
                column; the message names file, row and column.
        """
        seen: set[str] = set()
        for name, path in self._files.items():
            for number, row in enumerate(_plain_rows(path), start=1):
                place = f"{name}: row {number}"
                if not isinstance(row, dict):
                    raise EngineError(f"{place}: a JSON object was expected")
                seen.update(row)
                yield self._row(row, place)
        for column, own in self.columns.items():
            if own not in seen:
                raise EngineError(
                    f"replay.columns.{column}: no row of {self.name} has {own!r}; "
                    f"found: {', '.join(sorted(seen)) or 'no rows'}"
                )

    def _row(self, row: Mapping[str, Any], place: str) -> SourceRow:
        known = None if self.columns else answer_columns(row)
        mapping = self.columns or {name: name for name in COLUMNS}
        row = row if known is None else known
        values = {name: row.get(mapping[name]) if name in mapping else None for name in COLUMNS}
        try:
            key, asked = _key(values)
            texts, reasonings = _texts(values)
            finish = _finish(values["finish_reason"])
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
            ReplayAnswer(key, text=text, reasoning=reasoning, finish_reason=finish, **numbers)
            for text, reasoning in zip(texts, reasonings, strict=True)
        ]
        return SourceRow(place, asked[:SHOWN_CHARS], answers)


def _key(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key of a row's query, and the text that names the query in messages."""
    if values["query_id"] is not None:
        return _string(values["query_id"], "query_id"), str(values["query_id"])
    if values["prompt"] is not None:
        prompt = _string(values["prompt"], "prompt")
        return conversation_key([Message(role="user", content=prompt)]), prompt
    turns = _turns(values["messages"])
    asked = [turn.content for turn in turns if turn.role == "user"]
    if not asked:
        raise ValueError("needs `query_id`, `prompt`, or `messages` with a user turn")
    return conversation_key(turns), asked[-1]


def _texts(values: Mapping[str, Any]) -> tuple[list[str], list[str | None]]:
    """Return the answers of a row, each with its reasoning if that is separate."""
    text = values["text"]
    if text is None:
        turns = _turns(values["messages"])
        if not turns or turns[-1].role != "assistant":
            raise ValueError("needs `text`, or `messages` that end with the assistant's turn")
        text = turns[-1].content
    texts = [_string(one, "text") for one in (text if isinstance(text, list) else [text])]
    reasoning = values["reasoning"]
    if reasoning is None:
        return texts, [None] * len(texts)
    reasonings = reasoning if isinstance(reasoning, list) else [reasoning]
    if len(reasonings) != len(texts):
        raise ValueError(f"`reasoning` has {len(reasonings)} entries and `text` {len(texts)}")
    return texts, [None if one is None else _string(one, "reasoning") for one in reasonings]


def _turns(messages: Any) -> list[Message]:
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
        turns.append(
            msgspec.convert({"role": ROLES[role], "content": _string(content, "messages")}, Message)
        )
    return turns


def _string(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{column}` must be text")
    return value


def _finish(value: Any) -> FinishReason:
    match value:
        case None | "stop":
            return "stop"
        case "length":
            return "length"
        case _:
            raise ValueError(f"`finish_reason` is {value!r}; stop or length was expected")


def _whole(value: Any, column: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise TypeError(f"a whole number as `{column}` was expected, found {value!r}")
    return value


def _plain_rows(path: Path) -> Iterator[Any]:
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                    yield from batch.to_pylist()
            return
        decode = msgspec.json.Decoder().decode
        with path.open("rb") as lines:
            for line in lines:
                yield decode(line)
    except (OSError, pa.ArrowException, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: cannot be read as JSONL or Parquet answers: {error}") from None


def _fetched(source: ReplayHub) -> dict[str, Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = f"{source.repo}@{source.revision}"
    try:
        folder = Path(
            snapshot_download(
                source.repo,
                repo_type="dataset",
                revision=source.revision,
                allow_patterns=source.files,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineError(f"replay: {where} cannot be fetched from the Hub: {error}") from None
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in SUFFIXES)
    chosen = [n for n in names if any(fnmatch.fnmatch(n, pattern) for pattern in source.files)]
    if not chosen:
        raise EngineError(
            f"replay: {where} has no {' or '.join(SUFFIXES)} file that matches {', '.join(source.files)}; fix `files`"
        )
    return {name: folder / name for name in chosen}
