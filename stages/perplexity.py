"""Perplexity of every verified attempt of one teacher under the scorer model."""

import asyncio

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.models.scorer import Scorer
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.stage import load_stage
from stillhouse.perplexity.attempts import metrics, score_all
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/perplexity/TEACHER."""
    spec = load_stage().section(PerplexityScorer, "perplexity")
    with Journal.open() as journal:
        values, tokens = asyncio.run(score_all(teacher, Scorer(spec, journal)))
    write_json(layout.metrics("perplexity", teacher), metrics(values, tokens))


if __name__ == "__main__":
    main()
