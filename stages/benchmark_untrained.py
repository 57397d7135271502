"""Let the base model of one student family answer the benchmark tasks under lighteval: what no training gives."""

import click

from stillhouse import layout
from stillhouse.benchmark.family import run_family
from stillhouse.benchmark.student import untrained_engine
from stillhouse.files import write_json
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.load import load_student
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("student")
def main(student: str) -> None:
    """Benchmark the base model of STUDENT."""
    params = load_stage()
    engines = untrained_engine(
        student,
        params.student(student),
        params.section(Benchmark, "benchmark").sampling,
        load_student(student).runtime,  # untracked by design: where and how fast, never what
    )
    found = run_family(params, engines, lambda one: layout.samples_untrained(one.student))
    (figures,) = found.values()
    write_json(layout.metrics("benchmark_untrained", student), figures)


if __name__ == "__main__":
    main()
