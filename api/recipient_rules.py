"""What may be a recipient's number, and what may be the address that stands in for it."""

import logging
import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from domain.errors import InvalidField

_BETWEEN = re.compile(r"[\s\u2010-\u2015-]")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

_OF_THIS_MACHINE = frozenset(("dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"))
"""apprise's schemes that reach nobody but who sits before the server."""


def whatsapp_number(text: str) -> str:
    """The number in E.164, with its plus sign; spaces and dashes may be between its digits.

    It must be possible: a country's code, and as many digits as numbers there have. Whether it is assigned to
    anybody is not asked (which is what `valid` would be): the library's ranges lag behind those that countries
    open, and refuse the numbers that are kept for tests. WhatsApp itself tells whether it has somebody there.
    Raises InvalidField.
    """
    bare = _BETWEEN.sub("", text)
    wrong = InvalidField("whatsapp", "Must be an international number in E.164, such as +15550100042.")
    if not _E164.fullmatch(bare):
        raise wrong
    try:
        number = phonenumbers.parse(bare, None)
    except NumberParseException:
        raise wrong from None
    # IS_POSSIBLE_LOCAL_ONLY is not enough: such a number cannot be reached from abroad
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        raise InvalidField("whatsapp", "Is no possible number: it has too few or too many digits for its country.")
    written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not _E164.fullmatch(written):
        raise wrong
    return written


def fallback_scheme(url: str) -> str:
    """The scheme of an apprise URL, such as `mailto`. Raises InvalidField where apprise does not know it.

    Takes most of a second the first time, as apprise loads all it knows: call it in a thread.
    """
    import apprise  # here, because it takes its time and memory, and few installations ask for it

    # It logs what it is given, of which a part is a password.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    scheme = url.partition("://")[0].lower()
    found = apprise.Apprise.instantiate(url) if scheme not in _OF_THIS_MACHINE else None
    if found is None:
        raise InvalidField("fallback", "Must be an apprise URL, such as mailto://user:password@example.com.")
    if scheme in ("http", "https"):  # a service's own address, which apprise knows by its host
        scheme = str(found.url(privacy=True)).partition("://")[0]  # type: ignore[no-untyped-call]
    return scheme[:40]
