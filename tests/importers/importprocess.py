"""Imports a file into a ledger, to be killed: arguments format, file, dsn."""

import sys
from pathlib import Path
from uuid import UUID

from commands.event_store import LedgerDatastore, LedgerRecorder
from commands.importers.run import run
from fandesk.importing import FORMATS

if __name__ == "__main__":
    kind, file, dsn = sys.argv[1:]
    recorder = LedgerRecorder(LedgerDatastore(dsn))
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    with Path(file).open("rb") as opened:
        run(FORMATS[kind](opened, UUID(int=1)), recorder, batch_events=50)
    recorder.close()
