"""A real Prometheus Alertmanager, configured as the README says, opens and resolves an incident."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from running import free_port, until

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: fandesk, group_by: [alertname, service], group_wait: 0s, group_interval: 1s}\n"
        f"receivers: [{{name: fandesk, webhook_configs: [{{url: '{webhook}', send_resolved: true}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(PROGRAM),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"http://{address}/-/ready"), what="Alertmanager")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(PROGRAM is None, reason="needs a real Alertmanager: apt-get install prometheus-alertmanager")
def test_a_real_alertmanager_opens_and_resolves_an_incident(http: httpx.Client, tmp_path: Path) -> None:
    made = http.post("/api/v1/integrations", json={"name": "Real", "kind": "alertmanager"}).json()
    alert = {"labels": {"alertname": "RealOne", "service": "checkout", "severity": "critical"}, "annotations": {}}

    def found() -> dict[str, object]:
        items = http.get("/api/v1/incidents", params={"q": "RealOne"}).json()["items"]
        assert len(items) <= 1
        return items[0] if items else {}

    with alertmanager(tmp_path, made["url"]) as address:
        httpx.post(f"{address}/api/v2/alerts", json=[alert]).raise_for_status()
        until(found, what="the incident")
        opened = found()
        assert (opened["severity"], opened["status"], opened["title"]) == (
            "critical",
            "triggered",
            "RealOne checkout",
        )

        over = alert | {"endsAt": datetime.now(UTC).isoformat()}
        httpx.post(f"{address}/api/v2/alerts", json=[over]).raise_for_status()
        until(lambda: found()["status"] == "resolved", what="the resolve")
