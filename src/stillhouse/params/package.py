"""The section `package` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.params.base import Id, Section

PARALLEL = "parallel"  # folder and repository of all teachers' answers side by side


# Without a user name or password, which must not be published; it is written into a Markdown link.
_ADDRESS = r"^(https?://|(ssh://)?git@)[^\s()<>`@]+$"
# It is written in braces in BibTeX.
_AUTHOR = r"^[^{}\\\n]*[^\s{}\\][^{}\\\n]*$"


class Package(Section):
    """Names and terms of the released data sets.

    `layout: per_teacher` makes one repository per teacher and one with the answers of all teachers side by side;
    `single` makes one repository with a configuration per teacher. `allow_licenses` names licences of sources or
    teachers that stillhouse does not know and you have read; any other unknown licence stops the run. `authors` are
    named on the card and in its citation, which has the namespace without them. `code_url` is the address to clone this
    project's git repository from, without user name and password; card and provenance have both. `gated` requires
    readers to request access, which the Hub grants at once (auto) or you grant by hand (manual).
    """

    namespace: str
    name: Id
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    license: str
    layout: Literal["per_teacher", "single"] = "per_teacher"
    allow_licenses: list[str] = []
    authors: list[Annotated[str, Field(pattern=_AUTHOR)]] = []
    code_url: Annotated[str, Field(pattern=_ADDRESS)] | None = None
    languages: list[str] = ["en"]
    pretty_name: str
    private: bool
    gated: Literal[False, "auto", "manual"] = False
