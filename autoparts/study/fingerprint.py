"""What a result depends on, as one hash: values, networks and functions by content, the package by its syntax trees."""

import ast
import dis
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, range, type(None), Path, np.generic, torch.device, torch.dtype)
CONTAINERS = (Mapping, list, tuple, set, frozenset)


def machine() -> tuple[str, int]:
    """Return what else the sums of a training depend on: torch's version, and the number of its threads."""
    return torch.__version__, torch.get_num_threads()


def fingerprint(*values: Any) -> str:
    """Hash any values: tensors and networks by content, tasks by their fields, functions and classes by their code.

    Code is taken as compiled, so comments, docstrings and places do not count; what a function holds in a closure, a
    partial or a default does, and so do the globals that functions of a notebook or of a room use.
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
    if isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu().contiguous().numpy() if isinstance(value, Tensor) else np.ascontiguousarray(value)
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
    if isinstance(value, Mapping):
        return [*value.items()]
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [*value]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, MethodType | staticmethod | classmethod):
        return [value.__func__, getattr(value, "__self__", None)]
    if isinstance(value, CodeType):
        taken = value.co_varnames[: value.co_argcount + value.co_kwonlyargcount]
        return [taken, value.co_flags, [(step.opname, step.argval) for step in dis.get_instructions(value)]]
    if isinstance(value, FunctionType):
        return _of_function(value)
    if isinstance(value, nn.Module):
        return [str(value), dict(value.state_dict()), *map(_of_module, value.modules())]
    if isinstance(value, type):
        return _of_class(value)
    if hasattr(value, "__dict__") and type(value).__module__ != "builtins":
        return [type(value), vars(value)]
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__qualname__)]


def _of_module(module: nn.Module) -> list[Any]:
    """A layer apart from its weights: its class, and what else it was given."""
    return [type(module), {name: each for name, each in vars(module).items() if name[0] != "_" and name != "training"}]


def _of_class(value: type) -> list[Any]:
    name, root = [value.__module__, value.__qualname__], value.__module__.split(".")[0]
    foreign = root in sys.stdlib_module_names | {"torch", "numpy", "pandas"}  # covered by versions
    return name if foreign else [*name, _attributes(value), *value.__bases__]


def _attributes(value: type) -> dict[str, Any]:
    """What a class defines, without what Python and dataclasses add."""
    made = is_dataclass(value) and "__dataclass_params__" in vars(value)
    own = vars(value).items()
    return {
        name: each for name, each in own if not name.startswith("__") or (isinstance(each, FunctionType) and not made)
    }


def _of_function(function: FunctionType) -> list[Any]:
    while hasattr(function, "__wrapped__") and function.__globals__["__name__"].startswith("torch"):
        function = function.__wrapped__  # the first optimiser of a class has torch wrap the class's step
    module = function.__module__ or ""
    # The core is hashed as a whole; what a notebook or a room defines is followed to the globals that it uses.
    followed = module == "__main__" or (module.startswith("autoparts.") and module.count(".") > 1)
    names = sorted(_globals(function.__code__)) if followed else []
    used = {name: function.__globals__[name] for name in names if name in function.__globals__}
    used = {name: each for name, each in used.items() if not isinstance(each, ModuleType)}  # covered by versions
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    return [function.__code__, held, function.__defaults__, function.__kwdefaults__, used]


def _globals(code: CodeType) -> set[str]:
    """Names of globals that code uses, also within the functions that it defines."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def code_fingerprint(folder: Path, pattern: str = "**/*.py") -> str:
    """Hash the Python code below a folder: its syntax trees, so that comments and docstrings do not count."""
    files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.glob(pattern))]
    return _code_fingerprint(tuple(files))


@lru_cache
def _code_fingerprint(files: tuple[tuple[str, bytes], ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, source in files:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(f"\0{name}\0{ast.dump(tree)}".encode())
    return digest.hexdigest()
