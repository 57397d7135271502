"""Section on verification: the verdicts, the verifiers that gave them, and how far the judge can be trusted."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import JUDGE_ROLES
from stillhouse.report.formats import bracket, integer, percent, share
from stillhouse.report.inputs import Columns, RunFiles
from stillhouse.report.material import Settings, model_text
from stillhouse.report.page import DASH, Block, Table, Text
from stillhouse.report.tables import category_table, reason_table
from stillhouse.verify.checks import by_judge_alone


def verification(files: RunFiles, settings: Settings, names: Mapping[str, str]) -> list[Block]:
    """Return who decides, the verdicts on all attempts, and where rule and judge disagree.

    Args:
        files: the data of the run.
        settings: the parameters of the run.
        names: display names by teacher id.
    """
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
    categories = {teacher: metrics["by_category"] for teacher, metrics in files.verify.items()}
    return [
        *blocks,
        _verdicts(files, names),
        category_table(
            "Which verifier gave the verdict, by category", categories, names, _verifiers
        ),
        category_table(
            "Attempts that only the judge accepted, of those accepted, by category",
            categories,
            names,
            lambda counts: f"{counts['judge_only']:,} of {counts['pass']:,}",
        ),
        category_table(
            "Rows of the parallel set that only the judge accepted, by category",
            {teacher: _judge_only(columns) for teacher, columns in files.lengths.items()},
            names,
            lambda counts: f"{counts['judge_only']:,} of {counts['rows']:,}",
        ),
        *_judge_audit(files),
        reason_table(
            "Why attempts failed or could not be graded",
            {teacher: metrics["reasons"] for teacher, metrics in files.verify.items()},
            names,
        ),
        *_disagreements(files, names),
    ]


def _judge(settings: Settings) -> str:
    text = f"An attempt passes with a score of at least {settings.verify.threshold:g}. "
    if settings.judge is None:
        return text + "No judge: rules alone decide."
    policy = settings.verify.judge
    return (
        f"{text}The judge is {settings.judge.label} ({model_text(settings.judge)}). "
        f"In math {JUDGE_ROLES[policy.math]}; in science {JUDGE_ROLES[policy.science]}. "
        "Only the judge decides the demands that it wrote"
        f"{' and free answers' if settings.verify.reward is None else ''}."
    )


def _is_embedded(judge: Teacher) -> bool:
    return judge.model.startswith("package:")


def _verdicts(files: RunFiles, names: Mapping[str, str]) -> Table:
    header = [
        "Teacher",
        "Isolation of code",
        "Attempts",
        "Pass",
        "Fail",
        "Ungradable",
        "Rule and judge both asked",
        "They disagree",
    ]
    rows = [
        [
            names[teacher],
            str(metrics.get("isolation") or DASH),
            *(integer(metrics[key]) for key in ("responses", "pass", "fail", "ungradable")),
            integer(metrics["rule_judge"]["both"]),
            _disagreement(metrics["rule_judge"]),
        ]
        for teacher, metrics in files.verify.items()
    ]
    return Table("Verdicts on all attempts", header, rows, labels=2)


def _disagreement(counts: Mapping[str, int]) -> str:
    both, disagree = counts["both"], counts["disagree"]
    return f"{disagree:,} ({percent(share(disagree, both))} %)" if both else DASH


def _verifiers(counts: Mapping[str, Any]) -> str:
    verdicts = sorted(counts["verifiers"].items())
    return ", ".join(f"{verifier} {number:,}" for verifier, number in verdicts) or DASH


def _judge_only(columns: Columns) -> dict[str, dict[str, int]]:
    """Return by category the rows of a teacher's parallel set, and those that only the judge accepted."""
    alone = [by_judge_alone(verifier) for verifier in columns["verifier"]]
    rows, judged = Counter(columns["category"]), Counter(columns["category"][alone])
    return {
        category: {"rows": number, "judge_only": judged[category]}
        for category, number in rows.items()
    }


def _judge_audit(files: RunFiles) -> list[Block]:
    if not files.judge_audit:  # a run whose queries never need the judge has no figures
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


def _disagreements(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    rows = [
        [names[teacher], row["response_id"], row["reference"] or DASH, *_rule_then_judge(row)]
        for teacher, metrics in files.verify.items()
        for row in metrics["disagreements"]
    ]
    if not rows:
        return []
    header = ["Teacher", "Response", "Reference", "Rule", "Judge"]
    caption = "Where rule and judge disagree: the first attempts by id"
    return [Table(caption, header, rows, labels=5)]


def _rule_then_judge(row: Mapping[str, str]) -> list[str]:
    """Return the verdicts of rule and judge, the rule first."""
    verifiers = [column for column in row if column not in ("response_id", "reference")]
    return [row[name] for name in sorted(verifiers, key=lambda name: name.startswith("judge"))]
