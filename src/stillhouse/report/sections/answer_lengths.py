"""Tables of the length of the students' answers: of right and of wrong ones, by benchmark and teacher."""

from collections.abc import Mapping

from stillhouse.analysis.answer_lengths import OUTCOMES, Samples, answer_length_rows
from stillhouse.report.formats import number
from stillhouse.report.material import Settings
from stillhouse.report.page import Block, Table


def answer_lengths(samples: Samples, settings: Settings, names: Mapping[str, str]) -> list[Block]:
    """Return a table per student; none where nothing was benchmarked.

    Args:
        samples: the benchmark answers, as for `answer_length_rows`.
        settings: the parameters of the run.
        names: display names by teacher id.
    """
    score = "lenient" if settings.benchmark.score == "lenient" else "strict"
    order = [task.id for task in settings.benchmark.tasks]
    rows = answer_length_rows(samples, order, lenient=score == "lenient")
    rows.sort(key=lambda row: order.index(row["task"]))  # stable: teachers stay in their order
    header = ["Benchmark", "Teacher", "Right", "Answers", "Wrong", "Answers", "Wrong and cut"]
    return [
        Table(
            f"Mean generated tokens of right and of wrong answers ({score} score), student {student}; wrong answers "
            "that were cut at the token limit are apart",
            [*header, "Answers"],
            [
                [
                    row["task"],
                    names.get(row["teacher"], row["teacher"]),
                    *(
                        cell
                        for outcome in OUTCOMES
                        for cell in (number(row[outcome], 0), f"{row[f'{outcome}_answers']:,}")
                    ),
                ]
                for row in rows
                if row["student"] == student
            ],
            labels=2,
        )
        for student in dict.fromkeys(row["student"] for row in rows)
    ]
