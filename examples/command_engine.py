"""An engine: a command that reads the conversation as JSON and prints the answer.

In conf/teachers/ID.yaml, with `plugins: [examples.command_engine]` in params.yaml:

    teacher:
      engine: plugin
      plugin: {name: command, config: {argv: [./answer.sh]}}
      sampling: {temperature: 0.0, top_p: 1.0, max_tokens: 1024}
      ...
"""

import asyncio

import msgspec

from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params.teacher import Teacher
from stillhouse.plugins import engine


@engine("command", version="1")
class CommandEngine:
    """Runs the command once per request; tokens are counted as words."""

    concurrency = 4
    journaled = True

    def __init__(self, teacher: Teacher, argv: list[str]) -> None:
        self.fingerprint = {"model": teacher.model, "revision": teacher.revision}
        self._argv = argv

    def render(self, request: Request) -> str:
        """Return the conversation as JSON, which is what the command reads."""
        return msgspec.json.encode(request.messages).decode()

    async def complete(self, request: Request) -> Completion:
        """Return what the command prints."""
        pipe, prompt = asyncio.subprocess.PIPE, self.render(request)
        process = await asyncio.create_subprocess_exec(*self._argv, stdin=pipe, stdout=pipe)
        output, _ = await process.communicate(prompt.encode())
        if process.returncode != 0:
            raise EngineError(f"{self._argv}: exit code {process.returncode}")
        text = output.decode()
        return Completion(
            text=text,
            finish_reason="stop",
            prompt_tokens=len(prompt.split()),
            completion_tokens=len(text.split()),
        )

    async def close(self) -> None:
        """Nothing is kept open."""
