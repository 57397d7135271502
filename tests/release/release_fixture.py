"""A small run of two teachers' worth of tables, parameters and metrics, to make releases from in tests."""

from pathlib import Path
from typing import Any

from stillhouse.params import (
    Generate,
    Package,
    Queries,
    ReplaySolutions,
    Run,
    Teacher,
    Verify,
    parse,
)
from stillhouse.records import (
    Constraint,
    Decision,
    Example,
    Message,
    Perplexity,
    Response,
    Test,
    Verdict,
    content_hash,
    response_id,
)
from stillhouse.release.package import ReleaseFacts, ReleaseTables
from stillhouse.tables import write_table

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "dataset_cards" / "dataset.md.jinja"
REVISION = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def teacher(**changes: Any) -> Teacher:
    plain = {
        "label": "Small teacher",
        "engine": "vllm",
        "model": "package:llm_tiny/Tiny-135M-Instruct.gguf",
        "revision": REVISION,
        "license": "Apache-2.0",
        "sampling": {"temperature": 0.3, "top_p": 0.9, "max_tokens": 128},
    }
    return parse(Teacher, plain | changes, "test teacher")


REPLAY = teacher(
    engine="replay",
    sampling=None,
    replay=ReplaySolutions(kind="solutions"),
    revision="none",
    model="worked",
    tokenizer={"model": "package:llm_tiny/Tiny-135M-Instruct.gguf", "revision": REVISION},
)


def example(number: int, *, think: str = "Let me add.", **changes: Any) -> Example:
    """One accepted response to a sum, or with `category` to something else."""
    question = f"What is {number} + {number}?"
    query = content_hash("query", "user", question)
    fields: dict[str, Any] = {
        "id": content_hash("example", query),
        "query_id": query,
        "category": "math",
        "source": "sums",
        "source_license": "Apache-2.0",
        "messages": [Message(role="user", content=question)],
        "ground_truth": str(2 * number),
        "language": None,
        "tests": [],
        "constraints": [],
        "teacher": "tiny",
        "model": "package:llm_tiny/Tiny-135M-Instruct.gguf",
        "model_revision": REVISION,
        "attempt": number % 2,
        "seed": 1000 + number,
        "finish_reason": "stop",
        "prompt_tokens": 20,
        "completion_tokens": 30 + number,
        "think": think,
        "answer": f"The sum is {2 * number}.",
        "verify_score": 1.0,
        "verifier": "math_verify",
        "perplexity": 2.5,
        "fingerprint": "f" * 32,
    }
    return Example(**(fields | changes))


def examples() -> list[Example]:
    """Twelve rows over three categories, with tests and constraints."""
    return [
        *(example(number) for number in range(10)),
        example(
            10,
            category="code",
            source="programs",
            language="python",
            ground_truth=None,
            tests=[Test(kind="assert", code="assert double(2) == 4")],
            verifier="sandbox",
        ),
        example(
            11,
            category="if",
            source="orders",
            ground_truth=None,
            constraints=[
                Constraint(
                    id="length_constraints:number_words",
                    kwargs={"num_words": 9, "relation": "at least"},
                )
            ],
            verifier="ifeval",
        ),
    ]


def write_tables(root: Path, rows: list[Example] | None = None) -> ReleaseTables:
    """Write the tables of one teacher; each row has a failed attempt before it where its attempt is 1."""
    rows = examples() if rows is None else rows
    responses, verdicts, perplexities, decisions = [], [], [], []
    for row in rows:
        for attempt in range(row.attempt + 1):
            accepted = attempt == row.attempt
            answer = row.answer if accepted else "I do not know."
            response = Response(
                id=response_id(row.query_id, row.teacher, attempt, answer),
                query_id=row.query_id,
                teacher=row.teacher,
                attempt=attempt,
                seed=row.seed,
                text=answer,
                think=row.think,
                answer=answer,
                finish_reason="stop",
                prompt_tokens=20,
                completion_tokens=row.completion_tokens,
                fingerprint=row.fingerprint,
            )
            responses.append(response)
            verdicts.append(
                Verdict(
                    response_id=response.id,
                    query_id=row.query_id,
                    state="pass" if accepted else "fail",
                    score=1.0 if accepted else 0.0,
                    reason=None if accepted else "wrong_answer",
                    verifier=row.verifier,
                )
            )
            if accepted:
                perplexities.append(
                    Perplexity(response_id=response.id, perplexity=row.perplexity, tokens=30)
                )
            decisions.append(
                Decision(
                    response_id=response.id,
                    query_id=row.query_id,
                    kept=accepted,
                    reason=None if accepted else "not_passed",
                )
            )
    tables = ReleaseTables(
        aligned=root / "aligned",
        responses=root / "responses",
        verdicts=root / "verdicts",
        perplexity=root / "perplexity",
        decisions=root / "decisions",
    )
    write_table(tables.aligned, Example, rows)
    write_table(tables.responses, Response, responses)
    write_table(tables.verdicts, Verdict, verdicts)
    write_table(tables.perplexity, Perplexity, perplexities)
    write_table(tables.decisions, Decision, decisions)
    return tables


