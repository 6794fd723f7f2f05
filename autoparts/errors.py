"""What users can mend is told in one message; files that others read appear whole or not at all."""

import errno
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


class UserError(ValueError):
    """Something the user can mend; the message names it, and says what was expected and what to do next."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """Have IPython show the message alone (its name for this hook)."""
        return [f"{type(self).__name__}: {self}"]


class FailedError(UserError):
    """The request was right and the work failed all the same: a full disk, a failed notebook, tables that differ."""

    exit_code = 1


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Have a full disk, or a path that cannot be written to, told by a message that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL + CLOSED:
            raise
        kind, advice = UserError, "Allow it, or choose another: AUTOPARTS_CACHE for the cache, another name for a run."
        if error.errno in FULL:
            kind, advice = FailedError, "Free some space there; what is done is kept, except with --restart or --force."
        raise kind(f"{path} cannot be written: {error.strerror}. {advice}") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name in its folder, made if need be, and rename it when the block ends well.

    Yields the temporary path to write to; it is removed if the block raises. See `disk_errors`.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As `whole_file`, for a folder; if another process finishes the same one first, that one stays.

    What killed processes have left of theirs is removed after a day.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left_over in path.parent.glob("*.part"):
            with suppress(FileNotFoundError):  # another process has removed it
                if time.time() - left_over.stat().st_mtime > 86_400:
                    shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(".part", dir=path.parent, ignore_cleanup_errors=True) as temporary:
            (folder := Path(temporary, path.name)).mkdir()  # which others may read, unlike a temporary one
            yield folder
            try:
                folder.rename(path)
            except OSError:
                if not path.is_dir():
                    raise


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder, to "<name>.damaged" or with a number; it blocks nothing and can be looked at."""
    names = (path.with_name(f"{path.name}.damaged{f'-{number}' if number > 1 else ''}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    with disk_errors(path):
        path.rename(aside)
    return aside


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Read a JSON object: the one door for every such file of a run folder.

    What is missing, or no JSON object in UTF-8, is told in a UserError that ends in `advice`, such as "run notebook
    02_cnn_baseline"; what is damaged is set aside.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {advice}") from None
    except (ValueError, RecursionError, IsADirectoryError):
        content = None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {advice}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged and was set aside as {set_aside(path).name}: {advice}")
    return content
