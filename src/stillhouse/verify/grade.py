"""The verdict on a response: which checks a category has, and how they are combined.

| category | checks | verdict |
|---|---|---|
| math | rule; the judge where `verify.judge.math` allows it | either may accept |
| code | tests in the sandbox | the tests' |
| science | rule where the reference allows one; the judge where `verify.judge.science` allows it | either may accept |
| if | IFEval checkers; the judge on demands that it wrote itself | the mean over all |
| multiturn, other | the reward model's three marks; the judge's where the run has none | these |

A query that names a verifier of a plugin has that one's verdict alone, whatever its category.

Every check is kept in the verdict. A verdict is ungradable where the deciding check is, never a guess. What the checks
said is stored, if a run has a journal; thresholds are applied whenever it is read.
"""

import os
from collections.abc import Sequence

import msgspec

from stillhouse.models.engine import Request
from stillhouse.params.teacher import Price
from stillhouse.params.verify import Verify
from stillhouse.records import Check, Query, Response, State, Verdict
from stillhouse.verify import demands, judge
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.code import check as code
from stillhouse.verify.code import sandbox
from stillhouse.verify.custom import check_custom, find_verifier
from stillhouse.verify.judge import Judge, Metered
from stillhouse.verify.pool import GUARD_SECONDS, Pool
from stillhouse.verify.references import check_references, deciding
from stillhouse.verify.reward import RewardScorer, check_reward
from stillhouse.verify.rules import ifeval, math, science
from stillhouse.verify.rules.options import option_letter
from stillhouse.verify.stored import Graded, Stored

ANSWER_NAME = "answer"
ANSWER_VERSION = "1"


def judge_requests(verify: Verify, query: Query, answer: str | None) -> list[Request]:
    """Return what a grader may ask the judge about an answer; null: about one that nobody knows yet.

    It is the most: in math the rule is not run here, and a judge that gives no mark on one dimension is not asked for
    the next.
    """
    if query.verifier is not None:
        return []
    text, references = answer or "", query.references
    when = verify.judge
    match query.category:
        case "math" if references and when.math != "never":
            return [judge.math_request(query, _for_judge(references), text)]
        case "science" if references and when.science != "never":
            if answer is None:
                letters = all(option_letter(reference.strip()) for reference in references)
                may = when.science == "any_no" or not letters
            else:
                checks = [science.check_science(r, answer, query.prompt) for r in references]
                may = judge.is_asked(when.science, deciding(checks))
            return [judge.science_request(query, _for_judge(references), text)] if may else []
        case "if":
            return list(demands.judging_requests(query, text).values())
        case "multiturn" | "other" if verify.reward is None:
            return list(judge.reward_requests(query, text).values())
        case _:
            return []


