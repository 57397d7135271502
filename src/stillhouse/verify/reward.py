"""Free answers by a reward model: coherence, correctness and helpfulness, 0..4 each (paper section 3)."""

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


class Marks(Protocol):
    """A reward model to ask; `stillhouse.models.reward.Reward` is one."""

    async def marks(self, messages: Sequence[Message], answer: str) -> dict[str, float]:
        """Return the mark of each attribute for a conversation that ends with the answer.

        Raises:
            EngineError: there is none.
        """
        ...


async def check_reward(reward: Marks, query: Query, answer: str) -> Check:
    """Return the sum of the three marks over 12; a mark outside 0..4, where a regression may end, counts as 0 or 4."""
    try:
        marks = await reward.marks(query.messages, answer)
    except EngineError as error:
        reason: Reason = "too_long" if isinstance(error, TooLongError) else "judge_unavailable"
        return make_check(NAME, VERSION, None, reason, str(error))
    score = sum(min(max(marks[name], 0.0), BEST) for name in DIMENSIONS) / (BEST * len(DIMENSIONS))
    evidence = ", ".join(f"{name} {marks[name]:g}" for name in DIMENSIONS)
    return make_check(NAME, VERSION, score, None if score == 1.0 else "low_mark", evidence)
