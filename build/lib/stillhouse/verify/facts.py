"""All that decides a verdict beside query and answer, by the kind of query: part of the key of a stored verdict.

Only what matters to a kind is in its facts, so that a new compiler does not have mathematics graded again. They are
found once, and without a model's weights: a judge is named by what its file says, and that names the weights by their
hash. A verifier's version identifies its code; a test holds the two together.
"""

import hashlib
import json
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import msgspec

from stillhouse.models.declared import declared, declared_reward
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import Query, Response
from stillhouse.verify import demands, judge, pool, reward
from stillhouse.verify.checks import GRADING_VERSION
from stillhouse.verify.code import check as code
from stillhouse.verify.code import packages, sandbox
from stillhouse.verify.custom import find_verifier
from stillhouse.verify.rules import ifeval, math, science

FORMAT = 1  # of what is stored
MATH_PACKAGES = ("mpmath",)  # values of formulas are computed by it
# The last one carries the data of the tokenizer.
IFEVAL_PACKAGES = ("if-verifiable", "langdetect", "nltk", "llama-index-core")
QUERIES_KEPT = (
    256  # whose parts of the key are at hand: attempts at one query come one after the other
)


class _Kind(NamedTuple):
    """What the facts differ by."""

    category: str
    language: str | None
    has_demands: bool
    verifier: str | None


class Facts:
    """The facts of one run's grading."""

    def __init__(self, verify: Verify, judge: Teacher | None) -> None:
        """Take the parameters, and what the judge's file says; null for no judge."""
        self._verify = verify
        self._judge = None if judge is None else _digest(declared(judge))
        marks = verify.reward
        self._reward = None if marks is None else _digest(declared_reward(marks))
        self._hashes: dict[_Kind, Any] = {}
        self._queries: dict[int, tuple[Query, Any]] = {}

    def key(self, query: Query, response: Response) -> bytes:
        """Return the key of the verdict on a response: sha256 over the facts, the query and the answer."""
        key = self._of_query(query).copy()
        # The reason for the end is one of two words, so that no two answers give the same bytes.
        key.update(response.finish_reason.encode() + b"\0")
        key.update(response.answer.encode("utf-8", "surrogatepass"))
        digest: bytes = key.digest()
        return digest

    def of(self, query: Query) -> dict[str, Any]:
        """Return the facts that matter to a query, for JSON."""
        kind = _kind(query)
        found: dict[str, Any] = {
            "format": FORMAT,
            "grading": GRADING_VERSION,
            "pool": pool.VERSION,
            "python": platform.python_version(),
            "cpu_seconds": self._verify.item_cpu_seconds,
        }
        if kind.verifier is not None:
            custom = find_verifier(kind.verifier)
            # The file too, beside the version: an author who edits a verifier may forget to raise it.
            found["custom"] = [custom.name, custom.version, custom.file_sha256]
            return found
        match query.category:
            case "math":
                found["rule"] = math.VERSION
                found["packages"] = versions(MATH_PACKAGES)
                found["judge"] = self._judge_facts(judge.VERSION, self._verify.judge.math)
            case "science":
                found["rule"] = science.VERSION
                found["judge"] = self._judge_facts(judge.VERSION, self._verify.judge.science)
            case "code":
                found["tests"] = code.VERSION
                found["limits"] = self._verify.code.model_dump()
                found["packages"] = packages.mounted(tuple(self._verify.code.packages)).versions
                found["interpreter"] = sandbox.interpreter_version()
                found["compiler"] = _compiler() if kind.language == "cpp" else None
            case "if":
                found["rule"] = ifeval.VERSION
                found["packages"] = versions(IFEVAL_PACKAGES)
                if kind.has_demands:
                    found["judge"] = self._judge_facts(f"{judge.VERSION} {demands.VERSION}")
            case "multiturn" | "other" if self._reward is not None:
                found["reward"] = [reward.VERSION, self._reward]
            case "multiturn" | "other":
                found["judge"] = self._judge_facts(judge.VERSION)
        return found

    def _judge_facts(self, prompts: str, asked: str = "always") -> list[str] | None:
        return None if self._judge is None or asked == "never" else [prompts, asked, self._judge]

    def _of_query(self, query: Query) -> Any:
        """Return the hash of facts and query, to be gone on with."""
        known = self._queries.get(id(query))
        if known is not None and known[0] is query:
            return known[1]
        kind = _kind(query)
        if kind not in self._hashes:
            self._hashes[kind] = hashlib.sha256(_canonical(self.of(query)) + b"\0")
        found = self._hashes[kind].copy()
        found.update(msgspec.json.encode(_read_of(query)) + b"\0")
        if len(self._queries) >= QUERIES_KEPT:
            del self._queries[next(iter(self._queries))]
        self._queries[id(query)] = query, found
        return found


def _read_of(query: Query) -> Any:
    """Return what the verifiers of a query read of it; one of a plugin may read all."""
    if query.verifier is not None:
        return query
    return (
        query.category,
        query.messages,
        query.ground_truth,
        query.language,
        query.setup,
        query.entry_point,
        query.tests,
        query.constraints,
    )


def _kind(query: Query) -> _Kind:
    return _Kind(
        query.category,
        (query.language or "python") if query.category == "code" else None,
        any(constraint.id == demands.DEMAND for constraint in query.constraints),
        query.verifier,
    )


def versions(distributions: tuple[str, ...]) -> dict[str, str | None]:
    """Return the installed versions of Python packages, null where one is not installed."""
    found: dict[str, str | None] = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _compiler() -> str | None:
    """Return the first line of what g++ says of itself."""
    path = shutil.which("g++", path=sandbox.ENVIRONMENT["PATH"])
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(facts)).hexdigest()


def _canonical(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
