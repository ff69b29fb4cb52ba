"""A delivery on its way, and the words for why one does not leave."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.alerting import ALERTED, STOPS
from domain.words import SEVERITIES

NOT_CONFIGURED = "WhatsApp is not set up here, see FANDESK_WHATSAPP_PHONE_NUMBER_ID and FANDESK_WHATSAPP_TOKEN."
OPTED_OUT = "The recipient has not agreed to be written to."
TAKEN_ON = "Somebody took the incident on, or closed it, before this left."

LEFT = "The recipient is not alerted any more."


def stopped(incident: str, version: str) -> str:
    """SQL: whether after that entry of the incident something came that ends the alerting (`ends_alerting`).

    It asks the ledger itself, as read models and followers may be behind. In stored JSON quotes inside of a text
    are escaped: no reason that somebody wrote can look like a severity.
    """
    ends = ", ".join(f"'{kind.__name__}'" for kind in STOPS)
    calm = "|".join(severity for severity in SEVERITIES if severity not in ALERTED)
    return f"""
    exists (select from ledger.events e
             where e.originator_id = {incident} and e.originator_version > {version}
               and (split_part(e.topic, '/', 1) in ({ends})
                    or split_part(e.topic, '/', 1) = 'SeverityChanged'
                       and convert_from(e.state, 'UTF8') ~ '"severity":"({calm})"'))"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was claimed to be sent. whatsapp: E.164; fallback: the encrypted address where the channel
    is another. content: of an alert its number and title, of a reply its text and buttons, of a code the code,
    encrypted."""

    id: UUID
    kind: str
    channel: str
    attempt: int
    severity: str | None
    content: dict[str, Any]
    incident_id: UUID | None
    recipient_id: UUID
    whatsapp: str
    fallback: bytes | None
