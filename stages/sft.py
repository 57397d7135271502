"""Train one student on one teacher's aligned examples."""

import subprocess
import sys
import time

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.params.load import load_student
from stillhouse.params.stage import load_stage
from stillhouse.sft.train import is_main_process, launch_command, train, write_curve
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
@click.argument("student")
@click.argument("seed", type=int)
def main(teacher: str, student: str, seed: int) -> None:
    """Train STUDENT on the examples of TEACHER with SEED; TEACHER may be the control <teacher>_shuffled."""
    params = load_stage()
    runtime = load_student(student).runtime  # untracked by design: where and how fast, never what
    launch = launch_command(runtime)
    if launch is not None:
        sys.exit(subprocess.run(launch, check=False).returncode)
    started = time.monotonic()
    training = train(
        layout.training_set(teacher),
        layout.training_ids(student, teacher.removesuffix(layout.SHUFFLED)),
        params.student(student),
        runtime,
        seed,
        layout.student_model(student, teacher, seed),
        shuffled=teacher.endswith(layout.SHUFFLED),
    )
    if not is_main_process():
        return
    write_json(layout.metrics("sft", student, teacher, str(seed)), training.metrics)
    write_curve(layout.plot("sft", student, teacher, str(seed)), training.curve)
    click.echo(
        f"{training.metrics['rows']} examples, {training.metrics['steps']} steps, loss "
        f"{training.metrics['first_loss']:.3f} -> {training.metrics['final_loss']:.3f} "
        f"in {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
