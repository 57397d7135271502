"""The section `verify` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from stillhouse.params.base import Id, Revision, Section, Share


class CodeLimits(Section):
    """Limits on one program under test; seconds are of processor time.

    `pass_share` is the share of the tests run that must pass. `packages` are distributions of this environment that
    programs may import, beside the standard library.
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
    """A reward model for free answers: a sequence classifier with one output per attribute, on a scale of 0..4.

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
# What each means, to be read after "in math" and "in science".
JUDGE_ROLES: dict[AskJudge, str] = {
    "never": "it is never asked",
    "unread_only": "it decides only where the rule could not read both sides or there is no rule",
    "any_no": "it may turn a rule's no into a yes, and decides where there is no rule",
}


class JudgePolicy(Section):
    """The judge: `model` names a file in conf/teachers; `math` and `science` say when it decides beside the rule.

    `never`: it is not asked. `unread_only`: it is asked where the rule could not read both sides, and where science has
    no rule for the reference; it never overrules a rule that read both and found them different. `any_no`: it may turn
    every no of the rule into a yes, as in the paper. Free answers and demands have no rule, so the judge decides them.
    """

    model: Id
    math: AskJudge
    science: AskJudge


class Verify(Section):
    """Parameters of verification.

    `reward` scores the categories multiturn and other; where it is null, the judge does.
    """

    threshold: Share
    judge: JudgePolicy
    reward: RewardModel | None = None
    item_cpu_seconds: PositiveFloat
    code: CodeLimits
