import pytest

from autoparts.errors import UserError
from autoparts.study.folder import read_json_or_empty, run_folder


def test_a_run_is_a_name_a_path_or_what_lies_here(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stick" / "mine").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    for name, expected in {
        "mine": "reports/mine",  # a name stays a name
        "./mine": "mine",
        f"../{tmp_path.name}/mine/": "mine",
        ".": "",
        "stick/mine": "stick/mine",
        "stick/other": "reports/stick/other",
        str(tmp_path / "mine"): "mine",
        "~no-such-user/mine": "reports/~no-such-user/mine",
    }.items():
        assert run_folder(name) == tmp_path / expected
    (tmp_path / "reports" / "stick" / "mine").mkdir(parents=True)
    assert run_folder("stick/mine") == tmp_path / "reports/stick/mine"  # a run of that name comes first
    for empty in ("", " "):
        with pytest.raises(UserError, match="the name of the run is empty"):
            run_folder(empty)


def test_a_file_that_is_written_again_is_read_if_it_is_whole(tmp_path, capsys):
    path = tmp_path / "a.json"
    assert read_json_or_empty(path) == {}
    path.write_text("{")
    assert read_json_or_empty(path) == {} and not path.exists() and capsys.readouterr().err.count("set aside") == 1
    path.write_text('{"seed": 1}')
    assert read_json_or_empty(path) == {"seed": 1}
