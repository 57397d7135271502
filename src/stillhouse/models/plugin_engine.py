"""The engine of a plugin, with a fingerprint that says which one it is."""

from typing import Any

from stillhouse import plugins
from stillhouse.models.engine import Completion, Engine, EngineError, Request
from stillhouse.params.teacher import EnginePlugin, Teacher

MEMBERS = ("concurrency", "fingerprint", "journaled", "render", "complete", "close")


class PluginEngine:
    """Passes requests on to a plugin's engine.

    Raises:
        PluginError: no plugin registers it, or it does not take the configuration.
        EngineError: what the plugin makes is not an engine.
    """

    def __init__(self, teacher: Teacher) -> None:
        assert teacher.plugin is not None  # params.Teacher has checked it
        found = _found(teacher.plugin)
        engine = found.function(teacher, **teacher.plugin.config)
        if missing := [name for name in MEMBERS if not hasattr(engine, name)]:
            raise EngineError(
                f"engine {found.name!r} ({found.place}) has no {', '.join(missing)}; "
                "stillhouse.models.engine.Engine says what an engine needs"
            )
        self._engine: Engine = engine
        self._declared = declared_plugin(teacher.plugin)
        self.concurrency = self._engine.concurrency
        self.journaled = self._engine.journaled

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The engine's own, with the plugin's name, version and configuration."""
        return {**self._engine.fingerprint, "engine": "plugin", "plugin": self._declared}

    def render(self, request: Request) -> str:
        """Return the prompt as the plugin renders it."""
        return self._engine.render(request)

    async def complete(self, request: Request) -> Completion:
        """Return the plugin's completion.

        Raises:
            EngineError: the request failed, or the plugin returned something else.
        """
        completion = await self._engine.complete(request)
        if not isinstance(completion, Completion):
            raise EngineError(
                f"engine {self._declared['name']!r}: complete returned {type(completion).__name__}, "
                "a Completion was expected; fix the plugin"
            )
        return completion

    async def close(self) -> None:
        """Close the plugin's engine."""
        await self._engine.close()


def declared_plugin(plugin: EnginePlugin) -> dict[str, Any]:
    """Return what decides a plugin engine's answers beside model and sampling, for JSON.

    Raises:
        PluginError: no plugin registers it, or it does not take the configuration.
    """
    found = _found(plugin)
    return {"name": found.name, "version": found.version, "config": plugin.config}


def _found(plugin: EnginePlugin) -> plugins.Extension:
    found = plugins.find("engine", plugin.name, "teacher.plugin.name")
    found.refuse_unknown(plugin.config, "teacher.plugin.config", given=1)
    return found
