"""An import killed at random moments and started again each time ends in the same ledger as an undisturbed one."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filetools import ORG
from running import until
from test_servicenow_ledger import contents, without_numbers

from commands.event_store import LedgerRecorder
from commands.importers.run import run
from fandesk.importing import FORMATS

KILLS = int(os.environ.get("FANDESK_TEST_KILLS", "4"))
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(120 + 20 * KILLS)


def servicenow_log() -> str:
    rows = ["number,incident_state,opened_at,sys_updated_at,priority,assigned_to"]
    for n in range(6000 if KILLS > 4 else 1200):
        for hour, state in enumerate(("New", "Active", "Active", "Resolved", "Active", "Resolved", "Closed")):
            rows.append(f"INC{n},{state},1/3/2016 08:00,1/3/2016 {9 + hour:02}:00,3 - Moderate,Resolver {n % 7}")
    return "\n".join(rows)


def pagerduty_export() -> str:
    kinds = ("trigger", "acknowledge", "annotate", "resolve")
    lines = []
    for n in range(6000 if KILLS > 4 else 1200):
        entries = [
            {"id": f"R{n}-{k}", "type": f"{kind}_log_entry", "created_at": f"2024-03-01T08:{k:02}:00Z"}
            for k, kind in enumerate(kinds)
        ]
        lines.append(json.dumps({"id": f"P{n}", "title": f"Trouble {n}", "log_entries": entries}))
    return "\n".join(lines)


FORMS = [("servicenow", servicenow_log), ("pagerduty", pagerduty_export)]


@pytest.mark.parametrize(("kind", "content"), FORMS if KILLS > 4 else FORMS[:1])
def test_the_ledger_is_the_same(
    make_ledger: Callable[[], LedgerRecorder], tmp_path: Path, kind: str, content: Callable[[], str]
) -> None:
    file = tmp_path / "history"
    file.write_text(content())
    undisturbed, disturbed = make_ledger(), make_ledger()
    with file.open("rb") as opened:
        run(FORMATS[kind](opened, ORG), undisturbed)
    events = undisturbed.head()
    options = disturbed.datastore.pool.kwargs
    assert isinstance(options, dict)
    dsn = " ".join(f"{name}={options[name]}" for name in ("host", "dbname", "user", "port") if options.get(name))
    script = Path(__file__).with_name("importprocess.py")
    command = [sys.executable, str(script), kind, str(file), dsn]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    rng = random.Random()
    cut = 0
    for n in range(KILLS):
        goal = max(disturbed.head() + 1, events * (n + 1) // (KILLS + 1))
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: disturbed.head() >= goal or process.poll() is not None, within_s=60, what="some events")  # noqa: B023
        with process.stdout:
            try:
                process.wait(rng.uniform(0.0, 0.05))  # a random moment of a batch
            except subprocess.TimeoutExpired:
                process.kill()
                cut += 1
            process.wait()
    assert cut > KILLS // 2, (disturbed.head(), events)
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=120).returncode == 0
    found = contents(disturbed)
    assert without_numbers(found) == without_numbers(contents(undisturbed))
    numbers = [events[0].number for events in found.values()]  # type: ignore[union-attr]
    assert sorted(numbers) == list(range(1, len(found) + 1))
