"""The part of `stillhouse plan` on the comparison: the detectable difference, and the cost of seeds and items."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillhouse.params.run import RunParams

# Points. Students of 135M parameters, trained with 3 to 6 seeds each, differed by 1, 2 and 7 points between seeds.
SEED_SD = 2.0
SEEDS = (1, 3, 5)
TIMES = (1, 2, 4)  # as many items


def design_document(run: "RunParams", seed_sd: float) -> dict[str, Any] | None:
    """Return the detectable difference and the cost of the run's design and of alternatives; null without students.

    Args:
        run: the parameters of the run.
        seed_sd: standard deviation of a student's mean score between trainings, in points.
    """
    from stillhouse.analysis.power import BenchmarkSize, detectable_difference

    ranked = run.controls.released(run.compared_ids)
    tasks = run.benchmark.tasks
    if len(ranked) < 2 or not run.student_ids or not tasks:
        return None
    trained = len(run.controls.trained(run.compared_ids)) * len(run.student_ids)
    now = len(run.training_seeds)
    options = [(seeds, times) for seeds in sorted({now, *SEEDS}) for times in TIMES]
    designs = []
    for seeds, times in options:
        benchmarks = [BenchmarkSize(task.count * times, task.samples) for task in tasks]
        answers = sum(one.items * one.samples for one in benchmarks)
        found = detectable_difference(
            benchmarks, seeds, len(ranked), seed_sd / 100, run.report.confidence
        )
        designs.append(
            {
                "seeds": seeds,
                "items": sum(one.items for one in benchmarks),
                "trainings": trained * seeds,
                "benchmark_answers": answers * (trained * seeds + len(run.student_ids)),
                "detectable_points": round(100 * found, 1),
                "chosen": (seeds, times) == (now, 1),
            }
        )
    return {"teachers": len(ranked), "seed_sd_points": seed_sd, "designs": designs}


def design_lines(design: dict[str, Any]) -> Iterator[str]:
    """Yield the table of designs, and its assumptions."""
    from stillhouse.analysis.intervals import FEWEST_SEEDS
    from stillhouse.analysis.power import CONCENTRATION, INTERACTION, RATE

    yield (
        f"Detectable difference between two of {design['teachers']} teachers "
        "(80 % power, all pairs corrected together), one student"
    )
    yield "  seeds   items  trainings  benchmark answers   points  covers"
    for row in design["designs"]:
        covers = "another training" if row["seeds"] >= FEWEST_SEEDS else "these students only"
        mark = "  <- this run" if row["chosen"] else ""
        yield (
            f"  {row['seeds']:>5}  {row['items']:>6,}  {row['trainings']:>9,}  {row['benchmark_answers']:>17,}"
            f"  {row['detectable_points']:>7.1f}  {covers}{mark}"
        )
    yield (
        f"  assumed: scores of {100 * RATE:g} %, items that differ as Beta rates of concentration {CONCENTRATION:g}, "
        f"a true difference"
    )
    yield (
        f"  that varies by {100 * INTERACTION:g} points over items, {design['seed_sd_points']:g} points between "
        "trainings (--seed-sd)"
    )
    yield "  docs/reference/statistics.md has the formula"
