"""A consumer or relay as a process of its own, to be killed: DSN NAME [BOOTSTRAP TOPIC]."""

import signal
import sys
import threading

from streamworld import record

from workers.stream.address import Kafka
from workers.stream.consumer import Consumer
from workers.stream.kafka import KafkaSource
from workers.stream.log import LogSource
from workers.stream.relay import Relay

if __name__ == "__main__":
    dsn, name, *where = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    kafka = Kafka(*where) if where else None
    if name == "relay":
        assert kafka is not None
        Relay(dsn, kafka).run(stop)
    else:
        Consumer(dsn, name, KafkaSource(kafka) if kafka else LogSource(), record(name)).run(stop)
