"""Names the roles of a run whose models share a base model, because such a run favours one teacher over the others."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.student import Student
from stillhouse.params.teacher import ReplaySolutions, Teacher

Role = Literal["teacher", "student", "judge", "scorer"]

# What two roles of one base model can do to the comparison.
EFFECTS: dict[tuple[Role, Role], str] = {
    (
        "teacher",
        "student",
    ): "a student may learn the answers of its own family more easily, so that a lead of such a "
    "teacher need not hold for a student of another family",
    ("teacher", "judge"): "a judge may favour answers of its own family",
    (
        "teacher",
        "scorer",
    ): "perplexity is lower for texts of the scorer's own family, so that one cut keeps more of "
    "them",
    (
        "student",
        "scorer",
    ): "the scorer keeps the answers that are likely under the student's own family",
}


class _Member(NamedTuple):
    role: Role
    label: str
    base: str


def shared_bases(
    teachers: Iterable[Teacher],
    students: Iterable[Student] = (),
    judge: Teacher | None = None,
    scorer: PerplexityScorer | None = None,
) -> list[str]:
    """Return a warning for each base model that models of different roles share.

    Models are compared by `base_model`, or by `model` where it is not set, whatever the case of the letters. A replay
    of worked solutions has no model.

    Args:
        teachers: those of the comparison.
        students: those that are trained.
        judge: null if only rules decide.
        scorer: of perplexity; null if none scores.
    """
    members = [
        _Member("teacher", teacher.label, teacher.base_model or teacher.model)
        for teacher in teachers
        if not isinstance(teacher.replay, ReplaySolutions)
    ]
    members += [_Member("student", s.label, s.base_model or s.model) for s in students]
    if judge is not None:
        members.append(_Member("judge", judge.label, judge.base_model or judge.model))
    if scorer is not None:
        members.append(_Member("scorer", scorer.model, scorer.base_model or scorer.model))
    groups: dict[str, list[_Member]] = {}
    for member in members:
        groups.setdefault(member.base.casefold(), []).append(member)
    return [_warning(group) for group in groups.values() if len({one.role for one in group}) > 1]


def _warning(group: list[_Member]) -> str:
    roles: dict[Role, list[str]] = {}
    for member in group:
        names = roles.setdefault(member.role, [])
        if member.label not in names:
            names.append(member.label)
    listed = [
        f"{role}{'s' if len(names) > 1 else ''} {', '.join(names)}" for role, names in roles.items()
    ]
    said = "; ".join(effect for pair, effect in EFFECTS.items() if roles.keys() >= set(pair))
    text = f"{', '.join(listed[:-1])} and {listed[-1]} share the base model {group[0].base}"
    text = text[0].upper() + text[1:]
    return f"{text}: {said}." if said else f"{text}."
