"""The benchmarks can be started and answer with one line of JSON. How fast anything is, is not tested here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, *arguments: str, within_s: float) -> str:
    """What the benchmark prints on stdout."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, errors = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.terminate()  # it removes its data, and ends its PostgreSQL
        process.communicate(timeout=30)
        raise
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.mark.parametrize("name", ["append", "http", "memory", "project", "replay", "routing"])
def test_each_says_what_it_is_for(name: str) -> None:
    help = run(name, "--help", within_s=30)
    assert "--quick" in help


def test_a_quick_run_ends_with_one_json_line() -> None:
    last = run("replay", "--quick", within_s=120).splitlines()[-1]
    result = json.loads(last)
    assert result["benchmark"] == "replay"
    assert result["ratios"]["ours/raw"] > 0
    assert set(result["samples"]) == {"ours", "raw", "machine"}
