"""The bodies of the webhooks, in the shapes Meta gives them."""

import hashlib
from dataclasses import dataclass
from typing import Any

from workers.sandbox.behaviour import Statuses
from workers.sandbox.chats import Inbound, Message
from workers.sandbox.refusals import Refused

Payload = dict[str, Any]

CONVERSATION_UNTIL = 24.0
"""From this version of the API on, statuses carry no `conversation`."""

WINDOW_S = 24 * 3600


@dataclass(frozen=True)
class Business:
    """Who the sandbox's customer is at Meta: the account, and its phone number in digits."""

    account_id: str = "100000000000042"
    phone_number: str = "15550100042"


def status(
    business: Business, message: Message, name: str, at: float, mode: Statuses, failure: Refused | None = None
) -> Payload:
    """A message's status. Meta tells the price with `sent` and `delivered`, and errors with `failed`."""
    told: dict[str, Any] = {
        "id": message.wamid,
        "status": name,
        "timestamp": str(int(at)),
        "recipient_id": message.person,
    }
    if mode not in ("without_user_id", "without_contacts"):
        told["recipient_user_id"] = user_id(message.person)
    if message.outgoing.callback_data is not None:
        told["biz_opaque_callback_data"] = message.outgoing.callback_data
    if name in ("sent", "delivered"):
        category = message.outgoing.category
        if message.version < CONVERSATION_UNTIL:
            conversation: dict[str, Any] = {
                "id": hashlib.md5(message.wamid.encode(), usedforsecurity=False).hexdigest(),
                "origin": {"type": category},
            }
            if name == "sent":
                conversation["expiration_timestamp"] = str(int(at) + WINDOW_S)
            told["conversation"] = conversation
        free = category == "service"
        told["pricing"] = {
            "billable": not free,
            "pricing_model": "PMP",
            "category": category,
            "type": "free_customer_service" if free else "regular",
        }
    if failure is not None:
        told["errors"] = [
            {
                "code": failure.code,
                "title": failure.kind.title,
                "message": failure.kind.title,
                "error_data": {"details": failure.details or failure.kind.title},
                "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
            }
        ]
    contacts = [] if name == "failed" else _contacts(message.person, mode)  # Meta names nobody with a failure
    return _envelope(business, message.phone_number_id, contacts, {"statuses": [told]})


def inbound(business: Business, said: Inbound, mode: Statuses) -> Payload:
    """A person's text, or tap: of type `button` for a template's button, `interactive` for a session message's."""
    told: dict[str, Any] = {"from": said.person, "id": said.wamid, "timestamp": str(int(said.said_at))}
    if mode not in ("without_user_id", "without_contacts"):
        told["from_user_id"] = user_id(said.person)
    if said.context is not None:
        told["context"] = {"from": business.phone_number, "id": said.context}
    if said.button is None:
        told |= {"type": "text", "text": {"body": said.text}}
    elif said.button.kind == "quick_reply":
        told |= {"type": "button", "button": {"payload": said.button.payload, "text": said.button.title}}
    else:
        reply = {"id": said.button.payload, "title": said.button.title}
        told |= {"type": "interactive", "interactive": {"type": "button_reply", "button_reply": reply}}
    return _envelope(business, said.phone_number_id, _contacts(said.person, mode), {"messages": [told]})


def user_id(person: str) -> str:
    """Meta's id of a person for this business; made up, and always the same for a number."""
    return f"US.{int(hashlib.sha256(person.encode()).hexdigest()[:15], 16)}"


def _contacts(person: str, mode: Statuses) -> list[dict[str, Any]]:
    if mode == "without_contacts":
        return []
    contact: dict[str, Any] = {"profile": {"name": f"Phone {person[-4:]}"}, "wa_id": person}
    if mode != "without_user_id":
        contact["user_id"] = user_id(person)
    return [contact]


def _envelope(
    business: Business, phone_number_id: str, contacts: list[dict[str, Any]], content: dict[str, Any]
) -> Payload:
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": business.phone_number, "phone_number_id": phone_number_id},
    }
    if contacts:
        value["contacts"] = contacts
    change = {"value": value | content, "field": "messages"}
    return {"object": "whatsapp_business_account", "entry": [{"id": business.account_id, "changes": [change]}]}
