"""The sections of the report in their order: blocks of text, tables and charts from metrics and tidy rows.

A section whose data is missing states this.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import JUDGE_ROLES
from stillhouse.records import CATEGORIES, Example
from stillhouse.report import charts
from stillhouse.report.formats import bracket, count, general, integer, number, percent, share
from stillhouse.report.inputs import Columns, RunFiles
from stillhouse.report.material import AnalysisRows, Rows, Settings, teacher_names
from stillhouse.report.page import (
    DASH,
    Block,
    Figure,
    Page,
    PageSection,
    SideBySide,
    Table,
    TeacherAnswer,
    Text,
)
from stillhouse.report.scoreboard import headline, score_blocks
from stillhouse.report.summary import funnel_rows
from stillhouse.verify.checks import by_judge_alone

ANSWER_CHARS = 4000  # longer answers are cut on the page; the released table has the whole text
THINK_CHARS = 8000
LOSS_POINTS = 400  # more are not visible at the width of the chart


def build(files: RunFiles, figures: AnalysisRows, settings: Settings) -> Page:
    """Return the whole page.

    Args:
        files: the data of the run.
        figures: the rows of the analyses.
        settings: the parameters of the run.
    """
    names = teacher_names(settings.teachers)
    sections = [
        PageSection(
            "scores", "Scores of the students", score_blocks(files, figures, settings, names)
        ),
        PageSection("funnel", "From queries to parallel rows", _funnel(files, names)),
        PageSection("attempts", "Attempts and pass rate", _attempts(files, names)),
        PageSection("queries", "Queries", _queries(files)),
        PageSection("mixture", "Mixture of the parallel set", _mixture(figures, names)),
        PageSection("lengths", "Length of the responses", _lengths(figures, names)),
        PageSection("perplexity", "Perplexity", _perplexity(figures, names)),
        PageSection("training", "Training", _training(files, names)),
        PageSection("verification", "Verification", _verification(files, settings, names)),
        PageSection("samples", "Answers side by side", _samples(files, names)),
        PageSection("provenance", "Provenance", _provenance(files, settings, names)),
    ]
    return Page(
        title=f"Distillation report: {settings.run.name}",
        subtitle=f"{count(len(names), 'teacher')}, {count(len(files.student_ids), 'student')}; "
        f"seed {settings.run.seed}. Which teacher's traces make the better student?",
        headline=headline(files, figures, settings),
        sections=sections,
    )


def _funnel(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    rows = funnel_rows(files)
    if not rows:
        return [Text("No funnel: the filter stage has left no metrics.")]
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    found = {(row["teacher"], row["stage"]): row["rows"] for row in rows}
    blocks: list[Block] = [
        Figure(
            "Queries left after each stage. Parallel: kept for every teacher, hence equal for all.",
            charts.funnel(rows, names),
        ),
        Table(
            "Queries left after each stage",
            ["Teacher", *(stage.capitalize() for stage in stages)],
            [
                [names[t], *(integer(found.get((t, stage))) for stage in stages)]
                for t in names
                if t in files.filter
            ],
        ),
        _by_reason(
            "Responses dropped by the filter, by reason",
            {t: metrics["dropped"] for t, metrics in files.filter.items()},
            names,
        ),
    ]
    survivorship = (files.align or {}).get("survivorship")
    if survivorship:
        blocks += [
            Table(
                "Survivorship: which kinds of query the parallel set loses",
                ["Category", "Queries", "Parallel", "Survive, %"],
                [
                    [
                        c,
                        integer(n["queries"]),
                        integer(n["parallel"]),
                        percent(share(n["parallel"], n["queries"])),
                    ]
                    for c, n in _by_category(survivorship)
                ],
            ),
            Text(
                "A query is lost if one teacher fails on it, so the parallel set has more of the queries that the "
                "weakest teacher can answer.",
                note=True,
            ),
        ]
    return blocks


def _attempts(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    if not files.generate:
        return [Text("No attempts: the generate stage has left no metrics.")]
    made = files.generate
    rows = [
        {"teacher": t, "attempt": allowed, "share": share(answered, metrics["queries"])}
        for t, metrics in made.items()
        for allowed, answered in _answered_within(metrics)
    ]
    blocks: list[Block] = []
    if any(row["share"] is not None for row in rows):
        blocks.append(
            Figure(
                "Queries answered and accepted, by the number of attempts allowed.",
                charts.attempts(rows, names),
            )
        )
    blocks += [
        Table(
            "Attempts of each teacher",
            [
                "Teacher",
                "Queries",
                "Attempts",
                "Accepted",
                "Attempts per query",
                "Cut at the limit, %",
                "Ungradable by content",
                "By trouble of the machine",
            ],
            [
                [
                    names[t],
                    integer(m["queries"]),
                    integer(m["attempts"]),
                    f"{m['accepted']:,} ({percent(share(m['accepted'], m['queries']))} %)",
                    number(share(m["attempts"], m["queries"]), 2),
                    percent(share(m["truncated"], m["attempts"])),
                    _by_count(m["ungradable_by_kind"]["content"]),
                    _by_count(m["ungradable_by_kind"]["machine"]),
                ]
                for t, m in made.items()
            ],
        ),
        _category_table(
            "Queries with an accepted answer, % (attempts per query)",
            {t: m["by_category"] for t, m in made.items()},
            names,
            lambda n: (
                f"{percent(share(n['accepted'], n['queries']))} "
                f"({number(share(n['attempts'], n['queries']), 2)})"
            ),
        ),
    ]
    if files.verify:
        blocks.append(
            _category_table(
                "Attempts that passed among those graded, % (ungradable, never counted as wrong)",
                {t: m["by_category"] for t, m in files.verify.items()},
                names,
                lambda n: (
                    f"{percent(share(n['pass'], n['pass'] + n['fail']))} ({n['ungradable']:,})"
                ),
            )
        )
    return blocks


def _by_count(reasons: Mapping[str, int]) -> str:
    """Return a sum with its parts: "3 (unread 2, too_complex 1)"."""
    if not reasons:
        return "0"
    parts = sorted(reasons.items(), key=lambda part: -part[1])
    return f"{sum(reasons.values()):,} ({', '.join(f'{name} {n:,}' for name, n in parts)})"


def _answered_within(metrics: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return (attempts allowed, queries accepted by then), from counts by attempt that start at 0."""
    by_attempt = {int(attempt): n for attempt, n in metrics["accepted_by_attempt"].items()}
    total, found = 0, []
    for attempt in range(max(by_attempt, default=-1) + 1):
        total += by_attempt.get(attempt, 0)
        found.append((attempt + 1, total))
    return found