class Grader:
    """Grades responses, many at a time, in `workers` processes (null: one per core).

    `price` is the judge's: with it, each verdict says what the judge's words on it cost. With `stored`, an answer is
    graded once. `judge_replies`, `judge_prompt_tokens` and `judge_completion_tokens` are those of all verdicts so far,
    of stored ones too.
    """

    def __init__(
        self,
        verify: Verify,
        judge: Judge | None,
        reward: RewardScorer | None = None,
        workers: int | None = None,
        price: Price | None = None,
        stored: Stored | None = None,
    ):
        self.judge_replies = self.judge_prompt_tokens = self.judge_completion_tokens = 0
        self._verify = verify
        self._judge = judge
        self._reward = reward
        self._price = price
        self._stored = stored
        self._pool = Pool(workers or len(os.sched_getaffinity(0)), verify.item_cpu_seconds)
        self._isolation_checked = False

    async def grade(self, query: Query, response: Response) -> Verdict:
        """Return the verdict on one response; only its answer part is read.

        Raises:
            SandboxError: code is to be run, and the isolation that the parameters ask for does not work here.
            JournalError: the verdict could not be kept.
        """
        graded = _at_once(response)
        if graded is None and self._stored is None:
            graded = await self._graded(query, response)
        elif graded is None and self._stored is not None:
            key = self._stored.key(query, response)
            graded = self._stored.get(key)
            if graded is None:
                graded = await self._graded(query, response)
                await self._stored.put(key, graded)
        assert graded is not None
        return self._verdict(query, response, graded)

    def known(self, asked: Sequence[tuple[Query, Response]]) -> list[Verdict | None]:
        """Return the verdicts on many responses as far as nothing needs to be graded for them.

        Raises:
            JournalError: the journal cannot be read.
        """
        at_once = [_at_once(response) for _, response in asked]
        keys: list[bytes | None] = [None] * len(asked)
        found: dict[bytes, Graded] = {}
        if self._stored is not None:
            for place, (query, response) in enumerate(asked):
                if at_once[place] is None:
                    keys[place] = self._stored.key(query, response)
            found = self._stored.get_many(key for key in keys if key is not None)
        verdicts: list[Verdict | None] = []
        for (query, response), graded, key in zip(asked, at_once, keys, strict=True):
            known = graded if key is None else found.get(key)
            verdicts.append(None if known is None else self._verdict(query, response, known))
        return verdicts

    async def close(self) -> None:
        """Stop the workers."""
        await self._pool.close()

    async def _graded(self, query: Query, response: Response) -> Graded:
        metered = None if self._judge is None else Metered(self._judge)
        checks = await self._checks(query, response, metered)
        if metered is None:
            return Graded(checks)
        return Graded(checks, metered.replies, metered.prompt_tokens, metered.completion_tokens)

    def _verdict(self, query: Query, response: Response, graded: Graded) -> Verdict:
        self.judge_replies += graded.judge_replies
        self.judge_prompt_tokens += graded.judge_prompt_tokens
        self.judge_completion_tokens += graded.judge_completion_tokens
        checks = [self._settle(check) for check in graded.checks]
        deciding = self._deciding(query, checks)
        cost = None
        if self._judge is not None and self._price is not None:
            cost = self._price.cost(graded.judge_prompt_tokens, graded.judge_completion_tokens)
        return Verdict(
            response_id=response.id,
            query_id=query.id,
            state=deciding.state,
            score=deciding.score,
            reason=deciding.reason,
            verifier=deciding.verifier,
            cost=cost,
            checks=checks,
        )

    async def _checks(self, query: Query, response: Response, asked: Judge | None) -> list[Check]:
        if query.verifier is not None:
            return [await self._custom(query.verifier, query, response.answer)]
        match query.category:
            case "math":
                return await self._math(query, response.answer, asked)
            case "code":
                return [await self._code(query, response.answer)]
            case "science":
                return await self._science(query, response.answer, asked)
            case "if":
                return await self._constraints(query, response.answer, asked)
            case "multiturn" | "other":
                if self._reward is not None:
                    return [await check_reward(self._reward, query, response.answer)]
                if asked is None:
                    return [_no_judge(judge.REWARD_NAME)]
                return [await judge.judge_reward(asked, query, response.answer)]

    async def _custom(self, name: str, query: Query, answer: str) -> Check:
        found = find_verifier(name)
        assert found.version is not None  # the decorator of verifiers takes one
        return await self._pool.run(
            check_custom, found.function, name, found.version, query, answer
        )

    async def _math(self, query: Query, answer: str, asked: Judge | None) -> list[Check]:
        references = query.references
        if not references:
            return [_ungradable(math.NAME, math.VERSION, "no_reference")]
        rule = await check_references(self._pool, math.check_math, references, answer, query.prompt)
        if asked is None or not judge.is_asked(self._verify.judge.math, rule):
            return [rule]
        return [rule, await judge.judge_math(asked, query, _for_judge(references), answer)]

    async def _code(self, query: Query, answer: str) -> Check:
        limits = self._verify.code
        if not self._isolation_checked:
            if trouble := sandbox.probe(limits.isolation):
                raise sandbox.SandboxError(trouble)
            self._isolation_checked = True
        guard = code.seconds_at_most(query, limits) + GUARD_SECONDS
        return await self._pool.run_sandboxed(guard, code.check_code, query, answer, limits)

    async def _science(self, query: Query, answer: str, asked: Judge | None) -> list[Check]:
        references = query.references
        if not references:
            return [_ungradable(science.NAME, science.VERSION, "no_reference")]
        rule = await check_references(
            self._pool, science.check_science, references, answer, query.prompt
        )
        checks = [] if rule is None else [rule]
        if asked is not None and judge.is_asked(self._verify.judge.science, rule):
            reference = _for_judge(references)
            checks.append(await judge.judge_science(asked, query, reference, answer))
        return checks or [_no_judge(judge.SCIENCE_NAME)]

    async def _constraints(self, query: Query, answer: str, asked: Judge | None) -> list[Check]:
        rules = [c for c in query.constraints if c.id != demands.DEMAND]
        checks = []
        if rules or not query.constraints:
            checks.append(await self._pool.run(ifeval.check_constraints, rules, answer))
        if len(rules) < len(query.constraints):
            if asked is None:
                checks.append(_ungradable(demands.NAME, demands.VERSION, "no_judge"))
            else:
                checks.append(await demands.judge_demands(asked, query, answer))
        return checks

    def _settle(self, check: Check) -> Check:
        """Return the check with the state that the threshold gives it."""
        # How many tests of a program have to pass is `verify.code.pass_share`, which its verifier applies.
        if check.score is None or check.verifier == code.NAME:
            return check
        state: State = "pass" if check.score >= self._verify.threshold else "fail"
        return msgspec.structs.replace(
            check, state=state, reason=None if state == "pass" else check.reason
        )

    def _deciding(self, query: Query, checks: list[Check]) -> Check:
        """Return the check that the verdict rests on."""
        if len(checks) == 1:
            return checks[0]
        rule, judged = checks
        if query.category == "if":
            return self._settle(_mean_over_constraints(query, rule, judged))
        if judged.state == "pass" or (judged.state == "fail" and rule.state == "ungradable"):
            return judged
        # The rule has not said yes, nor has the judge. A judge that could not be asked leaves that open.
        return judged if judged.reason == "judge_unavailable" else rule


