"""What a stage's script can run: the definitions that it reaches, the files beside them, and what they import.

Importing a module runs its top-level statements, so those with an effect count as soon as the module can be imported;
functions, classes and constants count where something that counts names them. A file of ours that is run by its path
is a program of its own and counts whole, with all that it imports.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.code_hash.references import Reader, References
from stillhouse.code_hash.source import Import, Module, Statement, dotted

# What decides whether a stage may run decides nothing that it writes.
LEFT_OUT = "stillhouse.code_hash"
NOT_DATA = ("README.md", "__pycache__", "py.typed")

Target = Statement | Module | str  # a definition, a module as a value, or a name of a library


@dataclass
class Closure:
    """What a script can run.

    `targets` has, for each statement, what its names refer to. `modules` may be imported. `data` are files that are
    read beside the code, by their names from the folder that the code names. `libraries` are imported modules of other
    projects. `installed_data`: the folder of an installed package is looked for.
    """

    targets: dict[Statement, dict[str, list[Target]]] = field(default_factory=dict)
    modules: set[Module] = field(default_factory=set)
    data: dict[str, Path] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    installed_data: bool = False


class _Program:
    """One process: the modules that it may import, of which code that runs anything may run anything."""

    def __init__(self, walk: "_Walk") -> None:
        self._walk = walk
        self._modules: set[Module] = set()
        self._statements: set[Statement] = set()
        self._waiting: list[Statement] = []
        self._any_code = False

    def follow(self) -> None:
        """Follow all that waits."""
        while self._waiting:
            self._follow(self._waiting.pop())

    def reach(self, module: Module, whole: bool = False) -> None:
        """Note that a module is imported; `whole`: that any of it may be used."""
        if module.name == LEFT_OUT or module.name.startswith(LEFT_OUT + "."):
            return
        if module not in self._modules:
            self._modules.add(module)
            self._walk.found.modules.add(module)
            for node in module.imports:
                self._import(module, node)
            self._add(s for s in module.statements if s.always)
        if whole or self._any_code:
            self._add(module.statements)

    def hooks(self, names: Iterable[str]) -> None:
        """Reach what getattr may find by these names in the modules of which anything is used."""
        for module in {statement.module for statement in self._statements if not statement.always}:
            for name in names:
                self._add(b for b in module.bindings.get(name, []) if isinstance(b, Statement))

    def _add(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            if statement not in self._statements:
                self._statements.add(statement)
                self._waiting.append(statement)

    def _import(self, module: Module, node: ast.Import | ast.ImportFrom) -> None:
        star = isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
        for name in module.imported(node):
            if self._walk.project.is_ours(name):
                self._load(name, whole=star)
            elif not self._walk.project.is_ours(name.partition(".")[0]):
                self._walk.found.libraries.add(name)

    def _load(self, name: str, whole: bool = False) -> None:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):  # a package is imported before what is in it
            if module := self._walk.project.module(".".join(parts[:length])):
                self.reach(module, whole and length == len(parts))

    def _follow(self, statement: Statement) -> None:
        walk, module = self._walk, statement.module
        references = walk.references(statement)
        self.reach(module)
        for node in references.imports:
            self._import(module, node)
        targets = walk.found.targets.setdefault(statement, {})
        for chain in sorted(references.chains):
            resolved = [t for t in walk.resolve(chain, module, references) if not _left_out(t)]
            if not resolved:
                continue
            targets[chain] = resolved
            for target in resolved:
                if isinstance(target, Module):
                    self.reach(target, whole=True)
                elif isinstance(target, Statement):
                    self.reach(target.module)
                    self._add([target])
        if isinstance(statement.node, ast.ClassDef):
            self._subclass_hook(statement)
        for name, whole in references.texts.items():
            self._load(name, whole)
            path = walk.project.path_of(name)
            if path is not None and path.name == "__init__.py":  # PackageLoader: data in a package
                walk.add_folder(path.parent, module)
        for path in references.files:
            walk.add_file(path, module)
        walk.attributes |= references.attributes
        walk.found.installed_data |= references.installed_data
        if references.any_code and not self._any_code:
            self._any_code = True
            for other in list(self._modules):
                self._add(other.statements)

    def _subclass_hook(self, base: Statement) -> None:
        """Note a class whose subclasses run a hook of it when they are defined."""
        assert isinstance(base.node, ast.ClassDef)
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__"
            for node in base.node.body
        ):
            self._walk.hooked_bases.add(base)

    def subclasses(self, bases: set[Statement]) -> None:
        """Reach the classes of imported modules that derive from these."""
        for module in list(self._modules) if bases else ():
            for statement in module.statements:
                if isinstance(statement.node, ast.ClassDef) and statement not in self._statements:
                    names = {chain for b in statement.node.bases if (chain := dotted(b))}
                    found = (t for n in names for t in self._walk.resolve(n, module, References()))
                    if any(target in bases for target in found):
                        self._add([statement])
                        self._walk.hooked_bases.add(statement)


class _Walk:
    def __init__(self, reader: Reader) -> None:
        self.project = reader.project
        self.references = reader.read
        self.found = Closure()
        self.attributes: set[str] = set()
        self.hooked_bases: set[Statement] = set()
        self.programs: list[_Program] = []
        self._by_path: set[Path] = set()

    def start(self, paths: Iterable[Path], whole: bool) -> None:
        """Note a program: files that are run by their paths."""
        new = [path for path in paths if path not in self._by_path]
        if new:
            program = _Program(self)
            self.programs.append(program)
        for path in new:
            self._by_path.add(path)
            program.reach(self.project.at(path), whole)

    def finish(self) -> Closure:
        """Follow all programs to their ends."""
        size = -1
        while size != len(self.found.targets) + len(self.programs):
            size = len(self.found.targets) + len(self.programs)
            for program in list(self.programs):
                program.follow()
                program.hooks(self.attributes)
                program.subclasses(self.hooked_bases)
                program.follow()
        return self.found

    def add_file(self, path: Path, user: Module) -> None:
        """Note a file or folder that code names by its place beside the code."""
        if path.is_file():
            if path.suffix == ".py" and path != user.path and path.name != "__init__.py":
                self.start([path], whole=True)
            elif path.name == "__init__.py":
                self.add_folder(path.parent, user)
            elif path.suffix != ".py":
                self._add_data(path.name, path)
        elif path.is_dir():
            self.add_folder(path, user)

    def add_folder(self, folder: Path, user: Module) -> None:
        """Note a folder: data; of a package the data in it, and, unless it holds the code itself, its modules."""
        is_package = (folder / "__init__.py").is_file()
        holds_user = folder in user.path.parents
        if not (is_package and holds_user):
            self.start(sorted(folder.glob("*.py")), whole=True)
        for child in sorted(folder.iterdir()):
            if child.name in NOT_DATA or (child / "__init__.py").is_file():
                continue
            if child.suffix == ".py":
                continue
            if child.is_file():
                self._add_data(f"{folder.name}/{child.name}", child)
            else:
                for path in sorted(p for p in child.rglob("*") if p.is_file()):
                    if not set(path.relative_to(folder).parts) & set(NOT_DATA):
                        self._add_data(f"{folder.name}/{path.relative_to(folder)}", path)

    def _add_data(self, name: str, path: Path) -> None:
        self.found.data[name] = path

    def resolve(self, chain: str, module: Module, references: References) -> list[Target]:
        """Return what a name or dotted chain may refer to."""
        head, *rest = chain.split(".")
        bound = [*references.local.get(head, []), *module.bindings.get(head, [])]
        return list(self._bound(bound, rest, 0))

    def _bound(
        self, bound: Iterable[Statement | Import], rest: list[str], depth: int
    ) -> Iterator[Target]:
        for binding in bound:
            if isinstance(binding, Statement):
                yield binding
                continue
            home = self.project.module(binding.module)
            parts = [*([binding.name] if binding.name else []), *rest]
            if home is None:
                yield ".".join([binding.module, *([binding.name] if binding.name else [])])
            else:
                yield from self._member(home, parts, depth)

    def _member(self, module: Module, parts: list[str], depth: int) -> Iterator[Target]:
        if not parts or depth > 20:
            yield module
        elif parts[0] in module.bindings:
            yield from self._bound(module.bindings[parts[0]], parts[1:], depth + 1)
        elif inner := self.project.module(f"{module.name}.{parts[0]}"):
            yield from self._member(inner, parts[1:], depth)
        else:
            yield module  # a name that is made at run time


def _left_out(target: Target) -> bool:
    name = target.module.name if isinstance(target, Statement) else getattr(target, "name", "")
    return f"{name}.".startswith(LEFT_OUT + ".")


def closure_of(reader: Reader, scripts: Iterable[Path], *, whole: bool = False) -> Closure:
    """Return what scripts can run.

    Args:
        reader: reads the project.
        scripts: their paths from the project's root.
        whole: whether all of their top level counts, as of a module that others take functions from.

    Raises:
        CodeHashError: the code uses a docstring as data, or a file is not valid Python.
    """
    walk = _Walk(reader)
    walk.start([reader.project.root / script for script in scripts], whole)
    return walk.finish()
