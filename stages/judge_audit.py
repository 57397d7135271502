"""The judge of this run, measured on golden questions whose answers are known to be right or wrong."""

import asyncio

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.models.judge import judge_of
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command
from stillhouse.verify.judge_audit import load_questions, question_judge, summary


@stage_command
def main() -> None:
    """Write metrics/judge_audit.json: what the judge accepts, right and wrong, by kind."""
    params = load_stage()
    judge_id, judge = judge_of(params)
    threshold = params.read(float, "verify.threshold")
    judged = asyncio.run(question_judge(judge_id, judge, load_questions(), threshold))
    figures = summary(judged)
    write_json(layout.metrics("judge_audit"), {k: f.as_dict() for k, f in figures.items()})


if __name__ == "__main__":
    main()
