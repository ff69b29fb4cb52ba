"""Where Kafka is, and how to speak to it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kafka:
    """Kafka's address, the topic, and what it asks for before it lets one in."""

    bootstrap: str
    topic: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def options(self, bootstrap_s: float) -> dict[str, Any]:
        """What every client of the library takes. bootstrap_s: how long it may look for a broker."""
        options: dict[str, Any] = {
            "bootstrap_servers": [address.strip() for address in self.bootstrap.split(",")],
            "bootstrap_timeout_ms": int(bootstrap_s * 1000),
            "security_protocol": self.security_protocol,
            "reconnect_backoff_max_ms": 500,
            "metadata_max_age_ms": 2000,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options
