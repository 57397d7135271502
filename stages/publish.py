"""Stage publish: the data sets of the run to the Hub, a receipt each. Never part of an untargeted `dvc repro`."""

import click

from stillhouse import layout
from stillhouse.hub.publish import Access, publish, write_receipt
from stillhouse.hub.readiness import (
    clean_commit,
    refuse_lint_errors,
    refuse_missing_in_remote,
    refuse_stale_pipeline,
    refuse_unnamed_version,
)
from stillhouse.package.facts import repositories
from stillhouse.package.lint import CARD
from stillhouse.params.base import Id
from stillhouse.params.package import Package
from stillhouse.params.run import Controls
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Publish data/release/*."""
    from huggingface_hub import HfApi

    params = load_stage()
    package = params.section(Package, "package")
    released = params.section(Controls, "controls").released
    ids = (released(params.read(list[Id], key)) for key in ("teacher_ids", "compared_ids"))
    repos = repositories(package, *ids)
    commit = clean_commit()
    refuse_stale_pipeline()
    refuse_missing_in_remote()
    cards = [layout.RELEASE / repo.folder / CARD for repo in repos]
    refuse_unnamed_version(cards, package.version)
    refuse_lint_errors(layout.RELEASE / repo.folder for repo in repos)
    for repo in repos:
        folder = layout.RELEASE / repo.folder
        receipt = publish(
            folder,
            repo.repo_id,
            package.version,
            access=Access(package.private, package.gated),
            api=HfApi(),
            report=click.echo,
        )
        write_receipt(layout.RECEIPTS / f"{repo.folder}.json", receipt, folder, commit)


if __name__ == "__main__":
    main()
