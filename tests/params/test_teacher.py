from stillhouse.params.teacher import Teacher
from tests.params.faults import TEACHER, fault


def test_a_model_engine_needs_sampling_and_a_commit() -> None:
    assert "needs `sampling`" in fault(Teacher, TEACHER | {"sampling": None})
    assert "needs a `revision`" in fault(Teacher, TEACHER | {"revision": "none"})


def test_replay_needs_its_source() -> None:
    assert "needs `replay`" in fault(Teacher, TEACHER | {"engine": "replay", "revision": "none"})
