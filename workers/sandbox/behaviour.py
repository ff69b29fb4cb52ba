"""What the sandbox is told to do wrong, and to which share of the requests. The same orders give the same run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from workers.sandbox.refusals import Refused, told

Statuses = Literal["normal", "late", "twice", "without_contacts", "without_user_id", "none", "failed"]


class Fault(BaseModel):
    """One way to go wrong. `timeout`: never answer in time, true or `processed` with the message sent all the
    same, `unprocessed` without; `delay_s`: seconds until the answer, whatever it is."""

    model_config = ConfigDict(extra="forbid")

    error_code: Annotated[int, Field(ge=1)] | None = None
    http_status: Annotated[int, Field(ge=400, le=599)] | None = None
    delay_s: Annotated[float, Field(ge=0, le=600)] = 0
    timeout: bool | Literal["processed", "unprocessed"] = False

    @property
    def refusal(self) -> Refused | None:
        if self.error_code is None and self.http_status is None:
            return None
        return told(self.error_code, self.http_status)

    @property
    def is_one(self) -> bool:
        return self.refusal is not None or self.delay_s > 0 or self.timeout is not False


class Behaviour(Fault):
    """`share`: of the requests, how many have a fault; and of the messages taken, how many have the `statuses`
    ordered, the others having the normal ones. `faults`, where given, take turns in place of the single one.

    `statuses`: `late` comes after `late_s`, `twice` every webhook two times, `without_contacts` and
    `without_user_id` leave these out of every webhook, `failed` tells `failed_code` instead of a delivery.
    `window`: whether a session message outside the 24 hours is refused in the answer (as Meta documents) or
    taken and then told to have failed (as Meta is seen to do).
    """

    share: Annotated[float, Field(ge=0, le=1)] = 1
    faults: list[Fault] = []
    statuses: Statuses = "normal"
    late_s: Annotated[float, Field(ge=0, le=600)] = 5
    failed_code: int = 131026
    window: Literal["answer", "status"] = "answer"


class Share:
    """Every n-th, evenly: with 1/3 the third, sixth, ninth."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._due = 0.0

    def next(self) -> bool:
        self._due += self._share
        if self._due < 1 - 1e-9:
            return False
        self._due -= 1
        return True


class Conduct:
    """The behaviour in force, and whose turn it is."""

    def __init__(self) -> None:
        self.set(Behaviour())

    def set(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        single = Fault(**{name: getattr(behaviour, name) for name in Fault.model_fields})
        self._faults = behaviour.faults or ([single] if single.is_one else [])
        self._turn = 0
        self._requests = Share(behaviour.share)
        self._messages = Share(behaviour.share)

    def fault(self) -> Fault:
        """What happens to the next request."""
        if not self._faults or not self._requests.next():
            return Fault()
        self._turn += 1
        return self._faults[(self._turn - 1) % len(self._faults)]

    def statuses(self) -> Statuses:
        """How the next message's statuses come."""
        if self.behaviour.statuses == "normal" or not self._messages.next():
            return "normal"
        return self.behaviour.statuses
