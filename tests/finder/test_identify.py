"""The command `autoparts identify`."""

import dataclasses
import subprocess
import sys

import pytest

from autoparts.__main__ import main
from autoparts.finder import finder

pytest_plugins = "finder_files"


@pytest.fixture
def photos(study, tmp_path):
    """Two photos, a file that is none, a hidden photo, and what Windows leaves in folders."""
    first, second = (open(path, "rb").read() for path in study.subset("test")["path"][:2])  # noqa: PTH123, SIM115
    contents = {"0.jpg": first, "1.jpg": second, "2\n\x1b[2J.jpg": b"no photo", ".hidden/3.jpg": first}
    contents |= {"Thumbs.db": b"rubbish", "desktop.ini": b"rubbish"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def identify(path, capsys):
    def run(*arguments):
        code = main(["identify", *map(str, arguments), "--run", str(path)])
        told = capsys.readouterr()
        return code, told.out.splitlines(), told.err

    return run


def test_folders_are_read_names_have_a_row_each_and_what_is_no_photo_is_told(identify, here, photos, monkeypatch):
    monkeypatch.setattr(finder, "load_finder", lambda _: dataclasses.replace(here, threshold=-9e9))
    code, lines, _ = identify(photos, photos / "nowhere.jpg", "--top", 2)
    assert code == 0 and len(lines) == 6 and all(map(str.isprintable, lines))
    assert ["0.jpg" in line for line in lines[:2]] == [True, False] and "1.jpg" in lines[2]
    assert r"2\n\x1b[2J.jpg  cannot be read: not a photo of a known format" in lines[4]
    assert "nowhere.jpg  cannot be read: No such file" in lines[5]
    code, _, told = identify(photos / "nowhere.jpg")
    assert code == 1 and "none of 1 files could be read" in told


def test_a_reader_who_has_enough_is_no_error(path, photos):
    command = [sys.executable, "-m", "autoparts", "identify", *[str(photos)] * 40, "--run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b"" and running.wait() == 1
