"""Whether the process lives, whether the whole thing serves, and what it measures."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.responses import Response

from api.call import services
from api.services import Services
from api.views import Answer
from domain.errors import Overloaded

router = APIRouter(tags=["health"])

S = Annotated[Services, Depends(services)]

STALLED_S = 10.0
ANSWER_WITHIN_S = 2.0

_PROGRESS = """
    select (select coalesce(max(notification_id), 0) from ledger.events), count(*), coalesce(min(position), 0),
           coalesce((select extract(epoch from clock_timestamp() - recorded_at) from ledger.events
                      where notification_id > (select min(position) from read.checkpoints)
                      order by notification_id limit 1), 0)::float,
           (select count(*) from ledger.intake where not folded)
      from read.checkpoints"""


async def _ask(services: Services) -> Any:
    async with services.pool.connection(timeout=ANSWER_WITHIN_S) as connection:
        return await (await connection.execute(_PROGRESS)).fetchone()


async def _progress(services: Services) -> dict[str, Any]:
    """Raises Overloaded when the database does not say it in time. The question stays open then, as taking it
    back would wait for the database too, and is shared by all who ask meanwhile: it holds one connection."""
    if services.probe is None or services.probe.done():
        services.probe = asyncio.create_task(_ask(services))
        services.probe.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    done, _ = await asyncio.wait((services.probe,), timeout=ANSWER_WITHIN_S)
    if not done:
        raise Overloaded("The database does not answer at the moment.")
    row = done.pop().result()
    assert row is not None
    head, models, position, lag, waiting = row
    return {
        "ledger_position": head,
        "projected_position": position,
        "read_models": models,
        "projection_lag_s": lag,
        "alerts_waiting": waiting,
        "commands_waiting": services.executor.waiting(),
        "open_streams": services.tail.streams,
    }


@router.get("/healthz")
async def healthz() -> Answer:
    """200 as long as this process answers."""
    return Answer({"status": "ok"})


@router.get("/readyz")
async def readyz(services: S) -> Answer:
    """200 when the whole thing serves: the database answers, and the read models exist and keep up."""
    progress = await _progress(services)
    ready = progress["read_models"] > 0 and progress["projection_lag_s"] <= STALLED_S
    status = "ready" if ready else "the read models are not kept up to date"
    return Answer({"status": status, **progress}, 200 if ready else 503, None if ready else {"Retry-After": "1"})


@router.get("/metrics")
async def metrics(services: S) -> Response:
    """The same and more for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Gauges(await _progress(services)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Gauges(Collector):
    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def collect(self) -> list[GaugeMetricFamily]:
        lag = self._values["ledger_position"] - self._values["projected_position"]
        values = {**self._values, "projection_lag_events": lag}
        return [
            GaugeMetricFamily(f"fandesk_{name}", name.replace("_", " "), value=value)
            for name, value in values.items()
        ]
