"""The verdict on a response: which checks a category has, and how they are combined.

| category | checks | verdict |
|---|---|---|
| math | rule; the judge where the rule does not say yes | either may accept; the rule's if the judge is advisory |
| code | tests in the sandbox | the tests' |
| science | rule where the reference allows one, else the judge | the one that spoke |
| if | IFEval checkers; the judge on demands that it wrote itself | the mean over all |
| multiturn, other | the reward model's three marks; the judge's where the run has none | these |

Every check is kept in the verdict. A verdict is ungradable where the deciding check is, never a guess.
"""

import os

import msgspec

from stillhouse.models.engine import Request
from stillhouse.params import Price, Verify
from stillhouse.records import Check, Query, Response, State, Verdict
from stillhouse.verify import code, demands, ifeval, judge, math, sandbox, science
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.judge import Judge, Metered
from stillhouse.verify.options import option_letter
from stillhouse.verify.pool import Pool
from stillhouse.verify.reward import Marks, check_reward

ANSWER_NAME = "answer"
ANSWER_VERSION = "1"
# A check in a worker is stopped by its own limit first; the pool's only catches what escapes that.
POOL_MARGIN_SECONDS = 5.0
SANDBOX_TRIES = 2  # a machine short of memory or processes may fail to start one


def judge_requests(verify: Verify, query: Query, answer: str | None) -> list[Request]:
    """Return what a grader may ask the judge about an answer; null: about one that nobody knows yet.

    It is the most: in math the judge is asked only where the rule does not say yes, and where it gives no mark on one
    dimension it is not asked for the next.
    """
    text, reference = answer or "", query.ground_truth
    match query.category:
        case "math" if reference is not None:
            return [judge.math_request(query, reference, text)]
        case "science" if reference is not None:
            by_rule = (
                bool(option_letter(reference.strip()))
                if answer is None
                else science.check_science(reference, answer, query.prompt) is not None
            )
            return [] if by_rule else [judge.science_request(query, reference, text)]
        case "if":
            return list(demands.judging_requests(query, text).values())
        case "multiturn" | "other" if verify.reward is None:
            return list(judge.reward_requests(query, text).values())
        case _:
            return []


class Grader:
    """Grades responses, many at a time, in `workers` processes (null: one per core).

    `price` is the judge's: with it, each verdict says what the judge's words on it cost.
    """

    def __init__(
        self,
        verify: Verify,
        judge: Judge | None,
        reward: Marks | None = None,
        workers: int | None = None,
        price: Price | None = None,
    ):
        self._verify = verify
        self._judge = judge
        self._reward = reward
        self._price = price
        self._pool = Pool(workers or len(os.sched_getaffinity(0)), verify.item_seconds)
        self._isolation_checked = False

    async def grade(self, query: Query, response: Response) -> Verdict:
        """Return the verdict on one response; only its answer part is read.

        Raises:
            SandboxError: code is to be run, and the isolation that the parameters ask for does not work here.
        """
        metered = None if self._judge is None else Metered(self._judge)
        checks = await self._checks(query, response, metered)
        checks = [self._settle(check) for check in checks]
        deciding = self._deciding(query, checks)
        return Verdict(
            response_id=response.id,
            query_id=query.id,
            state=deciding.state,
            score=deciding.score,
            reason=deciding.reason,
            verifier=deciding.verifier,
            cost=self._cost(metered),
            checks=checks,
        )

    async def close(self) -> None:
        """Stop the workers."""
        await self._pool.close()

    def _cost(self, judge: Metered | None) -> float | None:
        if judge is None or self._price is None:
            return None
        return self._price.cost(judge.prompt_tokens, judge.completion_tokens)

    async def _checks(self, query: Query, response: Response, asked: Judge | None) -> list[Check]:
        if response.finish_reason == "length":
            return [_answer_check("truncated")]
        if not response.answer.strip():
            return [_answer_check("no_answer")]
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

    async def _math(self, query: Query, answer: str, asked: Judge | None) -> list[Check]:
        if query.ground_truth is None:
            return [_ungradable(math.NAME, math.VERSION, "no_reference")]
        rule = await self._pool.run(math.check_math, query.ground_truth, answer, query.prompt)
        if rule.state == "pass" or asked is None:
            return [rule]
        return [rule, await judge.judge_math(asked, query, query.ground_truth, answer)]

    async def _code(self, query: Query, answer: str) -> Check:
        limits = self._verify.code
        if not self._isolation_checked:
            if trouble := sandbox.probe(limits.isolation):
                raise sandbox.SandboxError(trouble)
            self._isolation_checked = True
        seconds = code.seconds_at_most(query, limits) + POOL_MARGIN_SECONDS
        for _ in range(SANDBOX_TRIES):
            check = await self._pool.run_within(seconds, code.check_code, query, answer, limits)
            if check.reason != "sandbox_failed":
                break
        return check

    async def _science(self, query: Query, answer: str, asked: Judge | None) -> list[Check]:
        if query.ground_truth is None:
            return [_ungradable(science.NAME, science.VERSION, "no_reference")]
        rule = science.check_science(query.ground_truth, answer, query.prompt)
        if rule is not None:
            return [rule]
        if asked is None:
            return [_no_judge(judge.SCIENCE_NAME)]
        return [await judge.judge_science(asked, query, query.ground_truth, answer)]

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
        if check.score is None:
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
        if self._verify.judge_advisory:
            return rule
        if judged.state == "fail" and rule.state == "ungradable":
            return judged
        if judged.state == "pass":
            return judged
        # The rule has said no, and the judge has not said yes. A judge that could not be asked leaves that open.
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


def _answer_check(reason: Reason) -> Check:
    return make_check(ANSWER_NAME, ANSWER_VERSION, 0.0, reason, "")


def _no_judge(name: str) -> Check:
    return _ungradable(name, judge.VERSION, "no_judge")


def _ungradable(name: str, version: str, reason: Reason) -> Check:
    return make_check(name, version, None, reason, "")
