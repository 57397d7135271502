"""Replay: answers that exist already stand in for a teacher.

Two kinds: the worked solutions that the queries carry (`solutions`), and a JSONL or Parquet file of answers with the
columns `query_id` or `prompt`, `text`, and if wanted `attempt` and `finish_reason`. Nothing is sampled, so nothing is
journaled; a query without an answer, or asked more often than there are answers, raises `NoAnswerError`.
"""

import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, Request
from stillhouse.records import FinishReason, Query, assistant_text


class ReplayEngine:
    """Plays back answers by query id, or by the text of the last user turn."""

    journaled = False
    concurrency = 64

    def __init__(
        self,
        model: str,
        tokenizer: ChatTokenizer,
        answers: dict[str, list[tuple[str, str]]],
        source: str,
    ) -> None:
        """Take answers as (text, finish reason) per query id or NFC prompt; `tokenizer` counts their tokens."""
        self.fingerprint: dict[str, Any] = {
            "engine": "replay",
            "model": model,
            "source": source,
            **tokenizer.fingerprint,
        }
        self._answers = answers
        self._tokenizer = tokenizer

    @classmethod
    def of_solutions(
        cls, model: str, tokenizer: ChatTokenizer, queries: Iterable[Query]
    ) -> "ReplayEngine":
        """Replay the worked solutions that queries carry."""
        answers = {
            query.id: [(assistant_text(query.solution.think, query.solution.answer), "stop")]
            for query in queries
            if query.solution is not None
        }
        return cls(model, tokenizer, answers, "worked solutions of the queries")

    @classmethod
    def of_file(cls, model: str, tokenizer: ChatTokenizer, path: Path) -> "ReplayEngine":
        """Replay a JSONL or Parquet file.

        Raises:
            EngineError: the file is missing or broken, or a row lacks `text` or both `query_id` and `prompt`.
        """
        found: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
        for number, row in enumerate(_rows(path), start=1):
            key = row.get("query_id") or row.get("prompt")
            text = row.get("text")
            finish = row.get("finish_reason") or "stop"
            attempt = row.get("attempt")
            if (
                not isinstance(key, str)
                or not isinstance(text, str)
                or finish not in ("stop", "length")
                or not isinstance(attempt, int | None)
            ):
                raise EngineError(
                    f"{path}: row {number}: needs `query_id` or `prompt`, and `text`, all text, and a `finish_reason` "
                    f"of stop or length and a whole number as `attempt` if any; "
                    f"found the keys {', '.join(map(str, row))}"
                )
            attempts = found[unicodedata.normalize("NFC", key)]
            number_of = len(attempts) if attempt is None else attempt
            if number_of in attempts:
                raise EngineError(
                    f"{path}: row {number}: a second answer to {key[:80]!r} as attempt {number_of}; "
                    "number the attempts, or leave `attempt` out"
                )
            attempts[number_of] = (text, finish)
        answers = {key: [a[i] for i in sorted(a)] for key, a in found.items()}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(model, tokenizer, answers, f"{path.name} sha256:{digest}")

    def render(self, request: Request) -> str:
        """Return the last user turn: nothing is rendered for a replay."""
        return request.messages[-1].content

    async def complete(self, request: Request) -> Completion:
        """Return the answer kept for this query and attempt.

        Raises:
            NoAnswerError: there is none.
        """
        prompt = unicodedata.normalize("NFC", self.render(request))
        answers = self._answers.get(request.query_id) or self._answers.get(prompt) or []
        if request.attempt >= len(answers):
            raise NoAnswerError(
                f"query {request.query_id}: {len(answers)} answers to replay, attempt {request.attempt} asked for"
            )
        text, finish = answers[request.attempt]
        finish_reason: FinishReason = "length" if finish == "length" else "stop"
        return Completion(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=len(self._tokenizer.encode(self._tokenizer.render(request.messages))),
            completion_tokens=len(self._tokenizer.encode(text)),
        )

    async def close(self) -> None:
        """Nothing is held open."""


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1000):
                yield from batch.to_pylist()
            return
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise EngineError(f"{path}: line {number}: a JSON object was expected")
                yield row
    except (OSError, pa.ArrowException, ValueError) as error:
        raise EngineError(f"{path}: cannot be read as JSONL or Parquet answers: {error}") from None
