"""Name a car part from a photo: a reproducible study of CNNs and Siamese networks."""

import ctypes
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

HOMES = {"load_finder": "finder", "app": "page"}  # modules of autoparts.finder
__all__ = [*HOMES]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # torch takes seconds, and `import autoparts` should not.
    return getattr(import_module(f"autoparts.finder.{HOMES[name]}"), name)


def bar_file() -> TextIO:
    """Return where tqdm draws a bar: in a notebook an output that is empty in the end, else standard error."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return _Output() if hasattr(shell, "kernel") else sys.stderr


class _Output:
    """A line of a notebook that is written again and again: no widget, whose state an executed notebook would keep."""

    def __init__(self) -> None:
        self.shown = None

    def write(self, text: str) -> None:
        """Show a bar; its end is a line's end or blanks."""
        from IPython.display import display

        line = {"text/plain": text.replace("\x1b[A", "").strip()}  # without moves of a cursor
        if self.shown:
            self.shown.update(line, raw=True)
        elif line["text/plain"]:
            self.shown = display(line, raw=True, display_id=True)

    def flush(self) -> None:
        """Do nothing: what is written is shown."""

    def isatty(self) -> bool:
        """Have tqdm draw where it only draws in terminals."""
        return True


def keep_freed_memory() -> None:
    """Have the C library keep the blocks that torch frees, where it can be told to (glibc), for the next batch.

    It gives large ones back to the system, which clears every page of the next: up to half of a training step's time.
    """
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4  # as in malloc.h
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**30) or mallopt(mmap_max, 0)  # older ones take no such threshold


keep_freed_memory()
