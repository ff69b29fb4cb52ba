"""Settings from the environment, prefix FANDESK_."""

from typing import Literal

from pydantic import SecretStr
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

    admin_token: SecretStr | None = None
    """On first start only: the first super admin's API token, instead of one made up."""

    organization: str = "My organisation"
    """On first start only: the first organisation's name."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
