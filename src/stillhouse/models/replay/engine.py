"""Returns existing answers in place of a model's.

The answers are the worked solutions of the queries, or rows of files (`rows.py`). Nothing is sampled, so nothing is
stored in the journal. `NoAnswerError` is raised for a query without an answer, and for more attempts than there are
answers. The answers are held in a temporary file, because published sets have tens of gigabytes.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stillhouse.journal.stores import warn
from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, Request
from stillhouse.models.replay.rows import (
    SHOWN_CHARS,
    ReplayAnswer,
    ReplaySource,
    SourceRow,
    conversation_key,
)
from stillhouse.models.weights import cache_folder
from stillhouse.params.teacher import Replay, ReplaySolutions
from stillhouse.records import Query, Trace, assistant_text

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE queries (id TEXT PRIMARY KEY, key TEXT NOT NULL, prompt TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX queries_by_key ON queries (key);
CREATE TABLE answers (
    query_id TEXT, attempt INTEGER, answer BLOB NOT NULL, PRIMARY KEY (query_id, attempt)
) WITHOUT ROWID;
CREATE TABLE unmatched (place TEXT NOT NULL, asked TEXT NOT NULL);
"""
_QUERIES_WITHOUT_ANSWER = (
    "SELECT id, prompt FROM queries WHERE id NOT IN (SELECT query_id FROM answers) ORDER BY id"
)
_ANSWERS_WITHOUT_QUERY = "SELECT place, asked FROM unmatched ORDER BY rowid"
# Of the queries; below it, the questions of the file are probably written in another way.
FEW_MATCHED = 0.5
_decode = msgspec.json.Decoder(ReplayAnswer).decode


