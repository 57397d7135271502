"""A verifier: the answer's last line must match a regular expression, the query's ground truth.

In params.yaml:

    plugins: [examples.regex_verifier]
    queries:
      sources:
        - {id: dates, kind: file, category: other, license: cc-by-4.0, path: inputs/dates.jsonl, verifier: regex}
"""

import re

from stillhouse.plugins import Score, verifier
from stillhouse.records import Query


@verifier("regex", version="1")
def last_line_matches(query: Query, answer: str) -> Score:
    """Score 1 where the last line as a whole matches the expression, or one of several."""
    if not query.references:
        return Score(None, "no_reference")
    line = answer.strip().splitlines()[-1].strip()
    evidence = f"{line!r} against {query.references}"
    try:
        matches = [re.fullmatch(pattern, line) for pattern in query.references]
    except re.error as error:
        return Score(None, "bad_reference", f"no regular expression: {error}")
    if any(matches):
        return Score(1.0, evidence=evidence, answer=line)
    return Score(0.0, "wrong_answer", evidence, answer=line)
