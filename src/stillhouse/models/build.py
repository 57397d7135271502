"""From a teacher's file to a model that answers."""

from collections.abc import Callable, Iterable
from types import TracebackType

from stillhouse.journal.journal import Journal
from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.client import Model
from stillhouse.models.engine import Engine, EngineError, Purpose
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.models.plugin_engine import PluginEngine
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.models.reward import Reward
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.params.teacher import Teacher, TeacherRuntime
from stillhouse.params.verify import RewardModel
from stillhouse.records import Query

# Formats whose marks are ordinary text to vLLM. Of the others, some models have their marks as special tokens, which
# vLLM removes from the text by default. That it keeps them is part of the journal key.
WITHOUT_SPECIAL_TOKENS = (
    "none",
    "think_tags",
    "open_think",
    "answer_tags",
    "thought_marks",
    "separate_field",
)


class ModelRoom:
    """The models of one stage, which share loaded weights where they are the same, and one journal.

    As a context manager it closes all engines at its end.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._cores: dict[Load, VllmCore] = {}
        self._engines: list[Engine] = []

    async def __aenter__(self) -> "ModelRoom":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        await self.close()

    def model(
        self,
        name: str,
        teacher: Teacher,
        runtime: TeacherRuntime,
        purpose: Purpose,
        queries: Callable[[], Iterable[Query]] = tuple,
    ) -> Model:
        """Return the model of a teacher or judge; `queries` gives the queries that a replay answers.

        Raises:
            EngineError: what the engine needs is missing, or a judge draws its words at random.
        """
        if purpose == "judge" and teacher.sampling and teacher.sampling.temperature > 0:
            raise EngineError(
                f"judge {name}: teacher.sampling.temperature is {teacher.sampling.temperature:g}; "
                "a judge must say the same every time: set it to 0.0"
            )
        engine = self._engine(teacher, runtime, queries)
        self._engines.append(engine)
        return Model(engine, self.journal, purpose, name)

    def reward(self, params: RewardModel | None) -> Reward | None:
        """Return the reward model of a run, if it has one."""
        return None if params is None else Reward(params, self.journal)

    async def close(self) -> None:
        """Close all engines."""
        for engine in self._engines:
            await engine.close()

    def _engine(
        self, teacher: Teacher, runtime: TeacherRuntime, queries: Callable[[], Iterable[Query]]
    ) -> Engine:
        if teacher.engine == "replay":
            return _replay(teacher, queries)
        if teacher.engine == "plugin":
            return PluginEngine(teacher)
        assert teacher.sampling is not None  # params.Teacher has checked it
        if teacher.engine == "openai":
            return OpenAIEngine(
                teacher.model,
                teacher.revision,
                teacher.sampling,
                runtime,
                system_prompt=teacher.system_prompt,
                options=teacher.request,
            )
        load = load_of(teacher)
        core = self._cores.setdefault(load, VllmCore(load, runtime))
        return VllmEngine(
            core,
            teacher.sampling,
            chat_template=teacher.chat_template,
            system_prompt=teacher.system_prompt,
            concurrency=runtime.max_num_seqs,
            keep_special_tokens=teacher.reasoning not in WITHOUT_SPECIAL_TOKENS,
        )


def load_of(teacher: Teacher) -> Load:
    """Return what vLLM loads for a teacher."""
    return Load(
        teacher.model,
        teacher.revision,
        teacher.dtype,
        teacher.max_model_len,
        teacher.batch_invariant,
    )


def _replay(teacher: Teacher, queries: Callable[[], Iterable[Query]]) -> ReplayEngine:
    assert teacher.tokenizer is not None  # params.Teacher has checked both
    assert teacher.replay is not None
    tokenizer = ChatTokenizer(teacher.tokenizer.model, teacher.tokenizer.revision)
    return ReplayEngine(teacher.model, tokenizer, teacher.replay, queries)
