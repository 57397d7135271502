"""Measures the error of the verifiers on the golden cases, which are answers with known verdicts.

The golden cases are JSON files in `tests/verify/golden`, one per verifier. A case has the answer (`output`), the fields
of the query, and the right `verdict`: pass, fail, ungradable, or for science "judge" if no rule may decide. The audit
covers the verifiers that follow rules, and the parsing of a judge's replies (`judge_reply_parsing`). `judge_audit`
measures the judge itself.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.models.engine import Completion
from stillhouse.params.verify import CodeLimits
from stillhouse.records import Check, CodeTest, Constraint, Message, Query
from stillhouse.verify import demands, judge
from stillhouse.verify.checks import MachineReason, make_check
from stillhouse.verify.code import check as code
from stillhouse.verify.code import sandbox
from stillhouse.verify.pool import GUARD_SECONDS, Pool
from stillhouse.verify.rules import ifeval, math, science

GOLDEN = Path("tests/verify/golden")
JUDGE_REPLY_PARSING = "judge_reply_parsing"
LEFT_TO_JUDGE = "judge"
# The limits of the golden cases, some of which exceed them. They are constants, so that two runs are comparable.
LIMITS = CodeLimits(
    isolation="bubblewrap", max_tests=10, test_seconds=5.0, total_seconds=20.0, memory_mb=512
)
ITEM_SECONDS = 30.0


class AuditError(StillhouseError):
    """The golden cases are missing or malformed; the message names the file and the case."""


class Outcome(NamedTuple):
    """The result of one golden case: the verifier, the right verdict, and the verifier's verdict."""

    verifier: str
    why: str
    right: str
    said: str
    evidence: str


class _Case(NamedTuple):
    verifier: str
    right: str
    function: Callable[..., Check | None]
    args: tuple[Any, ...]


async def run_cases(
    folder: Path, workers: int, advance: Callable[[], None] = lambda: None
) -> list[Outcome]:
    """Run the verifiers on all golden cases of a folder.

    Args:
        folder: The folder of the golden cases.
        workers: The number of worker processes.
        advance: Called after each case.

    Raises:
        AuditError: a file is missing, a case is malformed, or the machine failed at a case.
        SandboxError: code cannot be isolated here.
    """
    cases = load_cases(folder)
    if trouble := sandbox.probe(LIMITS.isolation):
        raise sandbox.SandboxError(trouble)
    pool = Pool(workers, ITEM_SECONDS)

    async def outcome(why: str, case: _Case) -> Outcome:
        if case.verifier == code.NAME:
            guard = code.seconds_at_most(case.args[0], LIMITS) + GUARD_SECONDS
            check = await pool.run_sandboxed(guard, code.check_code, *case.args)
        else:
            check = await pool.run(_checked, case.function, case.args)
        advance()
        if check.reason in get_args(MachineReason) and case.right != "ungradable":
            raise AuditError(
                f"{case.verifier}: {why}: {check.reason}: {check.evidence}; this is a failure of the machine and not "
                "of the verifier: run the audit again when the machine is less busy"
            )
        said = LEFT_TO_JUDGE if check.reason == "no_judge" else check.state
        return Outcome(case.verifier, why, case.right, said, check.evidence or "")

    try:
        return await asyncio.gather(*(outcome(why, case) for why, case in cases))
    finally:
        await pool.close()


def load_cases(folder: Path) -> list[tuple[str, _Case]]:
    """Return all cases with their descriptions.

    Raises:
        AuditError: as `run_cases`.
    """
    cases = []
    for name, make in _MAKERS.items():
        path = folder / f"{name}.json"
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise AuditError(
                f"{path}: no golden cases here; run inside the project, or pass the folder"
            ) from None
        except ValueError as error:
            raise AuditError(f"{path}: not JSON: {error}") from None
        for number, row in enumerate(rows):
            try:
                cases.append((str(row.get("why", row.get("reply"))), make(row)))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise AuditError(
                    f"{path}: case {number}: {type(error).__name__}: {error}"
                ) from None
    return cases