def _mean_over_constraints(query: Query, rule: Check, judged: Check) -> Check:
    """Return what checkers and judge say together; nothing, where one of them says nothing."""
    if rule.score is None or judged.score is None:
        return rule if rule.score is None else judged
    by_judge = len(demands.demands_of(query.constraints)) / len(query.constraints)
    return msgspec.structs.replace(
        rule,
        verifier=f"{rule.verifier}+{judged.verifier}",
        score=rule.score * (1 - by_judge) + judged.score * by_judge,
        reason=rule.reason or judged.reason,
    )


def _for_judge(references: Sequence[str]) -> str:
    """Return the references as the judge reads them."""
    if len(references) == 1:
        return references[0]
    return "Any one of these:\n" + "\n".join(f"- {reference}" for reference in references)


def _at_once(response: Response) -> Graded | None:
    """Return what is said of an answer that is not whole; it is never stored, since a look-up would take longer."""
    finish = response.finish_reason
    if finish != "stop":  # withheld, aborted or unknown: nobody can tell whether the text is whole
        return Graded([_answer_check("truncated", "" if finish == "length" else finish)])
    if not response.answer.strip():
        return Graded([_answer_check("no_answer")])
    return None


def _answer_check(reason: Reason, evidence: str = "") -> Check:
    return make_check(ANSWER_NAME, ANSWER_VERSION, 0.0, reason, evidence)


def _no_judge(name: str) -> Check:
    return _ungradable(name, judge.VERSION, "no_judge")


def _ungradable(name: str, version: str, reason: Reason) -> Check:
    return make_check(name, version, None, reason, "")
