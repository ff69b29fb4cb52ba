"""What it means when no answer came."""

from domain.errors import Overloaded


class OutcomeUnknown(Overloaded):
    """The database went away while this was being written: it may or may not have been recorded.

    Send it again with the same Idempotency-Key: what was recorded is not recorded twice.
    """
