import subprocess
import sys
from pathlib import Path

import pandas as pd
from benchmarks.clock import Bar

ROOT = Path(__file__).parents[1]


def test_the_benchmark_writes_what_it_prints(tmp_path):
    out = tmp_path / "bench.csv"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--out", str(out)]
    command += ["--only", "contrastive", "mining", "fit", "evaluation"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table, work = pd.read_csv(out), ["contrastive epoch", "mining, semi-hard", "mining, hard"]
    assert table["work"].tolist() == [*work, "fit per step", "evaluation"]
    assert table[["ours", "theirs", "ratio"]].gt(0).all(axis=None)
    assert table["met"].isin(["aim", "met", "missed"]).all()
    assert table["bar"].tolist() == ["≥ 6", "≥ 5", "≥ 5", "≤ 1.1", "≥ 4"]
    assert table["versions"].str.contains("torch").all() and table["machine"].str.contains("cores").all()
    assert all(work in done.stdout for work in table["work"])


def test_a_ratio_is_judged_by_its_bar():
    assert [Bar(5, 10).met(ratio) for ratio in (4, 5, 10)] == ["missed", "met", "aim"]
    assert [Bar(1.1, 1.03, at_most=True).met(ratio) for ratio in (1.2, 1.1, 1.0)] == ["missed", "met", "aim"]
    assert Bar().met(1.0) == ""
