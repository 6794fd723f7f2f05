"""Name a car part from a photo: a reproducible study of CNNs and Siamese networks."""

from importlib import import_module
from typing import Any

HOMES = {"load_finder": "finder", "app": "page"}  # modules of autoparts.finder
__all__ = [*HOMES]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # torch takes seconds, and `import autoparts` should not.
    return getattr(import_module(f"autoparts.finder.{HOMES[name]}"), name)
