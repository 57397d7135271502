"""Grades free answers with a reward model: coherence, correctness and helpfulness, 0 to 4 each (paper section 3)."""

from collections.abc import Sequence
from typing import Protocol

from stillhouse.models.engine import EngineError
from stillhouse.models.reward import TooLongError
from stillhouse.records import Check, Message, Query
from stillhouse.verify.checks import Reason, make_check

NAME = "reward_model"
VERSION = "2"

BEST = 4.0
DIMENSIONS = ("coherence", "correctness", "helpfulness")


class RewardScorer(Protocol):
    """A reward model, such as `stillhouse.models.reward.Reward`."""

    async def scores(self, messages: Sequence[Message], answer: str) -> dict[str, float]:
        """Return the score of each attribute for a conversation that ends with the answer.

        Raises:
            EngineError: there are no scores.
        """
        ...


async def check_reward(reward: RewardScorer, query: Query, answer: str) -> Check:
    """Return the sum of the three scores over 12. A score outside 0 to 4, which a regression may give, is clipped.

    Args:
        reward: The reward model.
        query: The query, whose messages are the conversation.
        answer: The answer part of the response.
    """
    try:
        scores = await reward.scores(query.messages, answer)
    except EngineError as error:
        reason: Reason = "too_long" if isinstance(error, TooLongError) else "judge_unavailable"
        return make_check(NAME, VERSION, None, reason, str(error))
    score = sum(min(max(scores[name], 0.0), BEST) for name in DIMENSIONS) / (BEST * len(DIMENSIONS))
    evidence = ", ".join(f"{name} {scores[name]:g}" for name in DIMENSIONS)
    return make_check(NAME, VERSION, score, None if score == 1.0 else "low_mark", evidence)
