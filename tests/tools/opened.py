"""What notebooks open in results/ and models/ of their run folder, seen from inside their kernels, and hosts they ask.

    environment = os.environ | opened.watch(folder)      # an empty folder
    subprocess.run([sys.executable, "-m", "autoparts", "run", ...], env=environment)
    assert opened.undeclared(run_folder, folder) == []

A `sitecustomize` on PYTHONPATH adds an audit hook to every Python process of the run, which records what kernels open
to read, and which other hosts any process asks. (What notebooks write is recorded by the pipeline, in their metadata.)
"""

import os
from fnmatch import fnmatch
from pathlib import Path

from autoparts.pipeline.notebooks import TABLE
from autoparts.pipeline.stamps import read_record

HOOK = """
import os, sys

def record(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and isinstance(arguments[1], str) and "r" in arguments[1]:
        folder, _, name = arguments[0].replace(os.sep, "/").rpartition("/")
        for kind in ("/results", "/models"):
            run, found, below = folder.rpartition(kind)
            if found and os.path.isdir(run + "/notebooks"):
                for running in os.listdir(run + "/notebooks"):
                    if running.startswith(".0"):
                        with open({log!r}, "a") as log:
                            log.write(running[1:-6] + " " + kind[1:] + below + "/" + name + "\\n")

def watch(event, arguments):
    sent, named = ("socket.connect", "socket.sendto"), ("socket.getaddrinfo", "socket.gethostbyname")
    if event in sent + named:
        address = arguments[1] if event in sent else arguments
        host = address[0] if isinstance(address, tuple) else "localhost"  # else a file of this machine
        if host and not str(host).startswith(("127.", "::1", "localhost", os.uname().nodename)):
            with open({hosts!r}, "a") as log:
                log.write(str(host) + "\\n")

sys.addaudithook(watch)
if any("ipykernel" in word for word in sys.orig_argv):
    sys.addaudithook(record)
"""


def watch(folder: Path) -> dict[str, str]:
    """Put the hook into a folder; return the environment variables that make a run use it."""
    text = HOOK.format(log=str(folder / "opened.txt"), hosts=str(folder / "hosts.txt"))
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


def asked(folder: Path) -> set[str]:
    """Name the other hosts that processes of a run have looked for; the folder is that given to `watch`."""
    path = folder / "hosts.txt"
    return {*path.read_text().split()} if path.exists() else set()


def undeclared(run: Path, folder: Path) -> list[str]:
    """Say what notebooks have opened, or written, that the pipeline's table does not know of.

    Args:
        run: the run folder.
        folder: the one given to `watch`.

    Returns:
        Sentences such as "06_beyond_the_thesis reads results/eda.json"; also where nothing was recorded at all, and
        where two notebooks have written the same file.
    """
    read = {tuple(line.split(" ", 1)) for line in (folder / "opened.txt").read_text().splitlines()}
    wrong, makers = [], {}
    for stem, declared in TABLE.items():
        opened = {name for other, name in read if other == stem and not Path(name).name.startswith(".")}
        # Features are named by a hash of all that they depend on, so that no notebook can meet old ones.
        opened = {name for name in opened if not name.startswith("models/features/")}
        wrong += [] if "results/data.json" in opened else [f"{stem} does not read results/data.json"]
        own = (*declared.writes, *declared.keeps)
        known = ("results/data.json", *declared.reads, *own)
        wrong += [f"{stem} reads {name}" for name in sorted(opened) if not any(fnmatch(name, each) for each in known)]
        outputs = (read_record(run / "notebooks" / f"{stem}.ipynb") or {"outputs": {}})["outputs"]
        wrong += [f"{stem} writes {name}, as {makers[name]} does" for name in outputs if name in makers]
        makers |= dict.fromkeys(outputs, stem)
        saved = [name for name in outputs if name.startswith(("results", "models"))]
        wrong += [f"{stem} writes {name}" for name in saved if not any(fnmatch(name, each) for each in own)]
    return wrong
