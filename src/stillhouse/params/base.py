"""What the models of all files share: the strict base class, constrained types and the error."""

import re
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stillhouse.errors import StillhouseError

# A profile has this where only the user knows the value.
PLACEHOLDER = "FILL_IN"


class ParamsError(StillhouseError):
    """A YAML file of the run is missing, malformed or contradicts itself."""


def _check_id(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(
            "an id must match [a-z][a-z0-9_]* (dots, slashes and @ break DVC's stage names)"
        )
    return value


def _check_revision(value: str) -> str:
    if value == PLACEHOLDER or re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
        return value
    raise ValueError(
        "a revision must be a commit hash (40 hex digits) or a file's sha256 (64), "
        "never a branch or tag such as `main`: "
        "a moving name would change the result without a trace"
    )


def _check_teacher_revision(value: str) -> str:
    return value if value == "none" else _check_revision(value)


def _check_input(value: str) -> str:
    if value == PLACEHOLDER or (value.startswith("inputs/") and ".." not in value):
        return value
    raise ValueError(
        "a file that a run reads must lie in inputs/, the folder that the stages depend on: "
        "elsewhere a changed file would change the result without a trace"
    )


def _check_endpoint(value: str) -> str:
    if value == PLACEHOLDER:
        return value
    try:
        parts = urlsplit(value)
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    # The message shows no part of the URL that may be a secret.
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("a base URL such as http://host:8000/v1 is needed")
    if "@" in parts.netloc:
        raise ValueError(
            f"the URL of {host} has a user name or password, which would stand in a committed file; take it out, and "
            "name the environment variable with the API key as `api_key_variable`"
        )
    if parts.query or parts.fragment or "?" in value:
        raise ValueError(
            f"the URL of {host} has a query or fragment after its path; take it out (an API key goes into the "
            "environment variable that `api_key_variable` names)"
        )
    return value


def _check_variable(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        return value
    raise ValueError(
        "the name of an environment variable is needed, such as THE_API_KEY, never the key itself"
    )


Id = Annotated[str, AfterValidator(_check_id)]
Revision = Annotated[str, AfterValidator(_check_revision)]
TeacherRevision = Annotated[str, AfterValidator(_check_teacher_revision)]
InputPath = Annotated[str, AfterValidator(_check_input)]
EndpointUrl = Annotated[str, AfterValidator(_check_endpoint)]
EnvironmentVariable = Annotated[str, AfterValidator(_check_variable)]
# Column of a row -> its required value, or a list of its allowed values.
Scalar = str | bool | int | float
Where = dict[str, Scalar | Annotated[list[Scalar], Field(min_length=1)]]
# A number from 0 to 1: a probability, a share, a similarity or a score.
UnitInterval = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all models of parameters: immutable; unknown keys are errors.

    `OLD_NAMES` maps the old names of keys to their names. Files may have old names for one version, with a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    OLD_NAMES: ClassVar[dict[str, str]] = {}


def check_unique(ids: list[str], where: str) -> None:
    """Raise ValueError if an id occurs more than once; `where` is the key of the list."""
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise ValueError(f"{where}: these ids occur more than once: {', '.join(repeated)}")
