"""`fandesk whatsapp-sandbox`: Meta's side of WhatsApp on this machine."""

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from workers.sandbox.sandbox import Settings


def whatsapp_sandbox(
    callback: Annotated[str, typer.Option(help="Where webhooks go: this program's /webhooks/whatsapp.")],
    app_secret: Annotated[
        str, typer.Option(envvar="FANDESK_WHATSAPP_APP_SECRET", help="Signs the webhooks.", show_envvar=True)
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8090,
    verify_token: Annotated[
        str, typer.Option(envvar="FANDESK_WHATSAPP_VERIFY_TOKEN", help="Sent with Meta's challenge at the start.")
    ] = "",
    token: Annotated[
        str | None, typer.Option(envvar="FANDESK_WHATSAPP_TOKEN", help="The only access token taken; else any is.")
    ] = None,
    template: Annotated[
        str, typer.Option(envvar="FANDESK_WHATSAPP_TEMPLATE", help="Name of the approved alert template.")
    ] = "incident_alert",
    template_language: Annotated[
        str, typer.Option(envvar="FANDESK_WHATSAPP_TEMPLATE_LANGUAGE", help="Its language.")
    ] = "en_US",
    link_base: Annotated[
        str | None,
        typer.Option(envvar="FANDESK_PUBLIC_URL", help="What the button Open opens; else the callback's host."),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many messages are remembered.")] = 1000,
    pair_interval: Annotated[
        float, typer.Option(min=0, help="Seconds between two messages to one person; shorten it for load tests.")
    ] = 6.0,
    pair_burst: Annotated[int, typer.Option(min=1, help="How many may be borrowed at once.")] = 45,
    per_second: Annotated[int, typer.Option(min=1, help="Messages per second of one number.")] = 80,
) -> None:
    """Play Meta's side of WhatsApp: a strict Cloud API, signed webhooks, and a page that shows the phones."""
    from workers.sandbox.limits import Rates
    from workers.sandbox.sandbox import Settings

    where = urlsplit(callback)
    if where.scheme not in ("http", "https") or not where.netloc:
        raise typer.BadParameter("must be an http or https URL", param_hint="--callback")
    settings = Settings(
        callback_url=callback,
        app_secret=app_secret,
        verify_token=verify_token,
        token=token,
        template=template,
        template_language=template_language,
        link_base=(link_base or f"{where.scheme}://{where.netloc}").rstrip("/") + "/",
        keep=keep,
        rates=Rates(pair_interval, pair_burst, per_second),
    )
    serve(settings, host, port)


def serve(settings: "Settings", host: str, port: int) -> None:
    """Run a sandbox until SIGTERM."""
    import uvicorn

    from workers.sandbox.app import create_app

    config = uvicorn.Config(
        create_app(settings, say=typer.echo),
        host=host,
        port=port,
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        lifespan="on",
    )
    listening = config.bind_socket()  # ends the program, saying why, where it cannot
    typer.echo(f"The WhatsApp sandbox answers on http://{host}:{port} and shows a phone there.")
    uvicorn.Server(config).run([listening])
