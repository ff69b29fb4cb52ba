"""Whether the process lives, whether the whole thing serves, and what it measures."""

from collections.abc import Iterable
from typing import Annotated, get_args

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.responses import Response

from api import probe
from api.call import services
from api.probe import State
from api.services import Services
from api.views import Answer
from domain.alerting import DeliveryState

router = APIRouter(tags=["health"])

S = Annotated[Services, Depends(services)]


@router.get("/healthz")
async def healthz() -> Answer:
    """200 as long as this process answers."""
    return Answer({"status": "ok"})


@router.get("/readyz")
async def readyz(services: S) -> Answer:
    """200 when the whole thing serves: the database answers, the read models exist and keep up, and so does every
    follower of the ledger that ever ran here. Else 503, and `status` says who does not, and why."""
    state = await probe.state(services)
    status = "; ".join(state.troubles()) or "ready"
    followers = {
        each.name: {
            "seen_s_ago": each.seen_s_ago,
            "problem": each.problem,
            "behind": each.behind,
            "behind_s": each.behind_s,
        }
        for each in state.followers
    }
    content = {"status": status, **state.progress, "followers": followers}
    return Answer(content, 200) if status == "ready" else Answer(content, 503, {"Retry-After": "1"})


@router.get("/metrics")
async def metrics(services: S) -> Response:
    """The same and more for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Gauges(await probe.state(services)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Gauges(Collector):
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterable[GaugeMetricFamily]:
        progress, followers, counts = self._state
        lag = progress["ledger_position"] - progress["projected_position"]
        waiting = counts.get(("inbox", ""), 0)
        for name, value in {**progress, "projection_lag_events": lag, "inbox_waiting": waiting}.items():
            yield GaugeMetricFamily(f"fandesk_{name}", name.replace("_", " "), value=value)
        up = {each.name: float(each.trouble() is None) for each in followers}
        yield _labelled(
            "follower_up", "whether it follows the ledger, keeps up and has no problem", "follower", up
        )
        behind = {each.name: float(each.behind) for each in followers}
        yield _labelled("follower_lag_events", "ledger entries it has not handled", "follower", behind)
        behind_s = {each.name: each.behind_s for each in followers}
        yield _labelled("follower_lag_seconds", "age of the oldest of them", "follower", behind_s)
        letters = {kind: float(n) for (what, kind), n in counts.items() if what == "dead_letters"}
        yield _labelled("dead_letters", "entries a consumer could not handle", "consumer", letters)
        states = {state: float(counts.get(("deliveries", state), 0)) for state in get_args(DeliveryState)}
        yield _labelled("deliveries", "deliveries of the last 24 hours", "state", states)


def _labelled(name: str, documentation: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"fandesk_{name}", documentation, labels=[label])
    for kind, value in values.items():
        family.add_metric([kind], value)
    return family
