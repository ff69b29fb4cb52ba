"""Settings from the environment, prefix FANDESK_."""

import base64
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings, with their defaults; docs/settings.md explains them."""

    model_config = SettingsConfigDict(env_prefix="FANDESK_", env_ignore_empty=True, extra="ignore")

    database_url: SecretStr | None = None
    """libpq connection string of the PostgreSQL to use (15 or newer). Unset: the embedded one."""

    migration_database_url: SecretStr | None = None
    """The same database as the role that shall own the schema. Unset: DATABASE_URL's role owns it."""

    public_url: str | None = None
    """Where people and alert senders reach this installation. Unset: http://HOST:PORT."""

    trusted_proxies: str | None = None
    """Addresses or networks of proxies, with commas between, whose X-Forwarded-For and X-Forwarded-Proto are
    believed. Unset: nobody's are."""

    admin_token: SecretStr | None = None
    """On first start only: the first super admin's API token, instead of one made up."""

    organization: str = "My organisation"
    """On first start only: the first organisation's name."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    secret_key: SecretStr | None = None
    """Encrypts what has to be kept and read again, as are recipients' fallback addresses. Unset: a file in the
    data folder is used; without a data folder such things are refused."""

    kafka_bootstrap: str | None = None
    """Addresses of Kafka brokers, HOST:PORT with commas between. Unset: consumers read the ledger directly."""

    kafka_topic: str = "fandesk.incident-events"

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"

    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"

    kafka_username: str | None = None

    kafka_password: SecretStr | None = None

    whatsapp_base_url: str = "https://graph.facebook.com/v24.0"
    """Meta's Graph API with its version; the sandbox's is http://127.0.0.1:8090/v24.0."""

    whatsapp_phone_number_id: str | None = None

    whatsapp_token: SecretStr | None = None

    whatsapp_app_secret: SecretStr | None = None
    """Signs Meta's webhooks. Unset: none are taken."""

    whatsapp_verify_token: SecretStr | None = None

    whatsapp_pair_interval_s: Annotated[float, Field(ge=0, le=60)] = 6.0
    """What a message to one person costs of the rate at which they may be written to. Less only for a sandbox."""

    whatsapp_template: str = "incident_alert"

    whatsapp_template_language: str = "en_US"

    whatsapp_code_template: str = "sign_in_code"
    """The approved template that brings the code which confirms a person's own number."""

    oidc_issuer: str | None = None
    """The address of an OpenID Connect provider that signs people in. Unset: there is none."""

    oidc_client_id: str | None = None

    oidc_client_secret: SecretStr | None = None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: str | None) -> str | None:
        for proxy in proxies.split(",") if proxies is not None else ():
            try:
                ip_network(proxy.strip())
            except ValueError as wrong:
                raise ValueError(f"must be addresses or networks such as 10.0.0.0/8: {wrong}") from None
        return proxies

    @field_validator("secret_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            try:
                length = len(base64.b64decode(key.get_secret_value(), altchars=b"-_", validate=True))
            except ValueError:
                length = 0
            if length != 32:
                raise ValueError("must be 32 bytes in URL-safe base64 (44 characters)")
        return key
