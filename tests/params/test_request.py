"""What a teacher's requests may have, and what an endpoint's address may not."""

from typing import Any

import pytest

from stillhouse.params.base import PLACEHOLDER, ParamsError
from stillhouse.params.files import parse
from stillhouse.params.request import RequestOptions
from stillhouse.params.teacher import Teacher, TeacherRuntime

SECRET = "s3cr3t-pw"


def refused(section: type[Any], content: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as raised:
        parse(section, content, "where")
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@h.invalid:8000/v1",
        f"https://{SECRET}@h.invalid/v1",
        f"https://h.invalid/v1?key={SECRET}",
        f"https://h.invalid/v1#{SECRET}",
        "https://h.invalid/v1?",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_shown(url: str) -> None:
    assert "h.invalid" in (said := refused(TeacherRuntime, {"endpoints": ["http://a/v1", url]}))
    assert "`api_key_variable`" in said
    assert "where: endpoints.1" in said


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "127.0.0.1/v1",
        "http://host:port/v1",
        "http:///v1",
        "http://[::1/v1",
        f"ftp://me:{SECRET}@h.invalid/v1",
        "http://h.invalid/v1\nX",
        "",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    assert "a base URL such as" in refused(TeacherRuntime, {"endpoints": [url]})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "https://h.invalid/api/v1/", "http://[::1]:8/v1"]
)
def test_addresses_are_taken_as_they_are(url: str) -> None:
    assert parse(TeacherRuntime, {"endpoints": [url, PLACEHOLDER]}, "where").endpoints[0] == url


def test_an_address_that_is_no_list_shows_no_password() -> None:
    refused(TeacherRuntime, {"endpoints": f"http://me:{SECRET}@h.invalid/v1"})


def test_a_key_in_place_of_the_name_of_its_variable_is_refused_and_not_shown() -> None:
    assert "never the key itself" in refused(TeacherRuntime, {"api_key_variable": f"sk-{SECRET}"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"proxy-authorization": SECRET},
        {"X-API-Key": SECRET},
        {"api_key": SECRET},
        {"X-Auth-Token": SECRET},
        {"Cookie": SECRET},
        {"X-Any": f"Bearer {SECRET}"},
        {"X-Any": f"Basic {SECRET}"},
    ],
)
def test_a_secret_in_a_header_is_refused_and_not_shown(headers: dict[str, str]) -> None:
    assert "`api_key_variable`" in refused(RequestOptions, {"headers": headers})


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Type": "text/plain"}, "set by the client"),
        ({"Host": "other"}, "set by the client"),
        ({"X-Title": "two\r\nlines"}, "one line"),
        ({"X-Title": "für"}, "printable ASCII"),
        ({"X Title:": "a"}, "letters, digits and hyphens"),
        ({"X-Title": 7}, "string"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(headers: dict[str, Any], message: str) -> None:
    assert message in refused(RequestOptions, {"headers": headers})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": "other"}, "model: it is set by teacher.model"),
        ({"messages": None}, "messages: it is set by the query"),
        ({"temperature": 0.5}, "temperature: it is set by teacher.sampling.temperature"),
        ({"max_completion_tokens": 5}, "max_tokens_field"),
        ({"seed": 3}, "seed: it is set by run.seed"),
        ({"api_key": SECRET}, "`api_key_variable`"),
        ({"limit": float("nan")}, "JSON"),
    ],
)
def test_a_field_that_is_set_elsewhere_is_refused(body: dict[str, Any], message: str) -> None:
    assert message in refused(RequestOptions, {"extra_body": body})


def test_null_takes_a_field_out() -> None:
    body = {"seed": None, "top_p": None, "stop_token_ids": [1], "provider": {"order": ["a"]}}
    assert parse(RequestOptions, {"extra_body": body}, "where").extra_body == body


def test_options_are_for_endpoints_only() -> None:
    teacher = {
        "label": "t",
        "engine": "vllm",
        "model": "m",
        "revision": "0" * 40,
        "license": "mit",
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 8},
        "request": {"reasoning_effort": "low"},
    }
    assert "`request` is for engine openai only" in refused(Teacher, teacher)
    found = parse(Teacher, {**teacher, "engine": "openai"}, "where")
    assert found.request is not None
    assert found.request.reasoning_effort == "low"
