"""Notebooks of a few lines, to try the pipeline without waiting for a training."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """
data = "synthetic"  # the data
run = "lab"  # the run folder
seed = 0  # of every random step
device = "auto"  # where to compute
count = 3  # how many
rate = 0.5  # how fast
names = ["a"]  # whose
loud = False  # or quiet
"""
LOG = "import os\nwith open(os.environ['TOY_LOG'], 'a') as log:\n    log.write({name!r} + ' ')"


def write(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook that logs its name when it runs, then executes the cells."""
    tagged = new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]})
    code = [new_code_cell(cell) for cell in (LOG.format(name=name), *cells)]
    notebook = new_notebook(
        cells=[new_markdown_cell(f"# {name}"), tagged, *code],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    folder.mkdir(parents=True, exist_ok=True)
    for place, cell in enumerate(notebook.cells):
        cell.id = f"{name[:2]}-{place:02}"
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"
