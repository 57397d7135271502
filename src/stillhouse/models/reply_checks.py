"""Checks that the replies of an endpoint say what a run needs: whether an answer is complete, and how long it is."""

import sys
from collections import Counter

from stillhouse.models.chat_reply import COMPLETE, CUT, MISSING, WITHHELD, Reply
from stillhouse.models.engine import Completion, EngineError

# After so many answers the run stops if more than half do not say whether they are complete.
FIRST_ANSWERS = 20


class ReplyChecks:
    """Makes completions of the replies of one model, and prints what is odd about them, each thing once."""

    def __init__(self, model: str, *, has_budget: bool) -> None:
        self._model = model
        self._has_budget = has_budget
        self._told: set[str] = set()
        self._finishes: Counter[str] = Counter()

    def completion(self, url: str, answer: Reply, seconds: float) -> Completion:
        """Return the completion of a reply, and print once what the endpoint does not say.

        Args:
            url: The endpoint.
            answer: The reply.
            seconds: From asking to the last token.

        Raises:
            EngineError: there are no numbers of tokens for a budget, or most answers do not say that they are complete.
        """
        if answer.streamed:
            self.tell("streamed", f"{url}: sends events though none were asked for; read")
        if answer.prompt_tokens is None or answer.completion_tokens is None:
            lack = f"{url}: the reply has no `usage` with the numbers of tokens"
            if self._has_budget:
                raise EngineError(
                    f"model {self._model}: {lack}, so that `budget` of conf/runtime.yaml cannot be kept; remove it, "
                    "or use a server that counts tokens"
                )
            self.tell("usage", f"{lack}; they count as 0, and so does their cost")
        self._check_finish(url, answer.finish)
        made_on = {
            "served_model": answer.served_model,
            "system_fingerprint": answer.system_fingerprint,
        }
        return Completion(
            text=answer.text,
            reasoning=answer.reasoning,
            finish_reason=answer.finish,
            prompt_tokens=answer.prompt_tokens or 0,
            completion_tokens=answer.completion_tokens or 0,
            latency_seconds=round(seconds, 3),
            made_on={name: value for name, value in made_on.items() if value} or None,
        )

    def _check_finish(self, url: str, finish: str) -> None:
        unknown = finish not in COMPLETE | CUT | WITHHELD
        if unknown:
            said = "no finish_reason" if finish == MISSING else f"the finish_reason {finish}"
            self.tell(
                f"finish {finish}",
                f"{url}: an answer has {said}, which does not say that it is complete: such answers are "
                "counted under this name and never accepted; use a server that says `stop` or `length`",
            )
        if sum(self._finishes.values()) > FIRST_ANSWERS:
            return
        self._finishes[finish if unknown else "known"] += 1
        count = self._finishes.total() - self._finishes["known"]
        if self._finishes.total() == FIRST_ANSWERS and count > FIRST_ANSWERS // 2:
            del self._finishes["known"]
            raise EngineError(
                f"model {self._model}: {count} of the first {FIRST_ANSWERS} answers do not say that they are complete "
                f"(finish_reason {', '.join(sorted(self._finishes))}); use a server that says `stop` or `length`"
            )

    def tell(self, topic: str, line: str) -> None:
        """Print a line the first time that its topic comes up."""
        if topic not in self._told:
            self._told.add(topic)
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line about the model's endpoints on stderr."""
        print(f"model {self._model}: {line}", file=sys.stderr, flush=True)
