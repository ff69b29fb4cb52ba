"""Whether a role that runs alone does its work: the health check of its container (compose.yaml).

    python -m fandesk.alive relay       a role that follows the ledger: `project`, `relay`, `notify`, `escalate`
    python -m fandesk.alive URL         what answers HTTP: the role api at .../healthz

Exit status 0: yes; 1: no, and why. Not part of `fandesk`, which takes seconds to load: this runs every 15.
An outage of Kafka, of WhatsApp or of another role is none of a role's own health: see /readyz for the whole.
"""

import http.client
import os
import sys
import urllib.request

import psycopg

LATE_S = 15.0
"""Longer than a follower may be silent or a projector behind. Later than /readyz says so: 10 s."""

WITHIN_S = 3

_SILENT = "select extract(epoch from clock_timestamp() - seen_at)::float from stream.followers where name = %s"
_BEHIND = """
    select extract(epoch from clock_timestamp() - recorded_at)::float from ledger.events
     where notification_id > (select min(position) from read.checkpoints) order by notification_id limit 1"""


def trouble(what: str, dsn: str) -> str | None:
    """Why it does not work, in words; None: it does. what: a role or a URL; dsn: of the database, for roles."""
    try:
        if "://" in what:
            return _answers(what)
        with psycopg.connect(dsn, connect_timeout=WITHIN_S) as connection:
            connection.execute(f"set statement_timeout = '{WITHIN_S}s'".encode())
            if what == "project":
                row = connection.execute(_BEHIND).fetchone()
                return f"{row[0]:.0f} s behind the ledger" if row and row[0] > LATE_S else None
            row = connection.execute(_SILENT, (what,)).fetchone()
    except (OSError, http.client.HTTPException, psycopg.Error) as problem:
        return str(problem)
    if row is None:
        return f"{what} was never here"
    return f"not seen for {row[0]:.0f} s" if row[0] > LATE_S else None


def _answers(url: str) -> str | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=WITHIN_S) as answer:  # raises for any status of 400 and above
        return None if answer.status < 300 else f"answers {answer.status}"


def main() -> int:
    """Look at what the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m fandesk.alive ROLE|URL\n")
        return 2
    why = trouble(sys.argv[1], os.environ.get("FANDESK_DATABASE_URL", ""))
    if why is not None:
        sys.stderr.write(f"{why}\n")
    return 0 if why is None else 1


if __name__ == "__main__":
    sys.exit(main())
