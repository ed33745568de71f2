"""Calls to addresses that members name, walled off from what only this machine can reach.

The name is resolved here, every address that it has is looked at, and the connection goes to one that was looked at: a
name that means something else a moment later changes nothing. No redirect is followed, no proxy asked. The name has
five seconds; whatever is at the other end has ten, and its answer is not kept.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Refused

DEADLINE_S = 10.0
LOOK_UP_S = 5.0
ANSWER_BYTES = 4096
READ_BYTES = 1 << 20
URL_LENGTH = 500
# What the standard library takes for public: relays and the doors through which clouds tell secrets to their machines.
NEVER = tuple(
    ip_network(text)
    for text in ("169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128")
)
NOT_PUBLIC = tuple(ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "2002::/16"))
UNICAST_V6 = ip_network("2000::/3")
NO_ADDRESS = "“{host}” has no address on the public internet; name a server that has one"

Address = IPv4Address | IPv6Address


class NotCalled(Exception):
    """The call did not come to an answer; the message says why, and nothing of what stands inside the wall."""


def check_url(text: str) -> str:
    """The address as it is kept. Raises ``Refused`` for one that will never be called."""
    url = text.strip()
    try:
        parts = _parts(url)
        _addresses(parts)
    except NotCalled as error:
        raise Refused("This address cannot be called.", {"url": f"{error}."}) from error
    return url


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer; what it says is not looked at."""
    with _asked("POST", url, body, headers) as answer:
        with suppress(OSError, http.client.HTTPException):
            answer.read(ANSWER_BYTES)
        return answer.status


def exchange(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """The whole answer; one that is too long or is cut off is ``NotCalled``."""
    with _asked(method, url, body, headers) as answer:
        told = answer.read(READ_BYTES + 1)
        if len(told) > READ_BYTES:
            raise NotCalled(f"its answer is longer than {READ_BYTES:,} bytes")
        return Answer(answer.status, told)


@contextmanager
def _asked(
    method: str, url: str, body: bytes, headers: Mapping[str, str]
) -> Iterator[http.client.HTTPResponse]:
    parts = _parts(url)
    addresses = _addresses(parts)
    try:
        with _connected(parts, addresses) as connection:
            target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            connection.request(method, target, body, dict(headers))
            yield connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        raise NotCalled("its certificate is not valid for this name") from error
    except ssl.SSLError as error:
        raise NotCalled("it does not speak TLS") from error
    except TimeoutError as error:
        raise NotCalled(f"no answer within {DEADLINE_S:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotCalled("no connection, or no answer that is HTTP") from error


def _parts(url: str) -> SplitResult:
    if len(url) > URL_LENGTH:
        raise NotCalled(f"This address has {len(url)} characters; give at most {URL_LENGTH}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise NotCalled("The address holds characters that no address may hold; write them as %XX")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise NotCalled("That is no address; give one such as https://example.org/hook") from error
    if parts.scheme not in ("https", "http") or not host:
        raise NotCalled("That is no address of the web; give one that begins with https://")
    if "@" in parts.netloc or parts.fragment:
        raise NotCalled("Leave out names, passwords and what stands after a #")
    return parts


def _addresses(parts: SplitResult) -> list[str]:
    """All addresses of the host, in the order of the resolver; refused as a whole if one lies inside the wall."""
    host = str(parts.hostname)
    try:
        found = _look_up(host, parts.port or 0)
    except TimeoutError as error:
        raise NotCalled("Its name could not be looked up in time") from error
    except (OSError, UnicodeError) as error:
        raise NotCalled(NO_ADDRESS.format(host=host)) from error
    texts = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    addresses = [ipaddress.ip_address(text) for text in texts]
    if not addresses or not all(_may_be_called(one) for one in addresses):
        raise NotCalled(NO_ADDRESS.format(host=host))
    if parts.scheme == "http" and not all(one.is_loopback for one in addresses):
        raise NotCalled("Give an address that begins with https://")
    return texts


def _look_up(host: str, port: int) -> list[Any]:
    """What ``getaddrinfo`` finds. It takes no deadline, so it runs in a thread, which is left behind if it is late."""
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=look_up, daemon=True).start()
    return found.result(LOOK_UP_S)


def _may_be_called(address: Address) -> bool:
    if any(address in network for network in NEVER):
        return False
    return any(address in network for network in configuration().webhook_networks) or _is_public(address)


def _is_public(address: Address) -> bool:
    if any(address in network for network in NOT_PUBLIC):
        return False
    if address.version == 6 and address not in UNICAST_V6:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


@contextmanager
def _connected(parts: SplitResult, addresses: list[str]) -> Iterator[http.client.HTTPConnection]:
    """A connection to one of the addresses that ends by itself at the deadline, however slowly bytes come."""
    host, is_https = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    kind = http.client.HTTPSConnection if is_https else http.client.HTTPConnection
    connection = kind(host, port, timeout=DEADLINE_S)
    line = _dial(addresses, port)
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _hang_up(line)

    timer = threading.Timer(DEADLINE_S, end)
    timer.daemon = True
    timer.start()
    try:
        if is_https:
            line = ssl.create_default_context().wrap_socket(
                line, server_hostname=host, do_handshake_on_connect=False
            )
            line.do_handshake()
        connection.sock = line
        yield connection
    except (OSError, http.client.HTTPException) as error:
        if is_late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        connection.close()
        line.close()


def _dial(addresses: list[str], port: int) -> socket.socket:
    for text in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((text, port), timeout=DEADLINE_S / len(addresses))
    return socket.create_connection((addresses[-1], port), timeout=DEADLINE_S / len(addresses))


def _hang_up(line: socket.socket) -> None:
    """From another thread. Not ``line.shutdown``: that of TLS pulls the rug from under whoever reads."""
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)