def summary(outcomes: list[Outcome]) -> dict[str, dict[str, int]]:
    """Return by verifier: `cases`, `right_answers` among them, `false_accepts`, `false_rejects`, and `ungradable`.

    A false accept is a pass although another verdict is right. A false reject is a fail although a pass is right.
    `ungradable` counts answers that should pass or fail and did neither. A case that a rule rightly leaves to the judge
    counts only in `cases`.
    """
    figures: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        part = figures.setdefault(
            outcome.verifier,
            {
                "cases": 0,
                "right_answers": 0,
                "false_accepts": 0,
                "false_rejects": 0,
                "ungradable": 0,
            },
        )
        part["cases"] += 1
        part["right_answers"] += outcome.right == "pass"
        part["false_accepts"] += outcome.said == "pass" != outcome.right
        part["false_rejects"] += outcome.said == "fail" and outcome.right == "pass"
        part["ungradable"] += outcome.said == "ungradable" and outcome.right in ("pass", "fail")
    return figures


def _checked(function: Callable[..., Check | None], args: tuple[Any, ...]) -> Check:
    """Return the check of a verifier; a rule that does not apply leaves the answer to the judge."""
    check = function(*args)
    return check or make_check("none", "1", None, "no_judge", "no rule for this reference")


def _math(row: dict[str, Any]) -> _Case:
    args = (row["reference"], row["output"], row.get("prompt", ""))
    return _Case(math.NAME, row["verdict"], math.check_math, args)


def _science(row: dict[str, Any]) -> _Case:
    args = (row["reference"], row["output"], row["prompt"])
    return _Case(science.NAME, row["verdict"], science.check_science, args)


def _if(row: dict[str, Any]) -> _Case:
    constraints = msgspec.convert(row["constraints"], list[Constraint])
    args = (constraints, row["output"])
    return _Case(ifeval.NAME, row["verdict"], ifeval.check_constraints, args)


def _code(row: dict[str, Any]) -> _Case:
    query = Query(
        id="golden",
        category="code",
        source="golden",
        license="apache-2.0",
        messages=[Message(role="user", content="")],
        language=row.get("language", "python"),
        setup=row.get("setup"),
        entry_point=row.get("entry_point"),
        tests=msgspec.convert(row["tests"], list[CodeTest]),
    )
    return _Case(code.NAME, row["verdict"], code.check_code, (query, row["output"], LIMITS))


def _judge(row: dict[str, Any]) -> _Case:
    right = "ungradable" if row["mark"] is None else "pass"
    args = (row["kind"], row["reply"], row["mark"])
    return _Case(JUDGE_REPLY_PARSING, right, _read_reply, args)


def _read_reply(kind: str, reply: str, mark: str | int | list[str] | None) -> Check:
    """Parse a judge's reply: the right score is a pass, another score a fail, an unreadable reply is ungradable."""
    found: str | int | list[str] | None
    if kind == "demands":
        found = demands.parse_demands(
            Completion(text=reply, finish_reason="stop", prompt_tokens=0, completion_tokens=0)
        )
    elif kind == "math":
        found = judge.parse_word(reply, ("yes", "no"))
    else:
        best = judge.REWARD_BEST if kind == "reward" else judge.SCIENCE_BEST
        found = judge.parse_score(reply, best)
    if found is None:
        return make_check(
            JUDGE_REPLY_PARSING, judge.VERSION, None, "judge_noncompliant", repr(reply)
        )
    # A score that was read from a reply without a valid form counts as an accept.
    score = 1.0 if mark is None or found == mark else 0.0
    return make_check(JUDGE_REPLY_PARSING, judge.VERSION, score, None, f"read {found!r}")


_MAKERS: dict[str, Callable[[dict[str, Any]], _Case]] = {
    "math": _math,
    "science": _science,
    "if": _if,
    "code": _code,
    "judge": _judge,
}
