"""`fandesk whatsapp-sandbox`, as a newcomer starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from metatools import NUMBER_ID, SECRET, VERIFY, Callback, alert, is_signed
from running import free_port, until

ROOT = Path(__file__).resolve().parents[2]


def test_starts_answers_and_stops(callback: Callback, tmp_path: Path) -> None:
    port = free_port()
    options = ["--callback", callback.url, "--app-secret", SECRET, "--verify-token", VERIFY, "--port", str(port)]
    command = [sys.executable, "-m", "fandesk", "whatsapp-sandbox", *options]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)
    try:
        until(lambda: "passed the challenge" in log.read_text(), what=log.read_text())
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v24.0/{NUMBER_ID}/messages",
            json=alert(),
            headers={"Authorization": "Bearer t"},
        )
        until(lambda: len(callback.raw) == 3)
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(10)

    assert answer.status_code == 200
    assert all(is_signed(headers, raw) for headers, raw in callback.raw)
    assert f"http://127.0.0.1:{port}" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert ended in (0, -signal.SIGTERM)


def test_says_what_is_wrong_with_the_callback() -> None:
    options = ["--callback", "localhost", "--app-secret", "s"]
    command = [sys.executable, "-m", "fandesk", "whatsapp-sandbox", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=False
    )

    assert run.returncode == 2
    assert "http or https" in run.stderr


def test_starts_before_its_callback(tmp_path: Path) -> None:
    port = free_port()
    options = ["--callback", f"http://127.0.0.1:{free_port()}/x", "--app-secret", "s", "--port", str(port)]
    command = [sys.executable, "-m", "fandesk", "whatsapp-sandbox", *options]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=ROOT)
    try:
        until(lambda: "does not answer yet" in log.read_text(), what="the challenge's result")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    finally:
        process.terminate()
        process.wait(10)
