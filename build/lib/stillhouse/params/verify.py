"""The section `verify` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stillhouse.params.base import Id, Revision, Section, UnitInterval


class CodeLimits(Section):
    """Limits on one program under test. Seconds are processor time.

    At most `max_tests` tests are run; a program passes if at least `pass_share` of them pass. Programs may import the
    standard library and `packages`, distributions of this environment.
    """

    isolation: Literal["bubblewrap", "rlimits"]
    max_tests: PositiveInt
    pass_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    test_seconds: PositiveFloat
    total_seconds: PositiveFloat
    memory_mb: PositiveInt
    output_mb: PositiveFloat = 16.0
    packages: list[str] = []


class RewardModel(Section):
    """A reward model for free answers: a sequence classifier with one output per attribute, each from 0 to 4.

    `attributes` names the outputs in their order; coherence, correctness and helpfulness must be among them.
    """

    model: str
    revision: Revision
    dtype: Literal["float32", "bfloat16"]
    max_tokens: PositiveInt
    attributes: list[str]

    @model_validator(mode="after")
    def _has_the_three(self) -> "RewardModel":
        missing = {"coherence", "correctness", "helpfulness"} - set(self.attributes)
        if missing or len(set(self.attributes)) != len(self.attributes):
            raise ValueError(
                f"attributes must name each output once, with coherence, correctness and helpfulness: {self.attributes}"
            )
        return self


AskJudge = Literal["never", "unread_only", "any_no"]
# The meaning of each, as cards and reports print it after "in math" and "in science".
JUDGE_ROLES: dict[AskJudge, str] = {
    "never": "it is never asked",
    "unread_only": "it decides only where the rule could not read both sides or there is no rule",
    "any_no": "it may turn a rule's no into a yes, and decides where there is no rule",
}


class JudgePolicy(Section):
    """The judge: `model` is an id in conf/teachers; `math` and `science` set when it decides in addition to the rule.

    `never`: the judge is not asked. `unread_only`: it decides where the rule cannot read both answer and reference, and
    where science has no rule for the reference. It does not overrule a rule that read both. `any_no`: it also decides
    where the rule rejects, as in the paper. Free answers and demands have no rule: the judge always decides.
    """

    model: Id
    math: AskJudge
    science: AskJudge


class Verify(Section):
    """Parameters of verification.

    An answer is accepted if its score is at least `threshold`; for programs, `code.pass_share` decides. `reward` scores
    the categories multiturn and other; if it is null, the judge scores them. `item_cpu_seconds` limits the processor
    time for grading one answer by rules.
    """

    threshold: UnitInterval
    judge: JudgePolicy
    reward: RewardModel | None = None
    item_cpu_seconds: PositiveFloat
    code: CodeLimits
