"""Every command of the README, run as it is written, in a home with a few generated photos.

Long ones are run without their longest part alone: of `make` the recipe is read and its `autoparts` command run,
notebooks get their parameters but are neither executed nor rendered, and the generated catalogue is written small.
"""

import os
import re
import shlex
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import nbformat
import papermill
import papermill.cli
import pytest
from click.testing import CliRunner

from autoparts import losses
from autoparts.__main__ import main
from autoparts.experiments import trials, variants
from autoparts.finder import calibration
from autoparts.finder.page import keep
from autoparts.generated import catalogue
from autoparts.models import Recogniser, initialised
from autoparts.pipeline import execution, kernels
from autoparts.pipeline.notebooks import declared_parameters
from autoparts.study.run import Run, open_run
from autoparts.study.study import open_study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
SNIPPETS = [text for language, text in BLOCKS if language == "python"]
RUN = "mine"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with photos, their CSV, one photo to name, and a run of the name that the README uses."""
    home = tmp_path_factory.mktemp("home")
    catalogue.write(home / "photos", "4x48", seed=1, progress=False)
    (home / "photos" / "manifest.csv").unlink()
    names = [file.relative_to(home / "photos") for file in sorted(home.glob("photos/*/*.jpg"))]
    rows = [f"{name.as_posix()},{name.parent}" for name in names]
    (home / "photos" / "parts.csv").write_text("\n".join(["path,category", *rows]))
    shutil.copy(home / "photos" / names[0], home / "photo.jpg")
    (home / "notebooks").symlink_to(ROOT / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPARTS_REPORTS", str(home / "reports"))
        study = open_study(str(home / "photos"), device="cpu", side=48)
        network = initialised(0, Recogniser, len(study.categories), channels=3).eval()
        calibration.build(open_run(RUN, study), network, study.prepared(48))
    keep([str(home / "photo.jpg")], "Torque Arm", home / "reports" / RUN / "feedback")
    return home


@pytest.fixture
def here(home, monkeypatch):
    """Work in that home, with the long parts left out."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(home / "reports"))
    execute_notebook = papermill.execute_notebook

    def prepare(*arguments, **options):
        return execute_notebook(*arguments, **options | {"prepare_only": True})

    monkeypatch.setattr(kernels, "started", lambda path: nullcontext(kernels.Kernel(None, {})))
    monkeypatch.setattr(execution, "_execute", lambda path, output, values, *given: prepare(path, output, values))
    monkeypatch.setattr(execution, "render", lambda folder: folder)
    monkeypatch.setattr(execution.stamps, "written", lambda *given: {})  # by notebooks that are not executed
    monkeypatch.setattr(papermill.cli, "execute_notebook", prepare)
    draw, drawn = catalogue.write, catalogue.written
    monkeypatch.setattr(catalogue, "write", lambda folder, scale, *given, **how: draw(folder, "2x4", *given, **how))
    monkeypatch.setattr(catalogue, "written", lambda scale, cache, **how: drawn("4x48", cache, **how))
    shutil.rmtree(home / "some", ignore_errors=True)  # the README writes to one folder twice
    return home


def make(arguments):
    """Return the commands that `make` would run; those of setting up come first."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "--no-print-directory", "--directory", str(ROOT), *arguments]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith(".venv/bin/")]


def execute(command, here):
    """Run one command of a shell; return what its notebooks were given."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        inside = make(arguments)
        assert inside, command
        return [given for line in inside if "autoparts" in line for given in execute(line, here)]
    arguments = [str(Path(text).expanduser()) if text.startswith("~") else text for text in arguments]
    if program == ".venv/bin/autoparts":
        assert main(arguments) == 0, command
        return sorted((here / "reports").glob("*/notebooks/*.ipynb")) if arguments[0] == "run" else []
    assert program == ".venv/bin/papermill", command
    done = CliRunner().invoke(papermill.cli.papermill, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [here / arguments[1]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command, here, capsys):
    for notebook in execute(command, here):
        given = nbformat.read(notebook, as_version=4)
        injected = [cell for cell in given.cells if "injected-parameters" in cell.metadata.get("tags", [])]
        values = {}
        exec(injected[0].source, values)
        if " -f " not in command:  # a profile is for all notebooks, and papermill warns of what one of them lacks
            assert values.keys() - {"__builtins__"} <= declared_parameters(notebook).keys()
    if " identify " in command:
        assert capsys.readouterr().out.lstrip('{":').startswith("photo")


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs(code, here, capsys):
    exec(code, {})
    assert capsys.readouterr().out.startswith("Answer(known=")


def test_every_block_is_tried_and_targets_are_those_of_the_makefile():
    assert {language for language, _ in BLOCKS} == {"sh", "python"} and len(COMMANDS) > 8 and SNIPPETS
    for target in re.findall(r"`make (\w+)`", README):
        assert make([target])


def test_links_and_modules_exist():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link
    house = README.partition("## The code")[2].partition("\n## ")[0]
    rows = re.findall(r"^    autoparts/(\S+)", house, flags=re.MULTILINE)
    files = {path.name for path in (ROOT / "autoparts").glob("*.py")} - {"__init__.py", "__main__.py"}
    rooms = {f"{path.parent.name}/" for path in (ROOT / "autoparts").glob("*/__init__.py")}
    assert set(rows) == files | rooms and house.count("\n") <= 20


def test_own_losses_networks_and_rows_work_as_shown(small_study, tmp_path, monkeypatch):
    text = (ROOT / "notebooks" / "README.md").read_text("utf-8").split("## Your own loss")[1].split("\n## ")[0]
    monkeypatch.setattr(losses, "contrastive_loss", losses.contrastive_loss)  # puts it back
    run = Run(tmp_path, small_study)
    names = {"__name__": "__main__", "study": small_study, "run": run, "side": 20, "seed": 0}  # in all notebooks
    for snippet in re.findall(r"(?s)```python\n(.*?)```", text):
        exec(snippet, names)
    assert losses.contrastive_loss is names["plain"] and len(names["history"]) == 10
    assert 0 <= names["scores"]["precision@1"] <= 1 and names["chosen"][-1] is names["mine"]
    settings = trials.Settings(1, 16, embedding_size=4, draws=20)
    table = trials.compare(run, [variants.UNTRAINED, names["mine"]], settings, small_study.photos).table
    assert table["variant"].tolist() == ["untrained network", "one layer, turned"]
