"""Write docs/reference/adapters.md from the registry of adapters and from their test rows.

Usage: python tools/adapters_reference.py
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.adapters.base import Adapter, NotSelected, Unusable
from stillhouse.queries.faults import RowFaultError
from stillhouse.queries.origins import Origin
from stillhouse.queries.rows import query_of_row
from stillhouse.records import CATEGORIES, Query

PAGE = Path("docs/reference/adapters.md")
ROWS = Path(__file__).parents[1] / "tests/queries/adapters/rows"

HEAD = """# Adapters of public query sets

Made by `python tools/adapters_reference.py` from the adapters and their test rows; do not edit by hand.

An adapter reads one public layout: `kind: hub, adapter: kodcode`. It has the data set, its commit, configuration,
split, category and licence, says which rows are taken, and makes a query of a row. What a source of params.yaml sets
has precedence over what its adapter has. [Use your own queries](../how-to/own-queries.md) says how to use an adapter,
[Extend](../how-to/extend.md) how to write one.

- **Commit**: the commit that the adapter has. Where it has none, write `revision: FILL_IN` and run
  `stillhouse queries pin`.
- **Licence**: what public notes on the data set say; read its page before a release. An `unknown` licence, and one with
  `LicenseRef-`, stops a release: set `license` of the source, or allow the name in `package.allow_licenses`.
- **Taken and changed**: rows that are left out by design are counted as `not_selected`.
- **Test rows**: what becomes of rows in the layout that were written for the tests: how many become queries, and the
  reasons of the others.

The code sets are for Python. Where a question does not say so, the adapter adds it.

No adapter has been run on its whole data set: the layouts are those that public code reads and data cards show.
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    rows = rows_of_tests()
    for category in CATEGORIES:
        adapters = [adapter for adapter in ADAPTERS.values() if adapter.category == category]
        if adapters:
            parts.append(f"\n## {category}\n\n")
            parts.append(
                "| adapter | data set | commit | licence | taken and changed | test rows |\n"
            )
            parts.append("|---|---|---|---|---|---|\n")
            parts.extend(_line(adapter, rows.get(adapter.name, [])) for adapter in adapters)
    return "".join(parts)


def rows_of_tests() -> dict[str, list[dict[str, Any]]]:
    """Return the test rows of each adapter: kind, row, verdict, and what the query must have."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(ROWS.glob("*.yaml")):
        found |= YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return found


def outcome(adapter: Adapter, row: Mapping[str, Any]) -> tuple[str, Query | None]:
    """Return what becomes of a row: `query`, or `not_selected` or `rejected` with the reason; and the query."""
    try:
        adapted = adapter.adapt(row)
    except RowFaultError as fault:
        return f"rejected {fault.reason}", None
    if isinstance(adapted, NotSelected):
        return f"not_selected {adapted.reason}", None
    if isinstance(adapted, Unusable):
        return f"rejected {adapted.reason}", None
    origin = Origin(adapter.name, adapter.category, adapter.license, adapter=adapter)
    found = query_of_row(adapted, origin, {}, 1)
    return ("query", found) if isinstance(found, Query) else (f"rejected {found.reason}", None)


def _line(adapter: Adapter, rows: list[dict[str, Any]]) -> str:
    place = [f"`{adapter.repo}`", *_places(adapter)]
    commit = f"`{adapter.revision[:12]}`" if adapter.revision else "pin"
    cells = [
        f"`{adapter.name}`",
        ", ".join(place),
        commit,
        adapter.license,
        adapter.selection + (f". **Caveat:** {adapter.caveat}" if adapter.caveat else ""),
        _verdicts([outcome(adapter, entry["row"])[0] for entry in rows]),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _verdicts(outcomes: list[str]) -> str:
    reasons: dict[str, set[str]] = {"not_selected": set(), "rejected": set()}
    for found in outcomes:
        verdict, _, reason = found.partition(" ")
        if reason:
            reasons[verdict].add(f"`{reason}`")
    parts = [f"{outcomes.count('query')} of {len(outcomes)} queries"]
    parts += [f"{name}: {', '.join(sorted(why))}" for name, why in reasons.items() if why]
    return "; ".join(parts)


def _places(adapter: Adapter) -> Iterator[str]:
    if adapter.config is not None:
        yield f"configuration `{adapter.config}`"
    if adapter.split != "train":
        yield f"split `{adapter.split}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
