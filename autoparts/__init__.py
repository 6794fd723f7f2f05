"""Name a car part from a photo: a reproducible study of CNNs and Siamese networks."""

from typing import Any

__all__ = ["load_finder"]


def __getattr__(name: str) -> Any:
    if name != "load_finder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autoparts.finder.finder import load_finder  # torch takes seconds, and `import autoparts` should not

    return load_finder
