"""Stage publish_student: one student's weights with its card to the Hub, then a receipt."""

import click

from stillhouse import layout
from stillhouse.hub.publish import Access, publish, write_receipt
from stillhouse.hub.readiness import (
    clean_commit,
    refuse_control,
    refuse_missing_in_remote,
    refuse_stale_pipeline,
    refuse_unnamed_version,
)
from stillhouse.hub.student import student_folder
from stillhouse.package.facts import student_repository
from stillhouse.package.lint import CARD
from stillhouse.params.package import Package
from stillhouse.params.run import Controls
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Publish the first of the trainings of STUDENT on the answers of TEACHER, with its card."""
    from huggingface_hub import HfApi

    params = load_stage()
    package = params.section(Package, "package")
    refuse_control(teacher, params.section(Controls, "controls"))
    seed, *_ = params.read(list[int], "training_seeds")
    commit = clean_commit()
    refuse_stale_pipeline()
    refuse_missing_in_remote()
    refuse_unnamed_version([layout.model_card(student, teacher) / CARD], package.version)
    with student_folder(teacher, student, seed) as folder:
        receipt = publish(
            folder,
            student_repository(package, teacher, student),
            package.version,
            access=Access(package.private, package.gated),
            api=HfApi(),
            repo_type="model",
            report=click.echo,
        )
        path = layout.STUDENT_RECEIPTS / student / f"{teacher}.json"
        write_receipt(path, receipt, folder, commit)


if __name__ == "__main__":
    main()
