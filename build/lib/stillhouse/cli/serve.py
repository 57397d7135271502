"""`stillhouse serve`: run a vLLM server with an OpenAI-compatible endpoint for a local model."""

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stillhouse.models.vllm_engine import Load
    from stillhouse.params.teacher import TeacherRuntime


@click.command()
@click.argument("model", metavar="TEACHER|MODEL")
@click.option("--revision", help="Commit or sha256 of a MODEL; a teacher's file has its own.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
def serve(model: str, revision: str | None, host: str, port: int) -> None:
    """Serve a local model to the openai engine.

    TEACHER is the id of a file in conf/teachers with engine vllm, which gives model, dtype, context, template and
    parallel sizes. MODEL is a Hub id, `package:...` or `path:...`. Runs until Ctrl-C or SIGTERM.
    """
    import signal

    from stillhouse.models.vllm_server import VllmServer

    load, runtime, template = (
        _of_teacher(model) if _is_teacher(model, revision) else _of_model(model, revision)
    )

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a background job of a shell ignores SIGINT
        signal.signal(number, end)
    try:
        with VllmServer(load, runtime, chat_template=template, host=host, port=port) as server:
            click.echo(f"starting vLLM for {load.model}; this takes a minute or more")
            server.wait(click.echo)
            click.echo(f"ready: {server.url}\n{_lines(server.url, load)}")
            server.watch()
    except KeyboardInterrupt:
        click.echo("stopped")


def _is_teacher(name: str, revision: str | None) -> bool:
    return revision is None and re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None


def _of_teacher(teacher: str) -> "tuple[Load, TeacherRuntime, str | None]":
    from stillhouse.models.build import load_of
    from stillhouse.models.engine import EngineError
    from stillhouse.params.load import load_teacher

    file = load_teacher(teacher)
    if file.teacher.engine != "vllm":
        raise EngineError(
            f"conf/teachers/{teacher}.yaml: teacher.engine is {file.teacher.engine}; only a teacher with engine vllm "
            "can be served; or give a model with --revision"
        )
    return load_of(file.teacher), file.runtime, file.teacher.chat_template


def _of_model(model: str, revision: str | None) -> "tuple[Load, TeacherRuntime, str | None]":
    from stillhouse.models.engine import EngineError
    from stillhouse.models.vllm_engine import Load, vllm_version
    from stillhouse.params.teacher import TeacherRuntime

    if model.startswith("path:"):
        revision = "local"
    elif revision is None:
        raise EngineError(
            f"{model}: give its --revision: the commit of a Hub model, or the sha256 of a package's file"
        )
    # A CPU would choose bfloat16, which takes ten times as long there.
    dtype = "float32" if "cpu" in vllm_version() else "auto"
    return Load(model, revision, dtype, None), TeacherRuntime(), None


def _lines(url: str, load: "Load") -> str:
    """Return what belongs in the files of a teacher."""
    return f"""in the teacher's file, conf/teachers/<id>.yaml:
teacher:
  engine: openai
  model: {load.model}
  revision: {load.revision if load.revision != "local" else "none"}
and in conf/runtime.yaml:
teachers:
  <id>:
    endpoints: [{url}]"""