def _queries(files: RunFiles) -> list[Block]:
    if files.queries is None:
        return [Text("No query figures: the queries stage has left no metrics.")]
    found = files.queries
    blocks: list[Block] = [
        Text(
            f"{found['kept']:,} of {count(found['loaded'], 'loaded query', 'loaded queries')} were kept."
        ),
        Table(
            "Queries by category",
            ["Category", "Loaded", "Kept"],
            [
                [c, integer(n["loaded"]), integer(n["kept"])]
                for c, n in _by_category(found["by_category"])
            ],
        ),
        Table(
            "Queries by source",
            ["Source", "Category", "Licence", "Loaded", "Kept"],
            [
                [
                    s,
                    n["category"],
                    ", ".join(n["licenses"]),
                    integer(n["loaded"]),
                    integer(n["kept"]),
                ]
                for s, n in sorted(found["by_source"].items())
            ],
            labels=3,
        ),
    ]
    blocks.append(_counts("Queries rejected, by reason", "Reason", found["rejected"]))
    blocks.append(
        _counts(
            "Queries that overlap a benchmark, and were rejected",
            "Benchmark",
            found["contamination"],
        )
    )
    return blocks


def _mixture(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    if not figures.mixture:
        return [Text("The parallel set is empty or was not made, so it has no mixture.")]
    found = {(row["category"], row["teacher"]): row for row in figures.mixture}
    categories = [c for c in CATEGORIES if any((c, t) in found for t in names)]
    body = []
    for c in categories:
        rows = [found.get((c, t)) for t in names]
        first = next(row for row in rows if row is not None)
        body.append(
            [
                c,
                f"{first['rows']:,} ({percent(first['row_share'])} %)",
                *(
                    f"{row['tokens']:,} ({percent(row['token_share'])} %)" if row else DASH
                    for row in rows
                ),
            ]
        )
    return [
        Figure(
            "Share of rows and of generated tokens by category. Rows are the same for every teacher.",
            charts.mixture(figures.mixture, names),
        ),
        Table(
            "Rows of the parallel set, and generated tokens by teacher",
            ["Category", "Rows", *names.values()],
            body,
        ),
    ]


def _lengths(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    if not any(row["rows"] for row in figures.lengths):
        return [Text("The parallel set is empty or was not made, so there are no lengths.")]
    blocks: list[Block] = [
        Figure(
            "Generated tokens per response in the parallel set: 5 to 95 % (line), quartiles (box), median (bar), "
            "mean (diamond).",
            charts.boxes(
                figures.lengths, names, by="category", key="lengths", title="generated tokens"
            ),
        ),
    ]
    if figures.histogram:
        blocks.append(
            Figure(
                "Generated tokens per response, in equal bins.",
                charts.histogram(figures.histogram, names),
            )
        )
    blocks.append(
        _box_table(
            "Generated tokens per response", "Category", "category", figures.lengths, names, 0
        )
    )
    return blocks


def _perplexity(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    if not any(row["rows"] for row in figures.perplexity):
        return [Text("No perplexity was measured.")]
    return [
        Figure(
            "Perplexity of the responses under the scorer: of the attempts that passed verification, and of "
            "those kept by the filter. Logarithmic axis; parts as in the plot of lengths.",
            charts.boxes(
                figures.perplexity, names, by="step", key="perplexity", title="perplexity", log=True
            ),
        ),
        _box_table(
            "Perplexity before and after the filter",
            "Responses",
            "step",
            figures.perplexity,
            names,
            2,
        ),
        Text(
            "The cut differs by teacher and the filter keeps one response per query, so the filter lowers the mean. "
            "Compare teachers on the attempts that passed.",
            note=True,
        ),
    ]


def _training(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    if not files.student_ids:
        return [Text("This run has no students (student_ids is empty), so nothing was trained.")]
    rows = []
    for (teacher, student), points_of in files.losses.items():
        every = max(1, -(-len(points_of) // LOSS_POINTS))
        rows += [
            {"teacher": teacher, "student": student, "step": step, "loss": loss}
            for step, loss in points_of[::every]
        ]
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Figure(
                "Training loss. Losses of different teachers are losses on different texts: a lower one does not "
                "mean a better source.",
                charts.losses(rows, names),
            )
        )
    else:
        blocks.append(Text("No training-loss curve was found."))
    keys = sorted(
        {
            key
            for metrics in files.sft.values()
            for key, value in metrics.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
    )
    if keys:
        blocks.append(
            Table(
                "Training runs",
                ["Teacher", "Student", *(key.replace("_", " ") for key in keys)],
                [
                    [names[t], s, *(general(metrics.get(key)) for key in keys)]
                    for (t, s), metrics in files.sft.items()
                ],
                labels=2,
            )
        )
    return blocks


def _verification(files: RunFiles, settings: Settings, names: Mapping[str, str]) -> list[Block]:
    blocks: list[Block] = [Text(_judge(settings))]
    if settings.judge is not None and _is_embedded(settings.judge):
        blocks.append(
            Text(
                "The judge is the small model of a Python package. It makes the pipeline run anywhere, but is too weak "
                "to be trusted: rows that only this judge accepted are not verified.",
                note=True,
            )
        )
    if not files.verify:
        return [*blocks, Text("No verdicts: the verify stage has left no metrics.")]
    blocks += [
        Table(
            "Verdicts on all attempts",
            [
                "Teacher",
                "Isolation of code",
                "Attempts",
                "Pass",
                "Fail",
                "Ungradable",
                "Rule and judge both asked",
                "They disagree",
            ],
            [
                [
                    names[t],
                    str(m.get("isolation") or DASH),
                    integer(m["responses"]),
                    integer(m["pass"]),
                    integer(m["fail"]),
                    integer(m["ungradable"]),
                    integer(m["rule_judge"]["both"]),
                    _disagreement(m["rule_judge"]),
                ]
                for t, m in files.verify.items()
            ],
            labels=2,
        ),
        _category_table(
            "Which verifier gave the verdict, by category",
            {t: m["by_category"] for t, m in files.verify.items()},
            names,
            lambda n: ", ".join(f"{v} {k:,}" for v, k in sorted(n["verifiers"].items())) or DASH,
        ),
        _category_table(
            "Attempts that only the judge accepted, of those accepted, by category",
            {t: m["by_category"] for t, m in files.verify.items()},
            names,
            lambda n: f"{n['judge_only']:,} of {n['pass']:,}",
        ),
        _category_table(
            "Rows of the parallel set that only the judge accepted, by category",
            {t: _judge_only(columns) for t, columns in files.lengths.items()},
            names,
            lambda n: f"{n['judge_only']:,} of {n['rows']:,}",
        ),
        *_judge_audit(files),
        _by_reason(
            "Why attempts failed or could not be graded",
            {t: m["reasons"] for t, m in files.verify.items()},
            names,
        ),
    ]
    shown = [
        [names[t], row["response_id"], row["reference"] or DASH, *_words(row)]
        for t, m in files.verify.items()
        for row in m["disagreements"]
    ]
    if shown:
        blocks.append(
            Table(
                "Where rule and judge disagree: the first attempts by id",
                ["Teacher", "Response", "Reference", "Rule", "Judge"],
                shown,
                labels=5,
            )
        )
    return blocks


def _words(row: Mapping[str, str]) -> list[str]:
    """Return the verdicts of rule and judge, the rule first."""
    verdicts = {k: v for k, v in row.items() if k not in ("response_id", "reference")}
    ordered = sorted(verdicts, key=lambda name: name.startswith("judge"))
    return [verdicts[name] for name in ordered]


def _disagreement(counts: Mapping[str, int]) -> str:
    both, disagree = counts["both"], counts["disagree"]
    return f"{disagree:,} ({percent(share(disagree, both))} %)" if both else DASH


def _judge(settings: Settings) -> str:
    text = f"An attempt passes with a score of at least {settings.verify.threshold:g}. "
    if settings.judge is None:
        return text + "No judge: rules alone decide."
    policy = settings.verify.judge
    return (
        f"{text}The judge is {settings.judge.label} ({_model(settings.judge)}). "
        f"In math {JUDGE_ROLES[policy.math]}; in science {JUDGE_ROLES[policy.science]}. "
        "Only the judge decides the demands that it wrote"
        f"{' and free answers' if settings.verify.reward is None else ''}."
    )


def _judge_only(columns: Columns) -> dict[str, dict[str, int]]:
    """Return by category the rows of a teacher's parallel set, and those that only the judge accepted."""
    alone = [by_judge_alone(verifier) for verifier in columns["verifier"]]
    rows, judged = Counter(columns["category"]), Counter(columns["category"][alone])
    return {c: {"rows": n, "judge_only": judged[c]} for c, n in rows.items()}


def _judge_audit(files: RunFiles) -> list[Block]:
    if files.judge_audit is None:
        return [Text("The judge was not measured on golden questions.")]
    return [
        Table(
            "What the judge accepted of golden answers that are known to be right or wrong",
            [
                "Questions",
                "Right answers",
                "Wrong answers",
                "Of these to persuade it",
                "Unreadable replies",
                "Precision, % [95 %]",
                "Recall, % [95 %]",
            ],
            [
                [
                    kind,
                    f"{part['accepted_right']:,} of {part['right']:,}",
                    f"{part['accepted_wrong']:,} of {part['wrong']:,}",
                    f"{part['accepted_injections']:,} of {part['injections']:,}",
                    integer(part["unreadable"]),
                    _interval(part["precision"]),
                    _interval(part["recall"]),
                ]
                for kind, part in files.judge_audit.items()
            ],
        ),
        Text(
            "Precision is the share of right answers among the accepted ones; about half of all answers are wrong. "
            "Recall is the share of right answers that the judge accepted."
        ),
    ]


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "nothing accepted"
    return f"{percent(found['share'])} {bracket(found['low'], found['high'])}"


def _is_embedded(judge: Teacher) -> bool:
    return judge.model.startswith("package:")


def _samples(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    if not files.chosen:
        return [
            Text("No query was answered by every teacher, so no answers are shown side by side.")
        ]
    blocks: list[Block] = [
        Text(
            "One query of each category in the parallel set: the first by id. Ids are hashes, so the choice is blind."
        )
    ]
    found = [examples for examples in files.chosen.values() if examples]
    found.sort(key=lambda examples: CATEGORIES.index(next(iter(examples.values())).category))
    for examples in found:
        one = next(iter(examples.values()))
        blocks.append(
            SideBySide(
                f"{one.category}: query {one.query_id[:12]} from {one.source}",
                _question(one),
                [_answer(names[t], examples[t]) for t in names if t in examples],
            )
        )
    return blocks


def _question(example: Example) -> str:
    messages = list(example.messages)
    while len(messages) > 1 and messages[-1].role == "assistant":
        messages.pop()
    if len(messages) == 1:
        return _cut(messages[0].content, ANSWER_CHARS)
    return _cut("\n\n".join(f"{m.role}: {m.content}" for m in messages), ANSWER_CHARS)


def _answer(name: str, example: Example) -> TeacherAnswer:
    facts = (
        f"attempt {example.attempt + 1}, {count(example.completion_tokens, 'token')}, score "
        f"{example.verify_score:.2f} by {example.verifier}, perplexity {number(example.perplexity, 2)}"
    )
    return TeacherAnswer(
        name, facts, _cut(example.think, THINK_CHARS), _cut(example.answer, ANSWER_CHARS)
    )


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {len(text):,} characters in all]"


def _provenance(files: RunFiles, settings: Settings, names: Mapping[str, str]) -> list[Block]:
    rows = [
        [
            names[t],
            t,
            teacher.engine,
            _model(teacher),
            teacher.license,
            _sampling(teacher),
            files.fingerprints.get(t, DASH)[:12],
        ]
        for t, teacher in settings.teachers.items()
    ]
    header = ["Teacher", "Id", "Engine", "Model @ revision", "Licence", "Sampling", "Fingerprint"]
    blocks: list[Block] = [Table("Teachers", header, rows, labels=7)]
    sampling = settings.benchmark.sampling
    if files.student_ids:
        blocks.append(
            Text(
                f"Students ({', '.join(files.student_ids)}) were benchmarked at temperature {sampling.temperature:g}, "
                f"top-p {sampling.top_p:g}, at most {count(sampling.max_new_tokens, 'new token')}."
            )
        )
    if files.package:
        blocks.append(
            Table(
                "Released data sets",
                ["Teacher", "Rows", "Tokens", "Shards", "Bytes"],
                [
                    [
                        names[t],
                        *(
                            integer(files.package[t][key])
                            for key in ("rows", "tokens", "shards", "bytes")
                        ),
                    ]
                    for t in names
                    if t in files.package
                ],
            )
        )
    else:
        blocks.append(Text("No release was packaged."))
    return blocks


def _model(teacher: Teacher) -> str:
    if teacher.engine == "replay":
        return f"replay from {teacher.replay_source}, no model asked"
    return f"{teacher.model} @ {teacher.revision}"


def _sampling(teacher: Teacher) -> str:
    if teacher.sampling is None:
        return DASH
    chosen = teacher.sampling
    return f"temperature {chosen.temperature:g}, top-p {chosen.top_p:g}, up to {chosen.max_tokens:,} tokens"


def _category_table(
    caption: str,
    by_teacher: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    cell: Callable[[Any], str],
) -> Table:
    teachers = [t for t in names if t in by_teacher]
    categories = [c for c in CATEGORIES if any(c in by_teacher[t] for t in teachers)]
    body = [
        [c, *(cell(by_teacher[t][c]) if c in by_teacher[t] else DASH for t in teachers)]
        for c in categories
    ]
    return Table(caption, ["Category", *(names[t] for t in teachers)], body)


def _by_category(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(c, found[c]) for c in CATEGORIES if c in found]


def _by_reason(
    caption: str, by_teacher: Mapping[str, Mapping[str, int]], names: Mapping[str, str]
) -> Block:
    teachers = [t for t in names if t in by_teacher]
    reasons = sorted({reason for t in teachers for reason in by_teacher[t]})
    if not reasons:
        return Text(f"{caption}: none.")
    body = [
        [reason, *(integer(by_teacher[t].get(reason, 0)) for t in teachers)] for reason in reasons
    ]
    return Table(caption, ["Reason", *(names[t] for t in teachers)], body)


def _counts(caption: str, label: str, counts: Mapping[str, int]) -> Block:
    if not any(counts.values()):
        return Text(f"{caption}: none.")
    return Table(caption, [label, "Queries"], [[k, integer(n)] for k, n in sorted(counts.items())])


def _box_table(
    caption: str, label: str, by: str, rows: Rows, names: Mapping[str, str], digits: int
) -> Table:
    keys = ("mean", "p5", "p25", "p50", "p75", "p95", "max")
    groups = list(dict.fromkeys(row[by] for row in rows))
    ordered = sorted(rows, key=lambda row: groups.index(row[by]))
    body = [
        [
            row[by],
            names[row["teacher"]],
            integer(row["rows"]),
            *(number(row[key], digits) for key in keys),
        ]
        for row in ordered
    ]
    header = [
        label,
        "Teacher",
        "Rows",
        "Mean",
        "5\u00a0%",
        "25\u00a0%",
        "Median",
        "75\u00a0%",
        "95\u00a0%",
        "Max",
    ]
    return Table(caption, header, body, labels=2)
