"""The Python processes that execute notebooks, each started while the notebook before is at work."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import run_sync

from autoparts.pipeline import stamps
from autoparts.pipeline.notebooks import TABLE, read_notebook

LONGEST = 85  # bytes of a folder's path, for its sockets' paths have 103 at most


class Kernel(NamedTuple):
    """A kernel, and a hash of the code that it imports."""

    manager: AsyncKernelManager
    code: Mapping[str, str]


def in_turn(paths: Sequence[Path]) -> Iterator[Kernel]:
    """Yield a kernel for each notebook; while it works, the next one starts, and imports what its notebook will."""
    with ExitStack() as ahead:
        kernel = ahead.enter_context(started(paths[0])) if paths else None
        for following in [*paths[1:], None]:
            with ahead.pop_all():
                working = kernel
                kernel = ahead.enter_context(started(following)) if following else None
                yield working


@contextmanager
def fresh(kernel: Kernel | None, path: Path) -> Iterator[AsyncKernelManager]:
    """Give a notebook its kernel, or a new one if it has none, or one that has died or imported other code than now."""
    if kernel and kernel.code == stamps.code() and run_sync(kernel.manager.is_alive)():
        yield kernel.manager
    else:
        with started(path) as another:
            yield another.manager


@contextmanager
def started(path: Path) -> Iterator[Kernel]:
    """Start a kernel of this very interpreter, which imports what a notebook imports before all else."""
    source = "\n".join(cell.source for cell in read_notebook(path).cells if cell.cell_type == "code")
    first = takewhile(re.compile(r"(import|from) |#|\w+: |\s*$").match, source.splitlines())  # and parameters
    # Not into the notebook's names, which may lack an import of their own.
    lines = [line for line in first if line.startswith(("import ", "from "))]
    lines += [f"import {name}" for name in TABLE[path.stem].late] if path.stem in TABLE else []
    imports = [f"exec({line!r}, {{}})" for line in lines]
    options = ["--log-level=ERROR", "--HistoryManager.hist_file=:memory:", f"--IPKernelApp.exec_lines={imports}"]
    code = stamps.code()
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        # Without folders to search, there is no other kernel. It is talked to through sockets in a folder, since of two
        # kernels that start at once both may be given the same free port.
        manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            kernel_name="python3",
            transport="tcp" if os.name == "nt" or len(os.fsencode(sockets)) > LONGEST else "ipc",
            connection_file=f"{sockets}/kernel.json",
        )
        try:
            run_sync(manager.start_kernel)(extra_arguments=options)
            yield Kernel(manager, code)
        finally:
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)
