"""`make` sets up .venv with torch for GPUs only where there is one, or where no other torch can be had."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT, ORDINARY, NONE = "torch comes without", "6 GB on disk", "Setting up"


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="a machine with a GPU cannot be one without")
@pytest.mark.parametrize(
    ("system", "gpu", "index", "asked", "said", "chosen"),
    [
        ("Linux", False, True, "", WITHOUT, True),
        ("Linux", False, False, "", ORDINARY, False),
        ("Linux", True, True, "", NONE, False),
        ("Darwin", False, True, "", NONE, False),
        ("Linux", False, True, "cu128", NONE, False),  # asked for by the user, which uv itself reads
    ],
)
def test_torch_is_the_one_for_the_machine(tmp_path, system, gpu, index, asked, said, chosen):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    programs = {
        "bin/uname": f"echo {system}",
        "bin/nvidia-smi": f"exit {0 if gpu else 9}",
        ".venv/bin/python": "exit 0",
        # Without --reinstall it would find torch installed, and ask no index.
        ".venv/bin/uv": f'echo "$@" >> uv.log; case "$*" in *--dry-run*--reinstall*) exit {0 if index else 2};; esac',
    }
    for name, script in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment |= {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "UV_TORCH_BACKEND": asked}
    command = ["make", "--silent", ".venv/.installed"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert said in done.stdout.splitlines()[-1]
    installed = (tmp_path / "uv.log").read_text().splitlines()[-1]
    assert installed.endswith("--editable .[dev]") and ("--torch-backend=cpu" in installed) == chosen
    assert (tmp_path / ".venv" / ".installed").exists()
