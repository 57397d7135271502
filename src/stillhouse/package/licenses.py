"""Derives the conditions of a release from the licences of its sources and teachers.

This is not legal advice: the table has what the licence texts state about commercial use and about share-alike terms. A
licence outside the table is unknown. It blocks a run until a person has read it and allows it by name.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from stillhouse.errors import StillhouseError
from stillhouse.package.license_names import hub_name
from stillhouse.records import Query


@dataclass(frozen=True)
class Terms:
    """The conditions of a licence for those who distribute the material."""

    commercial: bool = True
    share_alike: bool = False
    attribution: bool = True
    note: str = ""


_OPEN = Terms()
_NO_CONDITIONS = Terms(attribution=False)
_NON_COMMERCIAL = Terms(commercial=False)
_LLAMA = "models trained on outputs must carry the name Llama, and the acceptable use policy is passed on"
# Licence names as in the card field `license` of the Hub, in lower case.
_BY = [f"cc-by-{version}" for version in ("1.0", "2.0", "2.5", "3.0", "4.0")]
_SHARE_ALIKE = Terms(share_alike=True)
TERMS: dict[str, Terms] = {
    "apache-2.0": _OPEN,
    "mit": _OPEN,
    "bsd": _OPEN,
    "bsd-2-clause": _OPEN,
    "bsd-3-clause": _OPEN,
    "isc": _OPEN,
    "cc0-1.0": _NO_CONDITIONS,
    "unlicense": _NO_CONDITIONS,
    "pddl": _NO_CONDITIONS,
    "odc-by": _OPEN,
    "cdla-permissive-1.0": _OPEN,
    "cdla-permissive-2.0": _OPEN,
    "odbl": _SHARE_ALIKE,
    "gpl-3.0": _SHARE_ALIKE,
    "agpl-3.0": _SHARE_ALIKE,
    "gfdl": _SHARE_ALIKE,
    **dict.fromkeys(_BY, _OPEN),
    **{name.replace("by", "by-sa"): _SHARE_ALIKE for name in _BY},
    **{name.replace("by", "by-nc"): _NON_COMMERCIAL for name in _BY},
    **{name.replace("by", "by-nc-sa"): Terms(commercial=False, share_alike=True) for name in _BY},
    "llama3.1": Terms(note=_LLAMA),
    "llama3.2": Terms(note=_LLAMA),
    "llama3.3": Terms(note=_LLAMA),
    "gemma": Terms(note="the use restrictions of Gemma's terms are passed on"),
}


class LicenseError(StillhouseError):
    """A licence is unknown and not allowed by name."""


def terms_of(license_name: str) -> Terms | None:
    """Return the conditions of a licence under any of its names; None if it is unknown."""
    return TERMS.get(hub_name(license_name))


def restrictions(license_name: str) -> int:
    """Return how much a licence restricts those who distribute the material, from 0; one that is not known is last."""
    terms = terms_of(license_name)
    if terms is None:
        return 8
    return 4 * (not terms.commercial) + 2 * terms.share_alike + bool(terms.note)


@dataclass(frozen=True)
class Consequences:
    """The conditions of a release: for each kind of condition, the licences by source or teacher.

    `allowed` has the unknown licences that the parameters allow by name.
    """

    non_commercial: dict[str, str]
    share_alike: dict[str, str]
    attribution: dict[str, str]
    notes: dict[str, str]
    allowed: dict[str, str]
    unknown: dict[str, str]


def consequences(licenses: Mapping[str, str], allowed: Collection[str]) -> Consequences:
    """Return the conditions that follow from licences.

    Args:
        licenses: licence by the name of the source or teacher.
        allowed: licences that are not in the table but are allowed by the parameters.
    """
    terms = {name: terms_of(license_) for name, license_ in licenses.items()}
    permitted = {license_.lower() for license_ in allowed}

    def under(wanted: Mapping[str, bool]) -> dict[str, str]:
        return {name: licenses[name] for name in sorted(licenses) if wanted[name]}

    return Consequences(
        non_commercial=under({n: t is not None and not t.commercial for n, t in terms.items()}),
        share_alike=under({n: t is not None and t.share_alike for n, t in terms.items()}),
        attribution=under({n: t is not None and t.attribution for n, t in terms.items()}),
        notes={name: t.note for name, t in sorted(terms.items()) if t is not None and t.note},
        allowed=under(
            {n: t is None and licenses[n].lower() in permitted for n, t in terms.items()}
        ),
        unknown=under(
            {n: t is None and licenses[n].lower() not in permitted for n, t in terms.items()}
        ),
    )


def faults(found: Consequences, release_license: str, allowed: Collection[str]) -> list[str]:
    """Return the reasons, one line each, why a release may not have its licence.

    Args:
        found: the conditions of the release.
        release_license: the licence of the release.
        allowed: licences that the parameters allow by name.
    """
    lines = _unknown(found)
    own = terms_of(release_license)
    if own is None and release_license.lower() not in {name.lower() for name in allowed}:
        lines.append(
            f"package.license: {release_license!r} is not known to stillhouse; use the Hub's name of a licence, or "
            "allow it in package.allow_licenses"
        )
    return lines + _conflicts(found, release_license)


def refuse_unknown(queries: Iterable[Query], allowed: Collection[str]) -> None:
    """Refuse queries under a licence that is neither known nor allowed, before a model is paid for answers to them.

    Raises:
        LicenseError: there are such queries; the message names each licence and its source.
    """
    found = {(query.source, query.license) for query in queries}
    by_name = {f"source {source}, rows under {license_}": license_ for source, license_ in found}
    if lines := _unknown(consequences(by_name, allowed)):
        raise LicenseError("\n".join(lines))


def refuse_teacher(
    teacher: str, license_name: str, release_license: str, allowed: Collection[str]
) -> None:
    """Refuse a teacher whose licence would stop the release, before it is asked anything.

    Args:
        teacher: the teacher's id.
        license_name: its licence.
        release_license: the licence of the release.
        allowed: licences that the parameters allow by name.

    Raises:
        LicenseError: the licence is neither known nor allowed, or forbids the commercial use that the release allows.
    """
    found = consequences({f"teacher {teacher}": license_name}, allowed)
    if lines := _unknown(found) + _conflicts(found, release_license):
        raise LicenseError("\n".join(lines))


def _conflicts(found: Consequences, release_license: str) -> list[str]:
    own = terms_of(release_license)
    if not found.non_commercial or own is None or not own.commercial:
        return []
    bound = ", ".join(f"{name} ({terms})" for name, terms in found.non_commercial.items())
    return [
        f"package.license: {release_license} allows commercial use, but these do not: {bound}; set a "
        "non-commercial licence such as cc-by-nc-4.0, or leave them out"
    ]


def _unknown(found: Consequences) -> list[str]:
    return [
        f"{name}: the licence {license_!r} is not known to stillhouse; read it, then allow it by name in "
        "package.allow_licenses, or leave the source or teacher out"
        for name, license_ in found.unknown.items()
    ]
