"""Keeps what has to be read again, such as addresses with passwords in them, unreadable without a key.

The key is Fernet's: 32 random bytes in URL-safe base64 (https://github.com/fernet/spec).
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class NotReadable(Exception):
    """This was encrypted with another key, or is damaged."""


class Vault:
    """Encrypts and decrypts with one key. `key` gives it, and is asked on the first use only, so that an
    installation that keeps no secrets needs none."""

    def __init__(self, key: Callable[[], str]) -> None:
        self._key = key

    @cached_property
    def _fernet(self) -> Fernet:
        return Fernet(self._key())

    def encrypt(self, text: str) -> bytes:
        """The text, unreadable. Raises OSError or ValueError where the key cannot be had or is none."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, kept: bytes) -> str:
        """The text that `encrypt` was given. Raises NotReadable; OSError or ValueError as `encrypt` does."""
        try:
            return self._fernet.decrypt(kept).decode()
        except InvalidToken:
            raise NotReadable("It was encrypted with another key, or is damaged.") from None


def key_in(file: Path) -> str:
    """The key in a file, which is made if there is none: for its owner alone, and whole or not at all, so that
    processes that come at once agree on one. Raises OSError."""
    with suppress(FileNotFoundError):
        return file.read_text("ascii").strip()
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as writing:
            writing.write(Fernet.generate_key() + b"\n")
            writing.flush()
            os.fsync(writing.fileno())
        with suppress(FileExistsError):  # another process was first, and its key counts
            os.link(draft, file)
        _sync(file.parent)
    finally:
        draft.unlink()
    return file.read_text("ascii").strip()


def _sync(folder: Path) -> None:
    """What is encrypted with a key must not outlive it when the power fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
