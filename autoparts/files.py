"""Files that others read appear whole or not at all; what users can mend is told without a traceback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something the user can mend; the message names it, and says what was expected and what to do next."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """Have IPython show the message alone (its name for this hook)."""
        return [f"{type(self).__name__}: {self}"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name in its folder and rename it when the block ends well.

    Args:
        path: final name; its folder is made if need be.

    Yields:
        The temporary path to write to; it is removed if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
