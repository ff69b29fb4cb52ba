"""What the decisions of one batch look at: streams and claims as loaded, and as the batch has changed them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

from commands.append import Append, Claim, Held, Key, Loaded, NewEvent
from commands.decide import Draft
from commands.organizations import Known
from domain import events as e
from domain.errors import IncidentNotFound
from domain.incident import Incident, fold


class Remembered(NamedTuple):
    """An incident as this process last saw it, and the position of its last event. It may have changed since."""

    incident: Incident
    position: int


class Wanted(NamedTuple):
    """Streams and claims to load."""

    streams: set[UUID]
    keys: set[Key]


class BatchWorkspace:
    """Commands of a batch are decided one after another; each sees what those before it decided.

    What was not loaded for the batch beforehand is loaded when a decision asks for it.
    looked: the incidents that the present decision has looked at.
    """

    def __init__(
        self,
        wanted: Wanted,
        load: Callable[[Wanted], Loaded],
        remembered: Mapping[UUID, Remembered],
        organization: Callable[[UUID], Known],
    ) -> None:
        self.looked: set[UUID] = set()
        self.organization = organization
        self._load = load
        self._loaded = load(wanted)
        self._streams = set(wanted.streams)
        self._remembered = remembered
        self._incidents: dict[UUID, Incident | None] = {}
        self._claims: dict[Key, Held | None] = {**dict.fromkeys(wanted.keys), **self._loaded.claims}

    def incident(self, organization_id: UUID, incident_id: UUID) -> Incident:
        self.looked.add(incident_id)
        if incident_id not in self._incidents:
            self._incidents[incident_id] = self._recall(incident_id)
        incident = self._incidents[incident_id]
        if incident is None or incident.organization_id != organization_id:
            raise IncidentNotFound("There is no such incident.")
        return incident

    def _recall(self, incident_id: UUID) -> Incident | None:
        if incident_id not in self._streams:
            known = self._remembered.get(incident_id)
            if known is not None:
                return known.incident.copy()
            self._streams.add(incident_id)
            self._loaded.streams.update(self._load(Wanted({incident_id}, set())).streams)
        stream = self._loaded.streams.get(incident_id, [])
        return fold(incident_id, (entry.event for entry in stream))

    def holder(self, key: Key) -> Held | None:
        if key not in self._claims:
            self._claims[key] = self._load(Wanted(set(), {key})).claims.get(key)
        return self._claims[key]

    def as_of(self, incident_id: UUID, version: int) -> tuple[Incident, int, bool]:
        """The incident after `version` events, the position of the last of them, and whether the command that
        recorded this one is the one that opened the incident."""
        stream = self._loaded.streams[incident_id][:version]
        incident = fold(incident_id, (entry.event for entry in stream))
        assert incident is not None
        opened = stream[0].event.causation_id == stream[-1].event.causation_id
        return incident, stream[-1].position, opened

    def only_told_since(self, incident_id: UUID, version: int | None) -> bool:
        """Whether all that was recorded after `version` is the program's own: what became of alerts, that nobody
        has come. Who saw that version has seen the incident as it stands: neither a message that arrives on a
        phone nor a timer must refuse what a person does."""
        later = self._loaded.streams.get(incident_id, [])[version or 0 :]
        incident = self._incidents.get(incident_id)
        return (
            bool(later)
            and incident is not None
            and later[-1].version == incident.version
            and all(isinstance(entry.event, e.NOTICES) for entry in later)
        )

    def position(self, incident_id: UUID) -> int:
        """The position of the last event that is known of an incident, 0 if none is."""
        stream = self._loaded.streams.get(incident_id)
        if stream:
            return stream[-1].position
        known = self._remembered.get(incident_id)
        return known.position if known else 0

    def take(self, draft: Draft) -> Append:
        """Count the draft as done for the decisions that follow, and put its events in their places."""
        append = draft.rest
        for stream_id, events in draft.events.items():
            for event in events:
                append.events.append(NewEvent(stream_id, self._apply(stream_id, event), event))
        for claim in append.claims:
            self._claim(claim)
        return append

    def _apply(self, stream_id: UUID, event: e.IncidentEvent) -> int:
        incident = self._incidents.get(stream_id)
        if incident is not None:
            incident.apply(event)
        else:
            assert isinstance(event, e.IncidentTriggered)
            incident = self._incidents[stream_id] = Incident.opened(stream_id, event)
        return incident.version

    def _claim(self, claim: Claim) -> None:
        if claim.action == "take":
            self._claims[claim.key] = Held(claim.stream_id, claim.request_hash, claim.version)
        elif claim.action == "free":
            self._claims[claim.key] = None
        elif claim.action in ("release", "move"):
            heir = Held(UUID(claim.key.key), None, None) if claim.action == "move" else None
            for key, held in self._claims.items():
                if key.scope == "dedup" and held is not None and held.stream_id == claim.stream_id:
                    self._claims[key] = heir
