"""Stage publish: the data sets of the run to the Hub, a receipt each. Never part of an untargeted `dvc repro`."""

from pathlib import Path

import click
from pydantic import TypeAdapter

from stillhouse.hub.publish import Access, publish, write_receipt
from stillhouse.hub.readiness import (
    clean_commit,
    refuse_lint_errors,
    refuse_missing_in_remote,
    refuse_stale_pipeline,
)
from stillhouse.package.facts import repositories
from stillhouse.params.base import Id
from stillhouse.params.package import Package
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command

RELEASE = Path("data/release")
RECEIPTS = Path("publish/receipts")


@stage_command
def main() -> None:
    """Publish data/release/*."""
    from huggingface_hub import HfApi

    params = load_stage()
    package = params.section(Package, "package")
    teacher_ids = TypeAdapter(list[Id]).validate_python(params.value("teacher_ids"))
    repos = repositories(package, teacher_ids)
    commit = clean_commit()
    refuse_stale_pipeline()
    refuse_missing_in_remote()
    refuse_lint_errors(RELEASE / repo.folder for repo in repos)
    for repo in repos:
        folder = RELEASE / repo.folder
        receipt = publish(
            folder,
            repo.repo_id,
            package.version,
            access=Access(package.private, package.gated),
            api=HfApi(),
            report=click.echo,
        )
        write_receipt(RECEIPTS / f"{repo.folder}.json", receipt, folder, commit)


if __name__ == "__main__":
    main()
