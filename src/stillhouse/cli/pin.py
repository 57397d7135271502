"""`stillhouse queries pin`: fill in the commits of the Hub data sets that a run's queries come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.output import json_option, print_json
from stillhouse.errors import StillhouseError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class PinError(StillhouseError):
    """A commit cannot be filled in; the message names the source, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Place:
    """A revision to fill in: its source and data set, and where its value is in the file (both from 0)."""

    source: str
    repo: str
    line: int
    column: int


@dataclass(frozen=True)
class Pin:
    """A revision that was filled in."""

    source: str
    repo: str
    old: str
    new: str


@click.command()
@click.option(
    "--params",
    type=click.Path(path_type=Path),
    default=Path("params.yaml"),
    show_default=True,
    help="The file to change, such as profiles/paper/params.yaml.",
)
@json_option("pinned", "failed")
def pin(params: Path, json: bool) -> None:
    """Fill in the newest commit of each Hub source whose `revision` is FILL_IN.

    Asks the Hub, prints the old and the new value of each, and changes these values in the file and nothing else. A
    revision that is set is left as it is. Sources that cannot be asked for keep FILL_IN; the exit code is then 2.
    """
    from huggingface_hub import HfApi

    pinned, failed = pin_file(params, HfApi())
    if json:
        print_json({"pinned": pinned, "failed": failed})
    else:
        for entry in pinned:
            click.echo(f"{entry.source}: {entry.repo}: {entry.old} -> {entry.new}")
        if not pinned and not failed:
            click.echo(f"{params}: no revision of a query source to fill in")
    if failed:
        raise PinError("\n".join(f"{params}: {source}: {why}" for source, why in failed.items()))


def pin_file(path: Path, api: "HfApi") -> tuple[list[Pin], dict[str, str]]:
    """Fill in the revisions of a file, and return them and the sources that failed, with the reasons.

    Raises:
        ParamsError: the file is missing, not valid YAML, or has no list `queries.sources`.
        PinError: a source names no data set.
    """
    from stillhouse.files import partial
    from stillhouse.hub.calls import HubUnreachableError
    from stillhouse.params.base import PLACEHOLDER

    text, places = _places(path)
    pinned: list[Pin] = []
    failed: dict[str, str] = {}
    commits: dict[str, str] = {}
    unreachable = False
    lines = text.split("\n")
    # From the end, so that the columns of places in one line stay right.
    for place in reversed(places):
        if unreachable:  # each more try would wait as long
            failed[place.source] = f"{place.repo}: not asked for, because the Hub cannot be reached"
            continue
        try:
            commit = commits.get(place.repo) or newest_commit(place.repo, api)
        except StillhouseError as error:
            failed[place.source] = str(error)
            unreachable = isinstance(error, HubUnreachableError)
            continue
        commits[place.repo] = commit
        line = lines[place.line]
        rest = line[place.column :].replace(PLACEHOLDER, commit, 1)
        lines[place.line] = line[: place.column] + rest
        pinned.append(Pin(place.source, place.repo, PLACEHOLDER, commit))
    if pinned:
        with partial(path) as new:
            new.write_bytes("\n".join(lines).encode())
    return pinned[::-1], dict(reversed(failed.items()))


def newest_commit(repo: str, api: "HfApi") -> str:
    """Return the commit of a data set's main branch.

    Raises:
        StillhouseError: no network, no such data set, or no access to it; the message has the remedy.
    """
    from huggingface_hub.errors import (
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    from stillhouse.hub.calls import call

    def ask() -> str | None:
        try:
            commit: str | None = api.dataset_info(repo).sha
        except RepositoryNotFoundError:  # also for a private or gated one
            raise PinError(
                f"{repo}: no such data set on the Hub, or no access to it; correct `repo`, or accept its terms at "
                f"https://huggingface.co/datasets/{repo} and run `hf auth login`"
            ) from None
        except HFValidationError as error:
            raise PinError(f"{repo}: no name of a data set ({error}); correct `repo`") from None
        except OfflineModeIsEnabled:
            raise PinError(
                f"{repo}: HF_HUB_OFFLINE is set; unset it on a machine with a network, or write the 40-digit commit"
            ) from None
        return commit

    commit = call(f"data set {repo}", ask)
    if not commit:
        raise PinError(f"{repo}: the Hub names no commit; write it in `revision`")
    return commit


def _places(path: Path) -> tuple[str, list[Place]]:
    """Return the text of a file, and where its sources have a revision to fill in."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    from stillhouse.params.base import PLACEHOLDER, ParamsError
    from stillhouse.params.files import read_yaml
    from stillhouse.queries.adapters import ADAPTERS

    read_yaml(path)  # its errors name the file and the remedy
    text = path.read_bytes().decode("utf-8")
    content: Any = YAML().load(text)
    queries = content.get("queries")
    sources = queries.get("sources") if isinstance(queries, dict) else None
    if not isinstance(sources, list):
        raise ParamsError(f"{path}: queries.sources: a list of sources was expected")
    places = []
    for number, source in enumerate(sources):
        if not isinstance(source, CommentedMap) or source.get("revision") != PLACEHOLDER:
            continue
        name = str(source.get("id") or f"queries.sources.{number}")
        adapter = ADAPTERS.get(str(source.get("adapter")))
        repo = source.get("repo") or (adapter and adapter.repo)
        if not isinstance(repo, str) or repo == PLACEHOLDER:
            raise PinError(f"{path}: {name}: set `repo`, or an `adapter` that has one, first")
        line, column = source.lc.value("revision")
        places.append(Place(name, repo, line, column))
    return text, places
