"""The constraints of an instruction query, as the checkers of IFEval will read them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stillhouse.constraint_arguments import CONSTRAINT_KWARGS
from stillhouse.queries.cells import is_blank, unpacked
from stillhouse.queries.faults import RowFaultError, shown
from stillhouse.records import Constraint
from stillhouse.verify.demands import DEMAND
from stillhouse.verify.rules.ifeval import check_constraints

# What the checkers are tried on: whether they follow it does not matter, only whether they can be used.
_PROBE = "A short text."
MOST = 2**31  # of a number in an argument; tables hold 64 bits


def constraints_of(row: Mapping[str, Any]) -> list[Constraint]:
    """Return the constraints of a row, which may have none.

    They are a list of {id, kwargs} in `constraints`, or, as in IFEval's own files, the ids in `instruction_id_list` and
    the arguments of each in `kwargs`; each also as a JSON text. Arguments without a value, of which those files are
    full, are left out.

    Raises:
        RowFaultError: `invalid_constraints`: another layout, both of them, or arguments that no checker takes.
    """
    pairs, ids, kwargs = (
        unpacked(row.get(name)) for name in ("constraints", "instruction_id_list", "kwargs")
    )
    if isinstance(pairs, Mapping) and ids is None:  # both lists in one cell
        pairs, ids, kwargs = (
            None,
            *(unpacked(pairs.get(n)) for n in ("instruction_id_list", "kwargs")),
        )
    pairs, ids = (None if is_blank(value) else value for value in (pairs, ids))
    if pairs is not None and ids is not None:
        raise RowFaultError(
            "invalid_constraints", "both `constraints` and `instruction_id_list`; keep one"
        )
    if ids is not None:
        pairs = _of_lists(ids, kwargs)
    if not isinstance(pairs or [], list):
        raise RowFaultError("invalid_constraints", f"a list was expected, found {shown(pairs)}")
    return [_constraint(unpacked(pair)) for pair in pairs or []]


def _of_lists(ids: Any, kwargs: Any) -> list[dict[str, Any]]:
    if not isinstance(ids, list) or not isinstance(kwargs, list) or len(ids) != len(kwargs):
        raise RowFaultError(
            "invalid_constraints",
            "`instruction_id_list` needs `kwargs`, a list with the arguments of each of its ids: "
            f"found {shown(ids)} and {shown(kwargs)}",
        )
    return [{"id": id, "kwargs": given} for id, given in zip(ids, kwargs, strict=True)]


def _constraint(value: Any) -> Constraint:
    given = unpacked(value.get("kwargs")) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(given or {}, Mapping):
        raise RowFaultError(
            "invalid_constraints",
            f"a constraint is a mapping with `id` and a mapping `kwargs`; found {shown(value)}",
        )
    # Tables without a type for whole numbers that may be missing have 3.0 for 3.
    kwargs = {
        name: int(entry) if isinstance(entry, float) and entry.is_integer() else entry
        for name, entry in (given or {}).items()
        if entry is not None and entry == entry  # NaN
    }
    if unknown := kwargs.keys() - CONSTRAINT_KWARGS:
        raise RowFaultError(
            "invalid_constraints",
            f"{shown(value.get('id'))} has the unknown argument {', '.join(sorted(map(str, unknown)))}; "
            f"known: {', '.join(sorted(CONSTRAINT_KWARGS))}",
        )
    if any(isinstance(entry, int) and abs(entry) >= MOST for entry in kwargs.values()):
        raise RowFaultError("invalid_constraints", f"a number above {MOST}: {shown(value)}")
    if value.get("id") == DEMAND and not isinstance(kwargs.get("demand"), str):
        raise RowFaultError(
            "invalid_constraints", f"{DEMAND} needs a text `demand`: {shown(value)}"
        )
    try:
        return msgspec.convert({"id": value.get("id"), "kwargs": kwargs}, Constraint)
    except msgspec.ValidationError as error:
        raise RowFaultError("invalid_constraints", f"{error}: {shown(value)}") from None


def refuse_uncheckable(constraints: list[Constraint]) -> None:
    """Refuse what the checkers do not know, and arguments that they do not take.

    Raises:
        RowFaultError: `unknown_constraint` or `invalid_constraints`.
        IfevalError: the data of the checkers is not installed.
    """
    rules = [constraint for constraint in constraints if constraint.id != DEMAND]
    if not rules:
        return
    check = check_constraints(rules, _PROBE)
    if check.reason == "unknown_constraint":
        raise RowFaultError("unknown_constraint", check.evidence or "")
    if check.state == "ungradable":
        raise RowFaultError("invalid_constraints", check.evidence or "")
