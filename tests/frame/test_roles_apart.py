"""The roles as compose.yaml runs them, each by itself, on a PostgreSQL that is not the product's.

Its commands, settings and health checks, and the two roles that deploy/postgres-init.sql makes: all but Docker.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
from deployed import ROOT, compose, environment, example
from kafkanode import Kafka, or_skip
from running import free_port, until

from fandesk.account import binary
from fandesk.embedded import EmbeddedPostgres
from fandesk.migrate import Migration, migrate, migrations

VARIABLES = {
    **example(),
    "FANDESK_WHATSAPP_PHONE_NUMBER_ID": "100000000000001",
    "FANDESK_WHATSAPP_TOKEN": "sandbox-token",
    "FANDESK_WHATSAPP_APP_SECRET": "sandbox-app-secret",
    "FANDESK_WHATSAPP_VERIFY_TOKEN": "sandbox-verify-token",
}
NUMBER = "+15550100199"
LISTENING = ("api", "whatsapp-sandbox")


@dataclass
class Host:
    """Runs what the containers run. ports: instead of the containers' own, by service."""

    folder: Path
    server: EmbeddedPostgres
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("api", "whatsapp-sandbox")}
    )
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kafka: str = ""
    """HOST:PORT; empty: the ledger is read directly."""

    def here(self, text: str) -> str:
        """An address that holds between containers, as it is on this machine."""
        place = f"@/fandesk?host={quote(str(self.server.sockets), safe='')}&port=5432"
        for there, here in (
            ("@postgres/fandesk", place),
            ("//api:8080", f"//127.0.0.1:{self.ports['api']}"),
            ("//127.0.0.1:8080", f"//127.0.0.1:{self.ports['api']}"),
            ("//127.0.0.1:8090", f"//127.0.0.1:{self.ports['whatsapp-sandbox']}"),
            ("//whatsapp-sandbox:8090", f"//127.0.0.1:{self.ports['whatsapp-sandbox']}"),
        ):
            text = text.replace(there, here)
        return text

    def environment(self, service: str, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FANDESK_")}
        variables = {**VARIABLES, "FANDESK_WHATSAPP_BASE_URL": "http://whatsapp-sandbox:8090", **more}
        given = {name: self.here(value) for name, value in environment(service, variables).items()}
        if "FANDESK_KAFKA_BOOTSTRAP" in given:
            given["FANDESK_KAFKA_BOOTSTRAP"] = self.kafka
        return {**kept, **given}

    def command(self, service: str) -> list[str]:
        words = [self.here(word) for word in compose()["services"][service]["command"]]
        port = ["--port", str(self.ports[service])] if service in self.ports else []
        return [sys.executable, "-m", "fandesk", *words, *port]

    def once(self, service: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a one-shot to its end."""
        return subprocess.run(
            [*self.command(service), *options],
            env=self.environment(service, **more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, service: str) -> None:
        with self.log(service).open("ab") as log:
            self.running[service] = subprocess.Popen(
                self.command(service), env=self.environment(service), cwd=self.folder, stdout=log, stderr=log
            )

    def log(self, service: str) -> Path:
        return self.folder / f"{service}.log"

    def check(self, service: str) -> subprocess.CompletedProcess[str]:
        """The health check of the service's container."""
        kind, program, *words = compose()["services"][service]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        return subprocess.run(
            [sys.executable, *map(self.here, words)],
            env={**self.environment(service), "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def healthy(self, service: str) -> bool:
        assert self.running[service].poll() is None, self.log(service).read_text()[-3000:]
        return self.check(service).returncode == 0

    def stop(self, service: str) -> int:
        process = self.running.pop(service)
        process.terminate()
        return process.wait(15)  # as long as compose.yaml waits

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {VARIABLES['FANDESK_ADMIN_TOKEN']}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.ports['api']}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A PostgreSQL as the image makes it on its first start, with passwords that are asked for."""
    folder = tmp_path_factory.mktemp("host")
    server = EmbeddedPostgres(folder / "elsewhere")
    server.start()
    with ExitStack() as ends:
        ends.callback(server.stop)
        superuser = server.dsn("postgres", "postgres")
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("drop database fandesk")
            connection.execute("drop role fandesk")
        psql = [binary("psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-d", superuser]
        passwords = {name: value for name, value in VARIABLES.items() if name.startswith("DB_")}
        subprocess.run(
            [*psql, "-f", ROOT / "deploy/postgres-init.sql"], env={**os.environ, **passwords}, check=True
        )
        rules = server.cluster / "pg_hba.conf"
        rules.write_text(f"local all fandesk,fandesk_owner scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")
        made = Host(folder, server)
        until(lambda: not _lets_in(server.dsn("fandesk", "fandesk")), what="passwords to be asked for")
        yield made
        for service in list(made.running):
            made.stop(service)


def _lets_in(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def alerted(host: Host, client: httpx.Client, title: str) -> str:
    """Trigger an incident, wait until its alert was read on the sandbox's phone; the incident's number."""
    incident = client.post("/api/v1/incidents", json={"title": title, "severity": "critical"})
    assert incident.status_code == 201, incident.text
    number = str(incident.json()["number"])

    def states() -> list[str]:
        deliveries = client.get(f"/api/v1/incidents/{number}/deliveries").json()["items"]
        return [each["state"] for each in deliveries if each["channel"] == "whatsapp"]

    # that it was read is told by the signed webhook
    until(lambda: states() == ["read"], what=f"the alert; {host.log('notify').read_text()[-2000:]}")
    return number


def tap(host: Host, number: str) -> None:
    sandbox = f"http://127.0.0.1:{host.ports['whatsapp-sandbox']}/_sandbox/messages"
    items = httpx.get(sandbox, params={"to": NUMBER}).json()["items"]
    (message,) = [item for item in items if number in item["parameters"]]
    httpx.post(f"{sandbox}/{message['wamid']}/tap", json={"button": "Acknowledge"}).raise_for_status()


def test_roles_apart_serve_alert_and_are_found_healthy(host: Host) -> None:
    migrated = host.once("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert "the one in FANDESK_ADMIN_TOKEN" in migrated.stdout
    assert VARIABLES["FANDESK_ADMIN_TOKEN"] not in migrated.stdout + migrated.stderr
    services = ("project", "notify", "escalate", "api", "whatsapp-sandbox")

    for service in services:
        host.start(service)
    for service in services:
        until(lambda service=service: host.healthy(service), within_s=60, what=f"the health of {service}")

    with host.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, what="/readyz")
        followers = client.get("/readyz").json()["followers"]
        recipient = client.post(
            "/api/v1/notifications/recipients",
            json={"name": "Ana", "whatsapp": NUMBER, "fallback": "json://127.0.0.1:9/nowhere"},
        )
        assert recipient.status_code == 201, recipient.text
        number = alerted(host, client, "Checkout is down")
        tap(host, number)

        def status() -> str:
            return str(client.get(f"/api/v1/incidents/{number}").json()["status"])

        until(lambda: status() == "acknowledged", what="the tap's effect")
        kinds = [item["type"] for item in client.get(f"/api/v1/incidents/{number}/timeline").json()["items"]]

    assert set(followers) == {"notify", "escalate"}
    assert {"IncidentTriggered", "AlertSent", "IncidentAcknowledged"} <= set(kinds)
    assert host.log("notify").read_text().count("not_configured") == 0
    with psycopg.connect(host.here(VARIABLES["FANDESK_DATABASE_URL"])) as app:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("update ledger.events set topic = topic")


def test_the_same_with_kafka_between(host: Host, tmp_path: Path) -> None:
    broker = Kafka(tmp_path / "kafka")
    or_skip(broker.start)
    host.kafka = broker.bootstrap
    roles = ("relay", "notify", "escalate")
    for role in roles[1:]:
        assert host.stop(role) == 0
    try:
        for service in roles:
            host.start(service)
        until(lambda: all(map(host.healthy, roles)), within_s=60, what="their health")
        with host.client() as client:
            until(lambda: client.get("/readyz").status_code == 200, what="/readyz")
            assert set(client.get("/readyz").json()["followers"]) == set(roles)
            alerted(host, client, "Checkout is down again")

            broker.kill()
            away = "relay: Kafka"
            until(lambda: away in client.get("/readyz").json()["status"], what="/readyz to tell of Kafka")
            assert host.healthy("relay")  # it lives, and waits
        assert host.stop("relay") == 0
    finally:
        broker.kill()


def test_a_role_that_is_gone_is_found_ill(host: Host) -> None:
    for service in ("notify", "escalate", "project", "api"):
        assert host.stop(service) in (0, -signal.SIGTERM)
    with psycopg.connect(host.server.dsn("postgres", "fandesk"), autocommit=True) as connection:
        connection.execute("update stream.followers set seen_at = now() - interval '1 minute'")
        connection.execute("update read.checkpoints set position = 0")
        connection.execute("alter table ledger.events disable trigger user")
        connection.execute("update ledger.events set recorded_at = now() - interval '1 minute'")
        connection.execute("alter table ledger.events enable trigger user")

    notify, project, api = (host.check(service) for service in ("notify", "project", "api"))

    assert (notify.returncode, project.returncode, api.returncode) == (1, 1, 1)
    assert "not seen for 6" in notify.stderr
    assert "behind the ledger" in project.stderr
    assert "refused" in api.stderr


def test_migrate_again_changes_nothing_and_shows_no_token(host: Host) -> None:
    first, second = (host.once("migrate", "--json", FANDESK_ADMIN_TOKEN="fdt_another") for _ in range(2))

    with psycopg.connect(host.server.dsn("postgres", "fandesk")) as connection:
        followers = connection.execute("select name from stream.followers").fetchall()
    assert set(followers) == {("notify",), ("escalate",)}  # a relay that is no more is not missed
    for run in (first, second):
        assert run.returncode == 0, run.stderr
    assert json.loads(second.stdout) == {"migrated": []}


def test_a_later_migration_runs_with_two_roles(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program owns its read models, of which the owner of the schema must not trip over."""
    assert host.once("migrate").returncode == 0
    later = Migration("9999_later.sql", "create table access.later (id int)")
    monkeypatch.setattr("fandesk.migrate.migrations", lambda: [*migrations(), later])

    done = migrate(host.here(VARIABLES["FANDESK_MIGRATION_DATABASE_URL"]), app_role="fandesk")

    assert done == [later.name]
    with psycopg.connect(host.here(VARIABLES["FANDESK_DATABASE_URL"])) as app:
        app.execute("insert into access.later values (1)")
