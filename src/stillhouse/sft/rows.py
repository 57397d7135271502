"""The rows of the tables that stage `fit` writes."""

from stillhouse.records import Row


class FitLength(Row, frozen=True, kw_only=True):
    """The length of one teacher's row in a student's tokens; `id` is `query_id/teacher`.

    `tokens` are those of the prompt and of all that is rendered after it, `loss_tokens` those that are in the loss.
    """

    id: str
    query_id: str
    teacher: str
    tokens: int
    loss_tokens: int


class TrainingId(Row, frozen=True, kw_only=True):
    """A query whose row a student is trained on."""

    query_id: str
