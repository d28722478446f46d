"""A channel's URL: what may be shown of it, and who sends to it. Light, for the child that sends needs nothing more."""

from urllib.parse import urlsplit

PLAIN = ("http", "https")
"""Schemes that are posted to as a webhook is; every other one is apprise's."""
LOCAL = ("dbus", "qt", "glib", "kde", "gnome", "macosx", "windows", "syslog", "file")
"""Schemes that do something on this machine instead of telling somebody."""
_SHOWS_HOST = (*PLAIN, "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos")


def scheme_of(url: str) -> str:
    """What stands before the colon."""
    return url.partition("://")[0].lower()


def is_plain(url: str) -> bool:
    """Whether it is posted to as a webhook is."""
    return scheme_of(url) in PLAIN


def masked(url: str) -> str:
    """What may be shown of a URL: with most services all but the scheme is a password.

    >>> masked("slack://T1/T2/T3/#ops"), masked("jsons://me:pw@hooks.example.com:8443/x?+X-Key=1")
    ('slack://***', 'jsons://hooks.example.com:8443/***')
    """
    scheme, host = scheme_of(url), ""
    if scheme in _SHOWS_HOST:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            host = f"[{host}]" if ":" in host else host
            host += f":{parts.port}" if parts.port else ""
        except ValueError:
            host = ""
    return f"{scheme}://{host}/***" if host else f"{scheme}://***"