def metrics() -> dict[str, Any]:
    """Metrics in which every number is another one, so that a number on the card tells where it comes from."""
    return {
        "queries": {
            "loaded": 1009,
            "kept": 1013,
            "rejected": {"exact_duplicate": 1019, "url": 1021},
            "by_category": {"math": {"loaded": 1031, "kept": 1033}},
            "by_source": {
                "sums": {"loaded": 1039, "kept": 1049, "license": "Apache-2.0", "category": "math"}
            },
            "contamination": {"gsm8k_sample": 1051, "held_out": 1061},
        },
        "generate": {
            "queries": 1063,
            "attempts": 1069,
            "accepted": 1087,
            "unanswered": 1091,
            "truncated": 1093,
            "prompt_tokens": 1097,
            "completion_tokens": 1103,
            "journal_hits": 1109,
            "asked": 1117,
            "accepted_by_attempt": {"0": 1123},
            "by_category": {"math": {"queries": 1129, "attempts": 1151, "accepted": 1153}},
        },
        "verify": {
            "responses": 1163,
            "pass": 1171,
            "fail": 1181,
            "ungradable": 1187,
            "reasons": {"wrong_answer": 1193},
            "verifiers": {"math_verify": 1201},
            "isolation": "bubblewrap",
            "by_category": {
                "math": {
                    "pass": 1213,
                    "fail": 1217,
                    "ungradable": 1223,
                    "verifiers": {"math_verify": 1229, "judge": 1231},
                }
            },
            "rule_judge": {"both": 1237, "disagree": 1249},
        },
        "perplexity": {
            "responses": 1259,
            "tokens": 1277,
            "mean": 12.79,
            "median": 12.83,
            "p95": 12.89,
        },
        "filter": {
            "queries": 1291,
            "answered": 1297,
            "passed": 1301,
            "kept": 1303,
            "dropped": {"not_verified": 1307, "surplus": 1319},
            "by_category": {
                "math": {"queries": 1321, "answered": 1327, "passed": 1361, "kept": 1367}
            },
        },
        "align": {
            "queries": 1373,
            "kept": {"tiny": 1381},
            "parallel": 12,
            "by_category": {"math": 1409},
            "survivorship": {"math": {"queries": 1423, "parallel": 1427}},
        },
    }


def facts(**changes: Any) -> ReleaseFacts:
    """Parameters and metrics of the release."""
    limits = {
        "isolation": "bubblewrap",
        "max_tests": 10,
        "test_seconds": 5.0,
        "total_seconds": 20.0,
        "memory_mb": 512,
    }
    verify = {
        "threshold": 0.9,
        "judge": "tiny_judge",
        "judge_advisory": True,
        "item_seconds": 20.0,
        "code": limits,
    }
    package = {
        "namespace": "tester",
        "name": "parallel_sums",
        "version": "1.0.0",
        "license": "Apache-2.0",
        "pretty_name": "Parallel sums",
        "private": True,
    }
    queries = {
        "sources": [
            {
                "id": "sums",
                "kind": "embedded",
                "category": "math",
                "license": "Apache-2.0",
                "name": "sums",
            }
        ],
        "clean": {
            "min_chars": 1,
            "max_chars": 1000,
            "max_non_ascii": 0.2,
            "drop_urls": True,
            "drop_tables": True,
            "drop_images": True,
        },
        "dedup": {"threshold": 0.8, "permutations": 64, "shingle_words": 3},
        "decontaminate": {"ngram_words": 8, "min_overlap": 0.5},
    }
    base: dict[str, Any] = {
        "run": Run(name="test_run", seed=7),
        "package": parse(Package, package | changes.pop("package", {}), "test package"),
        "queries": parse(Queries, queries, "test queries"),
        "generate": Generate(max_attempts=4),
        "verify": parse(Verify, verify, "test verify"),
        "teacher_ids": ["tiny", "worked"],
        "teacher_id": "tiny",
        "teacher": teacher(),
        "judge": teacher(label="Tiny judge"),
        "fingerprint": {"engine": "vllm-cpu", "dtype": "float32"},
        "metrics": metrics(),
        "locks": [],
    }
    return ReleaseFacts(**(base | changes))
