"""The conventions of CONTRIBUTING.md, enforced: style, types, and which folder may import which."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy", "--no-incremental"],
        ["lint-imports", "--no-cache"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_tool_is_content(command: list[str]) -> None:
    run = subprocess.run([TOOLS / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_readme_commands_are_those_of_ci_and_contributing() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    installed = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]'"
    tests = f"{installed} && .venv/bin/pytest -n 2 --dist loadfile"

    for file in (readme, (ROOT / "CONTRIBUTING.md").read_text("utf-8"), (ROOT / ".ci/run").read_text("utf-8")):
        assert f"\n{tests}\n" in file
    assert "\npython3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/fandesk up\n" in readme


def test_every_setting_is_in_the_docs() -> None:
    from fandesk.settings import Settings

    documented = (ROOT / "docs/settings.md").read_text("utf-8")

    for name in Settings.model_fields:
        assert f"| `{name.upper()}` |" in documented
