"""What tests of several formats share: a file of some content, what an importer gives of it, figures of it."""

import io
import statistics
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from commands.importers import Imported, Item
from domain.incident import Incident, fold

ORG = UUID(int=1)
Reader = Callable[[io.BufferedReader, UUID], Iterator[Item]]


def given(reader: Reader, content: bytes | str) -> list[Item]:
    """What the importer gives of a file of that content."""
    raw = content.encode() if isinstance(content, str) else content
    return list(reader(io.BufferedReader(io.BytesIO(raw)), ORG))


def imported(items: list[Item]) -> list[Imported]:
    return [item for item in items if isinstance(item, Imported)]


def folded(item: Imported) -> Incident:
    incident = fold(item.stream_id, item.events)
    assert incident is not None
    return incident


def types(item: Imported) -> str:
    """Its events' types, one after another."""
    return " ".join(type(event).__name__ for event in item.events)


def figures(seconds: list[float]) -> dict[str, Any]:
    """As the ground truths have them: linear interpolation, a mean to three places."""
    if len(seconds) < 2:
        value = round(seconds[0], 3) if seconds else None
        return {"n": len(seconds), "mean_s": value, "p50_s": value, "p90_s": value}
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return {
        "n": len(seconds),
        "mean_s": round(statistics.fmean(seconds), 3),
        "p50_s": round(statistics.median(seconds), 3),
        "p90_s": round(tenths[8], 3),
    }


def shown(wanted: dict[str, Any]) -> dict[str, Any]:
    """Of a ground truth's figure, what `figures` gives."""
    return {name: wanted.get(name) for name in ("n", "mean_s", "p50_s", "p90_s")}
