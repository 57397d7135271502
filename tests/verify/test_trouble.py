"""What a stage says of answers that could not be graded for trouble of the machine or the judge."""

import asyncio

import pytest

from stillhouse.models.engine import Completion, Request, UnansweredError
from stillhouse.records import Verdict
from stillhouse.verify.grade import Grader
from stillhouse.verify.trouble import Ungradable, UngradedError, words
from tests.verify.verify_builder import make_query, make_response, make_verify

CHAT = make_query("other", "How do I make tea?")


class FailingJudge:
    """A judge double of which every try of a request has failed."""

    async def complete(self, request: Request) -> Completion:
        raise UnansweredError(
            f"model judge: no answer after 8 tries: query {request.query_id}: HTTP 503: overloaded",
            "HTTP 503",
        )


def verdict() -> Verdict:
    async def graded() -> Verdict:
        grader = Grader(make_verify(), FailingJudge(), workers=1)
        try:
            return await grader.grade(CHAT, make_response(CHAT, "Boil water."))
        finally:
            await grader.close()

    return asyncio.run(graded())


def test_the_message_has_the_query_the_providers_words_and_the_remedy() -> None:
    found = verdict()
    assert (found.state, found.reason) == ("ungradable", "judge_unavailable")
    ungradable = Ungradable()
    ungradable.add("unread", "other")
    assert found.reason is not None
    ungradable.add(found.reason, found.query_id, words(found))
    ungradable.add("timeout", "later", "no")
    with pytest.raises(UngradedError) as told:
        ungradable.require_none_of_machine("verify alpha")
    text = str(told.value)
    assert text.startswith("verify alpha: 2 answers could not be graded")
    assert f"The first one: query {CHAT.id}: judge_unavailable: " in text
    assert "no answer after 8 tries" in text
    assert "HTTP 503: overloaded" in text
    assert "check that the judge can be reached" in text
    assert "run the same command again" in text


def test_what_stays_ungradable_ends_no_stage() -> None:
    ungradable = Ungradable()
    ungradable.add("unread", "other")
    ungradable.require_none_of_machine("verify alpha")
    assert ungradable.total == 1
