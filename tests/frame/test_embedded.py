"""The embedded PostgreSQL survives what happens to it: kills, stale files, odd folders, races, root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from fandesk import account, embedded
from fandesk.account import EmbeddedPostgresError
from fandesk.embedded import EmbeddedPostgres, borrowed

ROOT = Path(__file__).resolve().parents[2]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG and /proc are Linux's")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "data")
    yield made
    made.stop()
    shutil.rmtree(made.sockets, ignore_errors=True)


def eventually(holds: Callable[[], object], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def ask(server: EmbeddedPostgres, query: str, user: str = "fandesk") -> object:
    with psycopg.connect(server.dsn(user), autocommit=True) as connection:
        done = connection.execute(query.encode())
        row = done.fetchone() if done.description else None
        return row[0] if row else None


def run_python(text: str, *arguments: object) -> subprocess.Popen[str]:
    begin = "import sys, time\nfrom pathlib import Path\nfrom fandesk.embedded import *\nimport psycopg\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", begin + text, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_makes_the_role_and_the_database_and_listens_on_its_socket_only(server: EmbeddedPostgres) -> None:
    assert not server.running()
    server.start()
    assert server.running()
    attributes = "rolcanlogin, rolsuper, rolcreaterole, rolcreatedb"
    role = ask(server, f"SELECT ARRAY[{attributes}] FROM pg_roles WHERE rolname = current_user")
    assert role == [True, False, False, False]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(server, owner) == "postgres"
    expected = {
        "listen_addresses": "",
        "TimeZone": "UTC",
        "shared_buffers": "64MB",
        "max_connections": "60",
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "server_encoding": "UTF8",
        "max_wal_size": "1GB",
    }
    assert {name: ask(server, f"SHOW {name}") for name in expected} == expected
    assert ask(server, "SELECT upper('gr\u00fc\u00df')") is not None
    assert server.sockets.stat().st_mode & 0o007 == 0


def test_data_outlives_a_stop_and_a_deleted_socket_folder(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 7 AS n", user="postgres")
    shutil.rmtree(server.sockets)
    assert not server.running()
    server.stop()
    server.start()
    assert ask(server, "SELECT n FROM kept", user="postgres") == 7
    shutil.rmtree(server.sockets)
    server.stop()
    assert not server.owned


@pytest.mark.parametrize(
    ("name", "near"),
    [('Frank\'s 日本 100% "new" é', True), ("one, two", False), ("long/" + "x" * 200, False)],
    ids=["odd", "comma", "long"],
)
def test_any_folder_will_do(name: str, near: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="fd-", dir="/tmp") as short:
        data = Path(short, name)
        with borrowed(data) as server:
            assert ask(server, "SELECT 1") == 1
            assert len(os.fsencode(server.sockets / ".s.PGSQL.5432")) <= 103
            assert (server.sockets.parent == data) == near
            assert EmbeddedPostgres(data).dsn() == server.dsn()
        assert not server.running()
        shutil.rmtree(server.sockets)


def test_a_killed_postmaster_is_followed_at_once(server: EmbeddedPostgres) -> None:
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 7 AS n", user="postgres")
    for _ in range(2):
        postmaster = server._process
        assert postmaster is not None
        with psycopg.connect(server.dsn()) as busy:  # its backend does not notice that the postmaster is gone
            busy.pgconn.send_query(b"SELECT max(n) FROM (SELECT generate_series(1, 10000000000) AS n) AS all_n")
            eventually(lambda: ask(server, "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'all_n$'"))
            postmaster.kill()
            postmaster.wait()
            assert busy.info.backend_pid in server._alive()
            server.spawn()
            server.wait_ready()
            busy.close()
        assert ask(server, "SELECT n FROM kept", user="postgres") == 7


def test_the_stale_id_of_a_killed_server_may_be_anothers_now(server: EmbeddedPostgres) -> None:
    server.start()
    stale = (server.cluster / "postmaster.pid").read_text().split("\n", 1)[1]
    assert server._process is not None
    for pid in server._alive():
        with suppress(ProcessLookupError):  # one may have gone with another
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not server._alive())
    other = subprocess.Popen(["sleep", "60"])
    try:
        (server.cluster / "postmaster.pid").write_text(f"{other.pid}\n{stale}")
        (server.sockets / ".s.PGSQL.5432.lock").write_text(f"{other.pid}\n{stale}")
        server.start()
        assert other.poll() is None
        assert ask(server, "SELECT 1") == 1
    finally:
        other.kill()
        other.wait()


@linux_only
@pytest.mark.parametrize("at_once", [False, True])
def test_the_server_ends_with_the_process_that_started_it(server: EmbeddedPostgres, at_once: bool) -> None:
    text = "s = EmbeddedPostgres(Path(sys.argv[1])); s.start(); print('up', flush=True); time.sleep(60)"
    with run_python(text, server.data) as starter:
        assert line_of(starter) == "up"
        assert server.running()
        starter.kill()
    if not at_once:
        eventually(lambda: not server._alive())
    server.start()
    assert ask(server, "SELECT 1") == 1


@linux_only
def test_an_initdb_that_is_killed_heals(server: EmbeddedPostgres) -> None:
    with run_python("EmbeddedPostgres(Path(sys.argv[1])).prepare()", server.data) as maker:
        eventually(lambda: list(server.data.glob("postgres.new-*/base")))
        maker.kill()
    assert not server.cluster.exists()
    server.start()
    assert ask(server, "SELECT 1") == 1
    assert not list(server.data.glob("postgres.new-*"))


def test_two_borrowers_at_once_share_one_server(tmp_path: Path) -> None:
    text = """
