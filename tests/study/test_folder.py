from autoparts.study.folder import run_folder


def test_a_run_is_a_name_a_path_or_what_lies_here(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOPARTS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stick" / "mine").mkdir(parents=True)
    for name, expected in {
        "mine": "reports/mine",
        "./mine": "mine",
        "stick/mine": "stick/mine",
        "stick/other": "reports/stick/other",
        str(tmp_path / "mine"): "mine",
    }.items():
        assert run_folder(name) == tmp_path / expected
    (tmp_path / "reports" / "stick" / "mine").mkdir(parents=True)
    assert run_folder("stick/mine") == tmp_path / "reports/stick/mine"  # a run of that name comes first
