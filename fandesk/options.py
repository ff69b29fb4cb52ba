"""Options that several commands of the command line share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the embedded database, running or not. Else FANDESK_DATABASE_URL."),
]
Organization = Annotated[
    str | None, typer.Option("--organization", help="Its name or id; needed where there are several.")
]
Json = Annotated[bool, typer.Option("--json", help="Answer for machines.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
