"""A delivery on its way, and the words for why one does not leave."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

NOT_CONFIGURED = "WhatsApp is not set up here, see FANDESK_WHATSAPP_PHONE_NUMBER_ID and FANDESK_WHATSAPP_TOKEN."
OPTED_OUT = "The recipient has not agreed to be written to."
TAKEN_ON = "Somebody took the incident on, or closed it, before this left."


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was claimed to be sent. whatsapp: E.164; fallback: the encrypted address where the channel
    is another. content: of an alert its number and title, of a reply its text and buttons."""

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
