"""`fandesk api`, `project`, `notify`, `escalate`, `relay`: one role alone, for several machines."""

from fandesk import compose
from fandesk.options import Data, Host, Port
from fandesk.place import database


def api(data: Data = None, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Run the role api alone: HTTP."""
    with database(data, host, port) as config:
        compose.run_api(config)


def project(data: Data = None) -> None:
    """Run the role project alone: the read models."""
    with database(data) as config:
        compose.run_projector(config)


def notify(data: Data = None) -> None:
    """Run the role notify alone: alerts to people, and what they answer."""
    with database(data) as config:
        compose.run_notify(config)


def escalate(data: Data = None) -> None:
    """Run the role escalate alone: alerts go on for as long as nobody acknowledges."""
    with database(data) as config:
        compose.run_escalate(config)


def relay(data: Data = None) -> None:
    """Run the role relay alone: publish the ledger to Kafka."""
    with database(data) as config:
        compose.run_relay(config)
