"""The judge of this run, measured on golden questions whose answers are known to be right or wrong."""

import asyncio

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.models.judge import judge_of
from stillhouse.params.stage import load_stage
from stillhouse.params.verify import Verify
from stillhouse.records import Query
from stillhouse.stage import stage_command
from stillhouse.tables.read import read_table
from stillhouse.verify.grade import judge_requests
from stillhouse.verify.judge_audit import load_questions, question_judge, summary


@stage_command
def main() -> None:
    """Write metrics/judge_audit.json: what the judge accepts, right and wrong, by kind.

    A run whose queries never need the judge asks it nothing, and the file has no kind.
    """
    params = load_stage()
    verify = params.section(Verify, "verify")
    queries = read_table(layout.CURATED_QUERIES, Query)
    figures = {}
    if any(judge_requests(verify, query, None) for query in queries):
        judge_id, judge = judge_of(params)
        judged = asyncio.run(question_judge(judge_id, judge, load_questions(), verify.threshold))
        figures = {kind: found.as_dict() for kind, found in summary(judged).items()}
    write_json(layout.metrics("judge_audit"), figures)


if __name__ == "__main__":
    main()
