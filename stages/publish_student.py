"""Stage publish_student: one student's weights with its card to the Hub, then a receipt."""

import os
import shutil
import tempfile
from pathlib import Path

import click

from stillhouse.hub.publish import Access, publish, write_receipt
from stillhouse.hub.readiness import (
    clean_commit,
    refuse_missing_in_remote,
    refuse_stale_pipeline,
)
from stillhouse.package.facts import student_repository
from stillhouse.package.manifest import write_manifest
from stillhouse.params.package import Package
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Publish models/TEACHER/STUDENT with data/model_cards/TEACHER/STUDENT."""
    from huggingface_hub import HfApi

    package = load_stage().section(Package, "package")
    commit = clean_commit()
    refuse_stale_pipeline()
    refuse_missing_in_remote()
    with tempfile.TemporaryDirectory(dir="data", prefix="student-") as scratch:
        folder = Path(scratch) / student
        shutil.copytree(Path("models", teacher, student), folder, copy_function=link)
        shutil.copytree(
            Path("data/model_cards", teacher, student),
            folder,
            copy_function=link,
            dirs_exist_ok=True,
        )
        write_manifest(folder)
        receipt = publish(
            folder,
            student_repository(package, teacher, student),
            package.version,
            access=Access(package.private, package.gated),
            api=HfApi(),
            repo_type="model",
            report=click.echo,
        )
        path = Path("publish/students/receipts", teacher, f"{student}.json")
        write_receipt(path, receipt, folder, commit)


def link(source: str, target: str) -> None:
    """Put a file in a second place without copying it, where the disk can; the card replaces the trainer's own."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
