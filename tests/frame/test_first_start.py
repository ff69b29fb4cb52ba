"""What a first start says of what it was given."""

import logging
from typing import Any

import pytest

from fandesk.place import begin, config_of
from fandesk.settings import Settings


@pytest.mark.parametrize(("token", "warned"), [("s" * 19, True), ("s" * 20, False), (None, False)])
def test_a_token_that_can_be_guessed_is_warned_of_once(
    empty_database: Any, caplog: pytest.LogCaptureFixture, token: str | None, warned: bool
) -> None:
    settings = Settings.model_validate({"database_url": empty_database.dsn, "admin_token": token})
    config = config_of(settings, None)
    with caplog.at_level(logging.WARNING):
        assert begin(config, settings) is not None
        assert begin(config, settings) is None
    said = [record.getMessage() for record in caplog.records]
    assert ["has fewer than 20 characters" in text for text in said] == [True] * warned
    assert token is None or all(token not in text for text in said)
