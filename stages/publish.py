"""Stage publish: one teacher's release to the Hub, then a receipt. Never part of an untargeted `dvc repro`."""

import dataclasses
import subprocess
from pathlib import Path

import click

from stillhouse.params import Package, load_stage
from stillhouse.release.hub import HubError, publish, repository
from stillhouse.release.lint import lint
from stillhouse.release.manifest import MANIFEST, sha256_of
from stillhouse.stage import stage_command, write_json

# Written by this stage itself, so that the second teacher of one command does not trip over the first.
OWN_FILES = ("publish/receipts", "publish/dvc.lock")


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Publish data/release/TEACHER."""
    from huggingface_hub import HfApi

    package = load_stage().section(Package, "package")
    commit = clean_commit()
    folder = Path("data/release") / teacher
    errors = [finding for finding in lint(folder) if finding.level == "error"]
    if errors:
        lines = "\n".join(f"  {finding}" for finding in errors)
        raise HubError(f"{folder}: {len(errors)} lint errors, so it is not published:\n{lines}")
    receipt = publish(
        folder,
        repository(package, teacher),
        package.version,
        private=package.private,
        api=HfApi(),
    )
    write_json(
        Path(f"publish/receipts/{teacher}.json"),
        {
            **dataclasses.asdict(receipt),
            "git_commit": commit,
            "manifest_sha256": sha256_of(folder / MANIFEST),
        },
    )


def clean_commit() -> str:
    """Return the git commit of the project; a release must be made of committed code and parameters alone."""
    excluded = [f":(exclude){path}" for path in OWN_FILES]
    changed = _git("status", "--porcelain", "--", ".", *excluded)
    if changed:
        raise HubError(
            f"the git tree is dirty ({', '.join(changed.split()[1::2])}); commit before publishing, so that the "
            "receipt names what made the release"
        )
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HubError(f"git {arguments[0]} failed ({error}); publish from a git clone") from None
    return done.stdout.strip()


if __name__ == "__main__":
    main()
