"""Sending a message to a channel: plain URLs as a webhook is posted to, every other one by apprise in a child process.

The child's connections all go through the guard of private networks, whatever a name resolves to or an answer
redirects to; and what a hundred services' code does, it does there and not in the server.
"""

import os
import subprocess
import sys
from typing import Any

import msgspec

from homeostat.ground.errors import MissingExtra, Refused, TimedOut, Unavailable
from homeostat.ground.outbound import post
from homeostat.monitoring.notify.urls import is_plain, masked

SECONDS = 40.0
"""How long a service may take in all."""
_KNOWS = (
    "PATH",
    "PYTHONPATH",
    "LANG",
    "LC_ALL",
    "HOME",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""What the child knows of our environment; no token is among it."""
MISSING, NOT_TAKEN, BAD_URL, GUARDED = 3, 4, 5, 6
"""Exit codes of the child."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do; it comes on standard input, so no list of processes shows it."""

    url: str
    title: str
    body: str
    severity: str
    allowed: tuple[str, ...]


def send(url: str, message: dict[str, Any], *, delivery: str, allowed: frozenset[str]) -> None:
    """Send one message: `title`, `body`, `severity`, `alarms`.

    Raises:
        Unavailable, TimedOut: when it did not arrive; it is tried again.
        Refused: when it leads into a private network.
        MissingExtra: when apprise is not installed.
    """
    if is_plain(url):
        _post(url, message, delivery, allowed)
        return
    job = Job(
        url=url,
        title=message["title"],
        body=message["body"],
        severity=message["severity"],
        allowed=tuple(sorted(allowed)),
    )
    _run_child(job)


def _post(url: str, message: dict[str, Any], delivery: str, allowed: frozenset[str]) -> None:
    # `text` is what Slack's, Mattermost's and Teams' own hooks read.
    content = msgspec.json.encode({"id": delivery, "text": f"{message['title']}\n{message['body']}"} | message)
    headers = {"Content-Type": "application/json", "User-Agent": "homeostat", "X-Homeostat-Delivery-Id": delivery}
    answer = post(url, content, headers, allowed=allowed)
    if not answer.is_success:
        raise Unavailable(f"{masked(url)} answered {answer.status}")


def _run_child(job: Job) -> None:
    where = masked(job.url)
    command = [sys.executable, "-m", "homeostat.monitoring.notify.apprise_child"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(job),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what apprise logs may name the URL
            timeout=SECONDS,
            check=False,
            env={name: os.environ[name] for name in _KNOWS if name in os.environ},
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"{where} took longer than {SECONDS:.0f} s", field="url", next_step="check the service"
        ) from None
    if done.returncode == MISSING:
        raise MissingExtra(
            f"{where} needs apprise, which is not installed",
            field="url",
            next_step="in a checkout of Homeostat, run: pip install -e '.[notify]'; https:// URLs work without",
        )
    if done.returncode == GUARDED:
        raise Refused(
            f"{where} leads into a private network, or does what a message need not",
            field="url",
            next_step="use a public address, or allow it: HOMEOSTAT_WEBHOOK_ALLOW=HOST:PORT",
        )
    if done.returncode == BAD_URL:
        raise Refused(
            f"apprise cannot read this {where} URL", field="url", next_step="see https://github.com/caronc/apprise"
        )
    if done.returncode != 0:
        raise Unavailable(f"{where} did not take the message", field="url", next_step="check the URL and the service")