with borrowed(Path(sys.argv[1])) as server:
    print(server._process is not None, flush=True)
    sys.stdin.readline()
    with psycopg.connect(server.dsn()) as c:
        print(c.execute("SELECT 1").fetchone()[0], flush=True)
"""
    both = [run_python(text, tmp_path) for _ in range(2)]
    with both[0], both[1]:
        started = [line_of(one) for one in both]
        assert sorted(started) == ["False", "True"]
        starter, other = sorted(both, key=lambda one: started[both.index(one)], reverse=True)
        for one in (starter, other):  # the starter is through first, and must wait for the other
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
            assert line_of(one) == "1"
    assert [one.returncode for one in both] == [0, 0]
    assert not EmbeddedPostgres(tmp_path)._alive()


def test_a_folder_in_use_is_refused_and_its_server_left_alone(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    monkeypatch.setattr(embedded, "_OWN_WAIT_S", 0.1)
    with pytest.raises(EmbeddedPostgresError, match=f"in use by process {os.getpid()}"):
        EmbeddedPostgres(server.data).start()
    with borrowed(server.data) as same:
        assert ask(same, "SELECT 1") == 1
    assert server.running()


def test_what_the_server_says_is_told_and_its_log_does_not_grow_for_ever(server: EmbeddedPostgres) -> None:
    server.prepare()
    with (server.cluster / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with server.log.open("wb") as log:
        log.truncate(11 * 1024 * 1024)
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        server.start()
    assert server.log.stat().st_size < 100_000
    assert server.log.with_suffix(".log.1").stat().st_size == 11 * 1024 * 1024


def as_user(entry: pwd.struct_passwd, work: Callable[[], None]) -> int:
    """Do it in a fork, for the interpreter may lie where that user may not go. Gives the exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A data folder that belongs to an ordinary user; tmp_path lies where only its owner comes."""
    folder = Path(tempfile.mkdtemp(prefix="fandesk-test-", dir="/tmp"))
    entry = pwd.getpwnam("nobody")
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    yield folder
    shutil.rmtree(folder)


def server_uid(server: EmbeddedPostgres) -> int:
    return (server.cluster / "postmaster.pid").stat().st_uid


@root_only
def test_an_ordinary_user_runs_it_and_so_does_root_on_that_users_folder(nobodys: Path) -> None:
    nobody = pwd.getpwnam("nobody")

    def work() -> None:
        with borrowed(nobodys) as server:
            assert ask(server, "SELECT 1") == 1

    assert as_user(nobody, work) == 0
    with borrowed(nobodys) as server:
        assert ask(server, "SELECT 1") == 1
        assert server_uid(server) == nobody.pw_uid
    assert as_user(nobody, work) == 0


@linux_only
@root_only
def test_root_below_a_closed_folder_changes_nothing_on_the_machine(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if account._namespace_account(closed) is None:
        pytest.skip("user namespaces are not allowed here")
    users = Path("/etc/passwd").read_bytes()
    modes = [folder.stat().st_mode for folder in (closed, *closed.parents)]
    with borrowed(closed / "data") as server:
        assert ask(server, "SELECT 1") == 1
        status = Path(f"/proc/{min(server._alive())}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
    assert [folder.stat().st_mode for folder in (closed, *closed.parents)] == modes
    assert Path("/etc/passwd").read_bytes() == users


@linux_only
@root_only
def test_root_without_namespaces_takes_a_system_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("useradd") is None or shutil.which("userdel") is None:
        pytest.skip("no useradd here")
    known = any(entry.pw_name == "fandesk-postgres" for entry in pwd.getpwall())
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = account.binary("postgres").parents[2]
    modes = {folder: folder.stat().st_mode & 0o7777 for folder in (*closed.parents, wheel, *wheel.parents)}
    try:
        with borrowed(closed / "data") as server:  # a cluster from when namespaces were allowed
            ask(server, "CREATE TABLE kept AS SELECT 7 AS n", user="postgres")
        monkeypatch.setattr(account, "_namespace_account", lambda data: None)
        for _ in range(2):
            with borrowed(closed / "data") as server:
                assert ask(server, "SELECT n FROM kept", user="postgres") == 7
                assert server_uid(server) == pwd.getpwnam("fandesk-postgres").pw_uid
        assert closed.stat().st_mode & 0o007 == 0o001
        with borrowed(closed / "other") as server:
            assert ask(server, "SELECT 1") == 1
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
        if not known:
            subprocess.run(["userdel", "fandesk-postgres"], check=False, capture_output=True)
