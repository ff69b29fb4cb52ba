"""Phone numbers as Meta's webhooks write them."""


def digits(e164: str) -> str:
    """`4915112345678` for `+4915112345678`: as `wa_id`, `from` and `recipient_id` say it."""
    return e164.removeprefix("+")
