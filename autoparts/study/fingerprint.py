"""What a result depends on, as one hash: values, networks and functions by content, the package by its syntax trees."""

import ast
import dis
import hashlib
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoparts.study.folder import PACKAGE

PLAIN = (bool, int, float, complex, str, bytes, range, type(None), Path, np.generic, torch.device, torch.dtype)
CONTAINERS = (Mapping, list, tuple, set, frozenset)
DATACLASS = re.compile("__(init|repr|eq|hash|lt|le|gt|ge|(set|del)attr|replace|[gs]etstate|annotate.*)__")  # adds these


def fingerprint(*values: Any) -> str:
    """Hash any values: tensors and networks by content, tasks by their fields, functions and classes by their code.

    Code is taken as compiled: comments, docstrings and places do not count; closures, defaults, and the globals that
    functions of a notebook or of a room use do.
    """
    digest = hashlib.blake2b(digest_size=16)
    seen: dict[int, Any] = {}
    for value in values:
        _describe(value, digest, seen, frozenset())
    return digest.hexdigest()


def _describe(value: Any, digest: Any, seen: dict[int, Any], within: frozenset[int]) -> None:
    """Feed a value to a hash.

    Functions, classes and objects are described once; `seen` keeps them alive, since the ids of what is gone are given
    to others. Containers may come and go, so of them only those that hold the value are told from new ones.
    """
    kind = type(value)
    digest.update(f"\0{kind.__module__}.{kind.__qualname__}:".encode())
    if isinstance(value, Tensor | np.ndarray) and value.dtype != object:  # whose bytes are addresses
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.ascontiguousarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)  # without a copy: photos in colour take a gigabyte
    elif isinstance(value, PLAIN):
        digest.update(repr(value).encode())
    elif id(value) in seen:  # which of them it is again
        digest.update(str([*seen].index(id(value))).encode())
    elif id(value) not in within:
        if isinstance(value, CONTAINERS):
            within = within | {id(value)}
        else:
            seen[id(value)] = value
        contents = _contents(value)
        digest.update(str(len(contents)).encode())
        for each in contents:
            _describe(each, digest, seen, within)


def _contents(value: Any) -> list[Any]:
    """Return what a compound value consists of."""
    for kind, contents in CONTENTS.items():
        if isinstance(value, kind):
            return contents(value)
    if type(value).__module__ != "builtins" or not callable(value):
        with suppress(TypeError):  # as pickle takes it apart, so that also slots count, and what is kept in C
            made = value.__reduce_ex__(4)
            return [type(value), *([made] if isinstance(made, str) else made[1:3])]
        if hasattr(value, "__dict__"):
            return [type(value), vars(value)]
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__qualname__)]


def _of_function(function: FunctionType) -> list[Any]:
    while hasattr(function, "__wrapped__") and function.__globals__["__name__"].startswith("torch"):
        function = function.__wrapped__  # the first optimiser of a class has torch wrap the class's step
    module, known = function.__module__ or "", function.__globals__
    # The core is hashed as a whole; what a notebook or a room defines is followed to the globals that it uses.
    followed = module == "__main__" or (module.startswith("autoparts.") and module.count(".") > 1)
    names = sorted(_globals(function.__code__) & known.keys()) if followed else []
    used = {name: known[name] for name in names if not isinstance(known[name], ModuleType)}  # covered by versions
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    return [function.__code__, held, function.__defaults__, function.__kwdefaults__, used]


def _globals(code: CodeType) -> set[str]:
    """Names of globals that code uses, also within the functions that it defines."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def _of_code(code: CodeType) -> list[Any]:
    taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [taken, code.co_flags, [(step.opname, step.argval) for step in dis.get_instructions(code)]]


def _of_class(value: type) -> list[Any]:
    """Its name; if it is no library's, also its bases and what it defines, without what Python and dataclasses add."""
    name, root = [value.__module__, value.__qualname__], value.__module__.split(".")[0]
    if root in sys.stdlib_module_names | {"torch", "numpy", "pandas"}:  # covered by versions
        return name
    written = {key: each for key, each in vars(value).items() if key[:2] != "__" or isinstance(each, FunctionType)}
    if "__dataclass_params__" in vars(value):
        written = {key: each for key, each in written.items() if not DATACLASS.fullmatch(key)}
    return [*name, written, *value.__bases__]


def _of_network(network: nn.Module) -> list[Any]:
    """Its weights, which are frozen, all buffers, also those of no `state_dict`, and what else each layer was given."""
    frozen = [name for name, weight in network.named_parameters() if not weight.requires_grad]
    layers = [
        [type(layer), {name: each for name, each in vars(layer).items() if name[0] != "_" and name != "training"}]
        for layer in network.modules()
    ]
    return [str(network), dict(network.state_dict()), dict(network.named_buffers()), frozen, *layers]


CONTENTS = {  # by kind; the first that a value is of counts
    Mapping: lambda value: [*value.items()],
    set | frozenset: lambda value: sorted(value, key=repr),
    list | tuple: list,
    partial: lambda value: [value.func, value.args, value.keywords],
    re.Pattern: lambda value: [value.pattern, value.flags],
    property: lambda value: [value.fget, value.fset, value.fdel],
    MethodType | staticmethod | classmethod: lambda value: [value.__func__, getattr(value, "__self__", None)],
    CodeType: _of_code,
    FunctionType: _of_function,
    nn.Module: _of_network,
    type: _of_class,
}


def code_fingerprint(folder: Path, pattern: str = "**/*.py") -> str:
    """Hash the Python code below a folder: its syntax trees, so that comments and docstrings do not count."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.glob(pattern)):
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0{_syntax(path.read_bytes())}".encode())
    return digest.hexdigest()


@cache
def _syntax(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _core() -> dict[tuple[str, ...], Any]:
    """What the core's modules hold now, and their classes and dictionaries, by name; and the functions of torch."""
    found: dict[tuple[str, ...], Any] = {("torch", name): value for name, value in vars(functional).items()}
    for path in PACKAGE.glob("[!_]*.py"):
        module = import_module(f"autoparts.{path.stem}")
        for name, value in vars(module).items():
            own = isinstance(value, type) and value.__module__ == module.__name__
            inner = vars(value) if own else value if isinstance(value, dict) and name != "__builtins__" else {}
            found[path.stem, name] = value
            found |= {(path.stem, name, key): each for key, each in inner.items()}
    return found


CORE_AS_MADE = _core()


def replaced() -> list[tuple[tuple[str, ...], Any]]:
    """Return names and values of what a notebook has put in place of the core's own; other processes lack them."""
    now = _core()
    changed = [name for name, value in CORE_AS_MADE.items() if now.get(name) is not value]
    before = [name for name, value in now.items() if getattr(value, "__module__", "") == "__main__"]  # it was imported
    return [(name, now.get(name)) for name in dict.fromkeys(changed + before)]
