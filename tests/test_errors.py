import errno
import json
import os

import pytest
from IPython.core.interactiveshell import InteractiveShell

from autoparts.errors import FailedError, UserError, disk_errors, read_json, set_aside, whole_file, whole_folder


def test_a_notebook_shows_the_message_alone(capsys):
    shell = InteractiveShell()
    shell.run_cell("from autoparts.errors import UserError\nraise UserError('epochs is ten; expected a number')")
    assert capsys.readouterr().out.strip() == "UserError: epochs is ten; expected a number"


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("first")
        assert not path.exists() and unfinished.parent == path.parent
    with pytest.raises(RuntimeError), whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all_and_others_may_read_it(tmp_path):
    for name in ("old.part", "new.part"):  # of processes that were killed
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    os.utime(tmp_path / "old.part", (0, 0))
    with whole_folder(tmp_path / "entry") as unfinished:
        (unfinished / "file").touch()
        assert not (tmp_path / "entry").exists()
    with whole_folder(tmp_path / "entry") as unfinished:  # which another process has finished by now
        (unfinished / "other").touch()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "failed") as unfinished:
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["entry", "file", "half", "new.part"]
    (tmp_path / "ordinary").mkdir()
    modes = [(tmp_path / name).stat().st_mode for name in ("entry", "ordinary")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, FailedError, "No space left on device. Free some space"),
        (errno.EDQUOT, FailedError, "except with --restart or --force"),
        (errno.EACCES, UserError, "Allow it, or choose another: AUTOPARTS_CACHE for the cache, another name for"),
        (errno.EROFS, UserError, "Read-only file system"),
        (errno.EEXIST, UserError, "File exists.*another name for a run"),
        (errno.ENOTDIR, UserError, "Not a directory.*another name for a run"),
    ],
)
def test_a_disk_that_takes_no_file_is_told_with_its_name(tmp_path, number, kind, words):
    path = tmp_path / "model.pt"
    with pytest.raises(UserError, match=f"model.pt cannot be written: .*{words}") as found, disk_errors(path):
        raise OSError(number, os.strerror(number))
    assert type(found.value) is kind and kind.exit_code == (1 if kind is FailedError else 2)


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
@pytest.mark.parametrize("name", ["file/results/data.json", "x" * 300 + ".json"])
def test_a_file_or_folder_where_none_can_be_is_told(tmp_path, name, whole):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written: .*another name"), whole(tmp_path / name) as path:
        path.write_text("{}")


def test_damaged_files_are_renamed_and_never_lost(tmp_path):
    for content in ("one", "two", "three"):
        (tmp_path / "a.json").write_text(content)
        aside = set_aside(tmp_path / "a.json")
        assert aside.read_text() == content and not (tmp_path / "a.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.json.damaged", "a.json.damaged-2", "a.json.damaged-3"}


WRONG = [b"", b"{", b"\xff\xfe{}", b"[1, 2]", b"null", b'"text"', b"\0" * 9, b"[" * 100_000]


@pytest.mark.parametrize("content", [*WRONG, "a folder"], ids=repr)
def test_a_damaged_json_file_is_set_aside_and_the_message_says_what_to_do(tmp_path, content):
    path = tmp_path / "cnn.json"
    path.mkdir() if content == "a folder" else path.write_bytes(content)
    with pytest.raises(UserError, match=r"cnn\.json is damaged and was set aside as cnn\.json\.damaged: run 02 again$"):
        read_json(path, "run 02 again")
    aside = tmp_path / "cnn.json.damaged"
    assert (aside.is_dir() if content == "a folder" else aside.read_bytes() == content) and not path.exists()
    with pytest.raises(UserError, match=r"cnn\.json is missing: run 02 again$"):
        read_json(path, "run 02 again")


def test_a_whole_json_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"part": "Ölfilter"}), "utf-8")
    assert read_json(tmp_path / "a.json", "") == {"part": "Ölfilter"}
