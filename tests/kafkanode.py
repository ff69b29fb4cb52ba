"""A real Apache Kafka on this machine: one KRaft node, started by `java` from jars that Maven brings."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError
from running import free_port, until

from workers.stream.answering import opened

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fandesk-tests"
GET_IT = "apt-get install openjdk-17-jre-headless maven"


class Missing(Exception):
    """What a broker needs is not on this machine."""


def jars() -> Path:
    """The folder of Kafka's jars, brought once and kept between runs. Raises Missing."""
    kept = CACHE / f"kafka-{POM.read_text().split('<version>')[2].split('<')[0]}"
    if kept.exists():
        return kept
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is missing: {GET_IT}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "maven.lock").open("w") as lock:  # two runs of Maven at once would share its own cache
        fcntl.flock(lock, fcntl.LOCK_EX)
        return kept if kept.exists() else _brought(kept)


def _brought(kept: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        run = subprocess.run(
            [*command, f"-DoutputDirectory={folder}/jars"],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        if run.returncode:
            raise Missing(f"Maven could not bring Kafka: {(run.stdout + run.stderr)[-1000:]}")
        Path(folder, "jars").rename(kept)
    return kept


def or_skip(start: Callable[[], None]) -> None:
    """Skip the test where a broker cannot be had; fail where CI=true says that it must."""
    try:
        start()
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Kafka is needed here: {missing}")
        pytest.skip(str(missing))


class Kafka:
    """One broker. It keeps its ports and data when it is stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._controller = free_port()

    def start(self) -> None:
        """Until it answers. Raises Missing where Java or Kafka cannot be had."""
        if not (self.folder / "server.properties").exists():
            self._format()
        with (self.folder / "kafka.log").open("ab") as log:
            self.process = subprocess.Popen(self._java("kafka.Kafka", self._properties()), stdout=log, stderr=log)
        until(self._answers, within_s=60, what=f"Kafka; it says: {self._said()}")

    def stop(self) -> None:
        """As an operator stops it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def make_topic(self, name: str, partitions: int = 6) -> None:
        """A topic, made by hand."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
        finally:
            admin.close()

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def _java(self, *arguments: str) -> list[str]:
        heap = ["-Xmx256m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *heap, "-cp", f"{jars()}/*", *arguments]

    def _properties(self) -> str:
        return str(self.folder / "server.properties")

    def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "new.properties").write_text(
            "\n".join(
                [
                    "process.roles=broker,controller",
                    "node.id=1",
                    f"controller.quorum.voters=1@127.0.0.1:{self._controller}",
                    f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller}",
                    f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}",
                    "controller.listener.names=CONTROLLER",
                    f"log.dirs={self.folder}/data",
                    "offsets.topic.replication.factor=1",
                    "offsets.topic.num.partitions=1",
                    "transaction.state.log.replication.factor=1",
                    "transaction.state.log.min.isr=1",
                    "auto.create.topics.enable=false",
                    "log.cleaner.enable=false",
                    "num.network.threads=2",
                    "num.io.threads=2",
                    "controlled.shutdown.max.retries=1",
                    "broker.session.timeout.ms=2000",
                    "broker.heartbeat.interval.ms=500",
                ]
            )
        )
        cluster = "ZmFuZGVzay10ZXN0cy0wMQ"
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.folder / "new.properties")
        )
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode:
            raise Missing(f"Kafka's storage could not be made: {(run.stdout + run.stderr)[-1000:]}")
        (self.folder / "new.properties").rename(self.folder / "server.properties")

    def _answers(self) -> bool:
        """Whether a client gets an answer: an open port alone is not one yet."""
        assert self.process is not None
        assert self.process.poll() is None, self._said()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            admin = opened(KafkaAdminClient, bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
        except (OSError, KafkaError):
            return False
        try:
            return len(admin.describe_cluster()["brokers"]) == 1
        except KafkaError:
            return False
        finally:
            admin.close()

    def _said(self) -> str:
        log = self.folder / "kafka.log"
        return log.read_text()[-2000:] if log.exists() else ""
