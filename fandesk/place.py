"""Where the data are: an external PostgreSQL, or the embedded one in a data folder, running or not."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from pydantic import SecretStr

from api.services import WhatsAppWebhook
from commands.event_store import LedgerRecorder
from fandesk import compose
from fandesk.embedded import EmbeddedPostgres, borrowed
from fandesk.first_start import FirstStart, first_start, put_access_on_record
from fandesk.migrate import migrate
from fandesk.settings import Settings
from workers.notifier.cloud_api import CloudApiSettings
from workers.stream.address import Kafka

log = logging.getLogger(__name__)

DEFAULT_DATA = Path("fandesk-data")
APP_ROLE = "fandesk"
KEY_FILE = "secret.key"
SHORTEST_TOKEN = 20


class NoData(Exception):
    """The data folder holds no database."""


def is_external(settings: Settings, data: Path | None) -> bool:
    """Whether FANDESK_DATABASE_URL says where the data are; `--data` goes before it."""
    return settings.database_url is not None and data is None


def config_of(
    settings: Settings, postgres: EmbeddedPostgres | None, host: str = "127.0.0.1", port: int = 8080
) -> compose.Config:
    """What the roles need to know. postgres: the embedded one; None: the one that the settings name."""
    return replace(
        _addresses(settings, postgres, host, port),
        trusted_proxies=settings.trusted_proxies or "",
        secret_key=_shown(settings.secret_key),
        secret_file=postgres.data / KEY_FILE if postgres is not None else None,
        webhook=WhatsAppWebhook(
            app_secret=_shown(settings.whatsapp_app_secret),
            verify_token=_shown(settings.whatsapp_verify_token),
            phone_number_id=settings.whatsapp_phone_number_id,
        ),
        kafka=kafka_of(settings),
        oidc=_oidc(settings),
        whatsapp=_cloud_api(settings),
    )


def _cloud_api(settings: Settings) -> CloudApiSettings | None:
    """Where messages are sent; None where that is not set up."""
    token = _shown(settings.whatsapp_token)
    if not token or not settings.whatsapp_phone_number_id:
        return None
    return CloudApiSettings(
        base_url=settings.whatsapp_base_url,
        phone_number_id=settings.whatsapp_phone_number_id,
        token=token,
        template=settings.whatsapp_template,
        template_language=settings.whatsapp_template_language,
        pair_interval_s=settings.whatsapp_pair_interval_s,
        code_template=settings.whatsapp_code_template,
    )


def _oidc(settings: Settings) -> compose.Oidc | None:
    """Who signs people in, where the settings name a provider and what it knows us by."""
    secret = _shown(settings.oidc_client_secret)
    if settings.oidc_issuer is None or settings.oidc_client_id is None or secret is None:
        return None
    return compose.Oidc(settings.oidc_issuer, settings.oidc_client_id, secret)


def _shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _addresses(settings: Settings, postgres: EmbeddedPostgres | None, host: str, port: int) -> compose.Config:
    public_url = (settings.public_url or f"http://{host}:{port}").rstrip("/")
    if postgres is not None:
        return compose.Config(postgres.dsn(), postgres.dsn("postgres"), APP_ROLE, public_url, host, port)
    assert settings.database_url is not None
    dsn = settings.database_url.get_secret_value()
    owner = settings.migration_database_url
    if owner is None:
        return compose.Config(dsn, dsn, None, public_url, host, port)
    role = str(psycopg.conninfo.conninfo_to_dict(dsn).get("user", APP_ROLE))
    return compose.Config(dsn, owner.get_secret_value(), role, public_url, host, port)


def kafka_of(settings: Settings) -> Kafka | None:
    """Kafka, where the settings name one."""
    if settings.kafka_bootstrap is None:
        return None
    return Kafka(
        settings.kafka_bootstrap,
        settings.kafka_topic,
        settings.kafka_security_protocol,
        settings.kafka_sasl_mechanism,
        settings.kafka_username,
        settings.kafka_password.get_secret_value() if settings.kafka_password else None,
    )


@contextmanager
def database(
    data: Path | None, host: str = "127.0.0.1", port: int = 8080, *, up_to_date: bool = True
) -> Iterator[compose.Config]:
    """The database, running: an external one as it is, the embedded one started and migrated if need be.

    Raises NoData where there is none in the folder and up_to_date asks for one.
    """
    settings = Settings()
    if is_external(settings, data):
        yield config_of(settings, None, host, port)
        return
    if up_to_date and not ((data or DEFAULT_DATA) / "postgres").exists():
        raise NoData(
            f"There is no database in {data or DEFAULT_DATA}: `fandesk up` or `fandesk migrate` makes one."
        )
    with borrowed(data or DEFAULT_DATA) as postgres:
        config = config_of(settings, postgres, host, port)
        if up_to_date:
            bring_up_to_date(config)
        yield config


@contextmanager
def ledger(config: compose.Config) -> Iterator[LedgerRecorder]:
    """The ledger, closed afterwards."""
    store = compose.open_store(config.dsn)
    try:
        yield store
    finally:
        store.close()


def bring_up_to_date(config: compose.Config) -> list[str]:
    """Run the migrations that are missing; their names."""
    return migrate(config.owner_dsn, app_role=config.app_role)


def begin(config: compose.Config, settings: Settings) -> FirstStart | None:
    """Make the first organisation and its super admin; None where there are some already. Who has access from
    before that was put on record is on record afterwards."""
    token = _shown(settings.admin_token)
    made = first_start(config.owner_dsn, settings.organization, token)
    if made is not None and token is not None and len(token) < SHORTEST_TOKEN:
        log.warning(
            "FANDESK_ADMIN_TOKEN has fewer than %s characters: whoever guesses it may do everything here."
            " Make a longer one with `fandesk token create`, and revoke this one.",
            SHORTEST_TOKEN,
        )
    if made is None:
        put_access_on_record(config.owner_dsn)
    return made
