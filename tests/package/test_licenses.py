import pytest

from stillhouse.package.changelog import names
from stillhouse.package.licenses import (
    TERMS,
    LicenseError,
    refuse_teacher,
    refuse_unknown,
    terms_of,
)
from tests.package.release_fixture import example, query_of


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Creative Commons Attribution 3.0 Unported License (CC BY 3.0)", "cc-by-3.0"),
        (
            "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International",
            "cc-by-nc-sa-4.0",
        ),
        ("Creative Commons Attribution Share Alike 4.0 International", "cc-by-sa-4.0"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("CC0 1.0 Universal", "cc0-1.0"),
        ("Creative Commons Zero v1.0 Universal", "cc0-1.0"),
        ("The MIT License (MIT)", "mit"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ('BSD 3-Clause "New" or "Revised" License', "bsd-3-clause"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("GNU General Public License v3.0 only", "gpl-3.0"),
        ("ODC-By-1.0", "odc-by"),
        ("Open Database License (ODbL) v1.0", "odbl"),
        ("Open Data Commons Public Domain Dedication & License 1.0", "pddl"),
        ("GNU Free Documentation License", "gfdl"),
    ],
)
def test_a_licence_is_known_by_its_names(name: str, same: str) -> None:
    assert terms_of(name) is TERMS[same]


@pytest.mark.parametrize(
    "name",
    [
        "CC BY-ND 4.0",
        "CC BY 3.0 US",
        "CC BY",
        "Apache License 1.1",
        "GPL-2.0-only",
        "MIT, non-commercial",
        "other",
        "",
    ],
)
def test_what_is_not_wholly_understood_is_unknown(name: str) -> None:
    assert terms_of(name) is None


def test_every_name_of_the_table_is_its_own() -> None:
    assert all(terms_of(name) is terms for name, terms in TERMS.items())


def test_rows_under_an_unknown_licence_are_refused_by_source() -> None:
    known, odd = query_of(example(1)), query_of(example(2, source_license="kodcode"))
    refuse_unknown([known], [])
    refuse_unknown([known, odd], ["KodCode"])
    with pytest.raises(
        LicenseError, match=r"^source sums.*'kodcode' is not known.*allow_licenses"
    ) as caught:
        refuse_unknown([known, odd, odd], [])
    assert "\n" not in str(caught.value)


def test_a_teacher_is_refused_for_what_would_stop_its_release() -> None:
    refuse_teacher("a", "mit", "apache-2.0", [])
    refuse_teacher("a", "odd", "apache-2.0", ["Odd"])
    refuse_teacher("a", "cc-by-nc-4.0", "cc-by-nc-4.0", [])
    refuse_teacher(
        "a", "mit", "FILL_IN", []
    )  # that the release has none yet is no fault of a teacher
    with pytest.raises(LicenseError, match=r"^teacher a: the licence 'odd' is not known"):
        refuse_teacher("a", "odd", "apache-2.0", [])
    with pytest.raises(LicenseError, match=r"allows commercial use, but .*teacher a \(cc-by-nc"):
        refuse_teacher("a", "cc-by-nc-4.0", "apache-2.0", [])


def test_a_changelog_names_a_whole_version() -> None:
    text = "- **0.1.0**: first.\n- **1.2.30**: more, after 0.2.0."
    assert all(names(text, version) for version in ("0.1.0", "1.2.30", "0.2.0"))
    assert not any(names(text, version) for version in ("1.2.3", "2.30.0", "0.2.1", "11.2.30"))
