"""Files that others read appear whole or not at all; what users can mend is told without a traceback."""

import errno
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


class DiskError(UserError):
    """The disk is full."""

    exit_code = 1


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Have a full disk, or a path that cannot be written to, told by a message that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskError(
                f"{path} cannot be written: {error.strerror}. Free some space on that disk; what is finished is kept, "
                "and the same command goes on from there."
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise UserError(
                f"{path} cannot be written: {error.strerror}. Allow it, or choose another run folder with --name."
            ) from None
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name in its folder and rename it when the block ends well.

    Args:
        path: final name; its folder is made if need be.

    Yields:
        The temporary path to write to; it is removed if the block raises.

    Raises:
        UserError: if the disk is full or may not be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