class ReplayEngine:
    """Returns the answers to a set of queries, matched by the query's id or by the text of its turns."""

    journaled = False
    concurrency = 64

    def __init__(
        self,
        model: str,
        tokenizer: ChatTokenizer,
        replay: Replay,
        queries: Callable[[], Iterable[Query]],
    ) -> None:
        """Read the answers to `queries` into a temporary file.

        Args:
            model: The name of the model that gave the answers.
            tokenizer: Counts tokens if the rows have no counts.
            replay: The source of the answers.
            queries: Returns the queries of the run; called once or twice.

        Raises:
            EngineError: a file is missing or broken, a row cannot be read, or no answer of the files belongs to a
                query; the message names it.
        """
        self._tokenizer = tokenizer
        self._store = _temporary_database()
        self._rows = self._answers = 0
        if isinstance(replay, ReplaySolutions):
            facts: dict[str, Any] = {"source": "worked solutions of the queries"}
            if replay.write != "reasoning":
                facts["write"] = replay.write
            self._load(queries(), _solutions(queries(), replay))
        else:
            source = ReplaySource(replay)
            facts = source.fingerprint
            self._load(queries(), source.rows())
            self._require_matches(source.name)
        self.fingerprint: dict[str, Any] = {
            "engine": "replay",
            "model": model,
            **facts,
            **tokenizer.fingerprint,
        }

    def render(self, request: Request) -> str:
        """Return the last user turn; a replay renders no prompt."""
        return request.messages[-1].content

    async def complete(self, request: Request) -> Completion:
        """Return the answer to a query in one attempt.

        Raises:
            NoAnswerError: there is no such answer.
        """
        found = self._store.execute(
            "SELECT answer FROM answers WHERE query_id = ? ORDER BY attempt LIMIT 1 OFFSET ?",
            (request.query_id, request.attempt),
        ).fetchone()
        if found is None:
            raise NoAnswerError(
                f"query {request.query_id}: no answer to replay as attempt {request.attempt}"
            )
        answer = _decode(found[0])
        return Completion(
            text=answer.text,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            prompt_tokens=self._prompt_tokens(answer, request),
            completion_tokens=self._completion_tokens(answer),
        )

    def write_unmatched(self, path: Path) -> dict[str, int]:
        """Write queries without an answer and answers without a query as JSONL, and return their numbers.

        A line has `kind` (`query` or `answer`), `place` (the query's id, or file and row) and `asked` (the start of the
        prompt).
        """
        queries = self._store.execute(_QUERIES_WITHOUT_ANSWER)
        answers = self._store.execute(_ANSWERS_WITHOUT_QUERY)
        counts = {"queries": 0, "answers": 0}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for kind, name, rows in (("query", "queries", queries), ("answer", "answers", answers)):
                for place, asked in rows:
                    line = {"kind": kind, "place": place, "asked": asked}
                    file.write(msgspec.json.encode(line) + b"\n")
                    counts[name] += 1
        return {"rows": self._rows, "matched": self._answers, **counts}

    async def close(self) -> None:
        """Remove the temporary file."""
        self._store.close()

    def _load(self, queries: Iterable[Query], rows: Iterator[SourceRow]) -> None:
        self._store.executemany(
            "INSERT INTO queries VALUES (?, ?, ?)",
            ((q.id, conversation_key(q.messages), q.prompt[:SHOWN_CHARS]) for q in queries),
        )
        for row in rows:
            self._rows += 1
            for answer in row.answers:
                self._keep(answer, row)
        self._store.commit()

    def _require_matches(self, name: str) -> None:
        """Raise if no answer of the files belongs to a query, and warn if less than half of the queries have one."""
        (queries,) = self._store.execute("SELECT COUNT(*) FROM queries").fetchone()
        (answered,) = self._store.execute("SELECT COUNT(DISTINCT query_id) FROM answers").fetchone()
        if answered >= FEW_MATCHED * queries:
            return
        _, query = self._store.execute(_QUERIES_WITHOUT_ANSWER).fetchone()
        told = f"replay of {name}: {answered} of {queries} queries have an answer. Without one: {query!r}"
        place, asked = self._store.execute(_ANSWERS_WITHOUT_QUERY).fetchone() or (name, None)
        if asked is not None:
            told += f"; without a query, {place}: {asked!r}"
        if answered:
            warn(f"warning: {told}")
            return
        raise EngineError(
            f"{told}. A question must have the text of the query: map its column under `columns`, or name what stands "
            "around it under `strip_prefixes` or `strip_suffixes`"
        )

    def _keep(self, answer: ReplayAnswer, row: SourceRow) -> None:
        ids = self._store.execute(
            "SELECT id FROM queries WHERE id = ?1 UNION SELECT id FROM queries WHERE key = ?1",
            (answer.key,),
        ).fetchall()
        if not ids:
            self._store.execute("INSERT INTO unmatched VALUES (?, ?)", (row.place, row.asked))
            return
        self._answers += 1
        for (query_id,) in ids:
            attempt = answer.attempt
            if attempt is None:
                (attempt,) = self._store.execute(
                    "SELECT COALESCE(MAX(attempt) + 1, 0) FROM answers WHERE query_id = ?",
                    (query_id,),
                ).fetchone()
            try:
                self._store.execute(
                    "INSERT INTO answers VALUES (?, ?, ?)",
                    (query_id, attempt, msgspec.json.encode(answer)),
                )
            except sqlite3.IntegrityError:
                raise EngineError(
                    f"{row.place}: a second answer to {row.asked[:80]!r} as attempt {attempt}; "
                    "number the attempts, or leave `attempt` out"
                ) from None

    def _prompt_tokens(self, answer: ReplayAnswer, request: Request) -> int:
        if answer.prompt_tokens is not None:
            return answer.prompt_tokens
        return len(self._tokenizer.encode(self._tokenizer.render(request.messages)))

    def _completion_tokens(self, answer: ReplayAnswer) -> int:
        if answer.completion_tokens is not None:
            return answer.completion_tokens
        return len(self._tokenizer.encode((answer.reasoning or "") + answer.text))


def _solutions(queries: Iterable[Query], replay: ReplaySolutions) -> Iterator[SourceRow]:
    for query in queries:
        if query.solution is not None:
            text = _written(query.solution, replay)
            yield SourceRow(
                query.id, query.prompt, [ReplayAnswer(query.id, 0, text, None, "stop", None, None)]
            )


def _written(solution: Trace, replay: ReplaySolutions) -> str:
    match replay.write:
        case "reasoning":
            return assistant_text(solution.think, solution.answer)
        case "steps":
            return f"{solution.think} {solution.answer}"
        case "result":
            return solution.answer
        case "result_first":
            return f"{solution.answer} {solution.think}"


def _temporary_database() -> sqlite3.Connection:
    """Return a database in an unnamed temporary file, which is deleted when the process ends."""
    path = cache_folder() / f"replay.{os.getpid()}.{os.urandom(4).hex()}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        store = sqlite3.connect(path)
        store.executescript(_SCHEMA)
        path.unlink()
    except (OSError, sqlite3.Error) as error:
        raise EngineError(f"{path}: cannot hold the answers to replay: {error}") from None
    return store
