"""On-call schedules: who is meant to answer, by definition. Nothing here is stored but the definition itself."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from domain.events import Value
from domain.localtime import LocalDate, Moment, ZoneName, comes, minutes, moment, zone_of
from domain.rotation import Rotation, turns
from domain.values import SOME, Name
from domain.windows import Window, is_open


class Layer(Value):
    """People who take turns.

    It begins at the rotation's handover time on `starts_on`, with the first of `people`, and ends at that time on
    `ends_on` (so a layer that starts on the day another ends follows without a gap). A person may be listed more
    than once; null is a turn that nobody has, such as that of somebody who has left. With `restrictions` it has
    somebody only while one of the windows is open; turns go on meanwhile.
    """

    name: Name
    people: Annotated[tuple[UUID | None, ...], SOME] = Field(max_length=500)
    rotation: Rotation
    starts_on: LocalDate
    ends_on: LocalDate | None = None
    restrictions: tuple[Window, ...] = Field(default=(), max_length=20)

    @field_validator("ends_on")
    @classmethod
    def _after_the_start(cls, ends_on: date | None, info: ValidationInfo) -> date | None:
        starts_on = info.data.get("starts_on")
        if ends_on and starts_on and ends_on <= starts_on:
            raise ValueError("is not after starts_on: the layer would never have anybody")
        return ends_on

    def ends_at(self, zone: ZoneInfo) -> datetime | None:
        """The instant from which it has nobody any more."""
        return comes(self.ends_on, minutes(self.rotation.handover), zone) if self.ends_on else None


class Override(Value):
    """From `start` (included) to `end` (not included) it is this person, whatever the layers say.

    `person` null is a gap on purpose: nobody is on call then, the layers are not asked.
    """

    id: UUID | None = None
    start: Moment
    end: Moment
    person: UUID | None

    @model_serializer(mode="wrap")
    def _says_the_gap(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The ledger leaves out what is null; here null is what is said."""
        return {**handler(self), "person": self.person and str(self.person)}

    @field_validator("end")
    @classmethod
    def _after_the_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        if "start" in info.data and end <= info.data["start"]:
            raise ValueError("is not after start")
        return end


class Schedule(Value):
    """Layers from base to top, and overrides.

    A higher layer wins where it has somebody, an override wins over all layers, and of two overrides the later in
    the list. `time_zone` is the zone of every local time in it.
    """

    name: Name
    time_zone: ZoneName
    layers: tuple[Layer, ...] = Field(default=(), max_length=20)
    overrides: tuple[Override, ...] = ()

    @field_validator("layers")
    @classmethod
    def _told_apart(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        if len({layer.name for layer in layers}) < len(layers):
            raise ValueError("have the same name twice")
        return layers

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.time_zone)


class Standing(NamedTuple):
    """What one layer, or one override in force, says of an instant.

    name: the layer's; the override's id, if it has one. person: None is nobody. decides: it alone counts.
    """

    kind: Literal["layer", "override"]
    name: str
    person: UUID | None
    decides: bool


def everybody_on(schedule: Schedule) -> set[UUID]:
    """Everybody whom the schedule names."""
    named = {override.person for override in schedule.overrides}
    named.update(person for layer in schedule.layers for person in layer.people)
    return {person for person in named if person is not None}


def on_call_at(schedule: Schedule, at: datetime) -> UUID | None:
    """Who is on call at that instant; None is a gap. Raises InvalidField where `at` has no time zone."""
    at = moment("at", at)
    for override in reversed(schedule.overrides):
        if override.start <= at < override.end:
            return override.person
    return next((p for layer in reversed(schedule.layers) if (p := _person_at(layer, schedule.zone, at))), None)


def layers_at(schedule: Schedule, at: datetime) -> list[Standing]:
    """What every layer says of that instant, from base to top, then the overrides in force, the last one deciding.

    Nothing decides in a gap that nobody made on purpose. Raises InvalidField where `at` has no time zone.
    """
    at = moment("at", at)
    said = [(layer.name, _person_at(layer, schedule.zone, at)) for layer in schedule.layers]
    forced = [o for o in schedule.overrides if o.start <= at < o.end]
    top = max((n for n, (_, person) in enumerate(said) if person), default=-1) if not forced else -1
    return [Standing("layer", name, person, n == top) for n, (name, person) in enumerate(said)] + [
        Standing("override", str(o.id or ""), o.person, n == len(forced)) for n, o in enumerate(forced, 1)
    ]


def _person_at(layer: Layer, zone: ZoneInfo, at: datetime) -> UUID | None:
    """Who has the layer's turn at that instant, None before, after, outside its hours, and in nobody's turn."""
    ends_at = layer.ends_at(zone)
    if ends_at is not None and ends_at <= at:
        return None
    number = turns(layer.rotation, layer.starts_on, zone).number_at(at)
    if number < 0 or (layer.restrictions and not is_open(layer.restrictions, zone, at)):
        return None
    return layer.people[number % len(layer.people)]
