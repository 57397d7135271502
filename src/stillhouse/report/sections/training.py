"""Section on the training of the students: loss curves and the figures of each training run."""

from collections.abc import Mapping

from stillhouse.report import charts
from stillhouse.report.formats import general
from stillhouse.report.inputs import RunFiles
from stillhouse.report.page import Block, Figure, Table, Text

LOSS_POINTS = 400  # more are not visible at the width of the chart


def training(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return the loss curves, and every numeric metric of the training runs."""
    if not files.student_ids:
        return [Text("This run has no students (student_ids is empty), so nothing was trained.")]
    rows = []
    trained = {condition.teacher for condition in files.losses}
    for (teacher, student, seed), curve in files.losses.items():
        every = max(1, -(-len(curve) // LOSS_POINTS))
        rows += [
            {"teacher": teacher, "student": student, "seed": seed, "step": step, "loss": loss}
            for step, loss in curve[::every]
        ]
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Figure(
                "Training loss. Losses of different teachers are losses on different texts: a lower one does not "
                "mean a better source.",
                charts.losses(rows, {i: name for i, name in names.items() if i in trained}),
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
                ["Teacher", "Student", "Seed", *(key.replace("_", " ") for key in keys)],
                [
                    [
                        names[teacher],
                        student,
                        str(seed),
                        *(general(metrics.get(key)) for key in keys),
                    ]
                    for (teacher, student, seed), metrics in files.sft.items()
                ],
                labels=3,
            )
        )
    return blocks
