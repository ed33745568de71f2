"""The wall around calls that members order: what only the server can reach is not reached through it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cryocloud.web import configuration as settings
from cryocloud.web.configuration import read_configuration
from cryocloud.web.core.errors import Refused
from cryocloud.web.notices import outward
from web.notices.receiver import receiving

INSIDE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "169.254.1.1",
    "169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "192.88.99.1", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "93.184.216.34", "2606:4700::1111"]
Names = dict[str, list[str]]


def resolve_as(monkeypatch: pytest.MonkeyPatch, names: Names) -> list[str]:
    """Names mean these addresses; the answer lists what was asked."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host not in names and host[0].isdigit():
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def open_networks(monkeypatch: pytest.MonkeyPatch, *networks: str) -> None:
    opened = settings.configuration().model_copy(
        update={"webhook_networks": tuple(map(ip_network, networks))}
    )
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: opened)


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_refused_and_never_dialled(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, {"hook.example": [address], "both.example": [OUTSIDE[0], address]})
    monkeypatch.setattr(outward, "_dial", lambda *_: pytest.fail("dialled"))
    for host in ("hook.example", "both.example"):
        with pytest.raises(Refused) as refused:
            outward.check_url(f"https://{host}/")
        assert refused.value.fields == {
            "url": f"“{host}” has no address on the public internet; name a server that has one."
        }
        with pytest.raises(outward.NotCalled):
            outward.post(f"https://{host}/", b"", {})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
def test_other_ways_to_write_loopback_are_refused(host: str) -> None:
    with pytest.raises(Refused, match="cannot be called"):
        outward.check_url(f"https://{host}/")


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_called(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, {"hook.example": [address]})
    assert outward.check_url(" https://hook.example/a?b=c ") == "https://hook.example/a?b=c"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hook", "begins with https://"),
        ("ftp://hook.example/", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("http://hook.example/", "begins with https://"),
        ("https://ada:secret@hook.example/", "Leave out names"),
        ("https://hook.example/#part", "Leave out names"),
        ("https://hook.example/a b", "%XX"),
        ("https://hook.example/\r\nX: y", "%XX"),
        ("https://hook.example:99999/", "That is no address"),
        ("https://nobody.example/", "“nobody.example” has no address"),
        ("https://hook.example/" + "a" * 500, "521 characters"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, {"hook.example": OUTSIDE[:1]})
    with pytest.raises(Refused) as refused:
        outward.check_url(url)
    assert words in refused.value.fields["url"]


def test_the_address_that_was_looked_at_is_the_one_that_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers differently the second time is asked once only."""
    open_networks(monkeypatch, "127.0.0.1/32")
    with receiving() as receiver:
        asked = resolve_as(monkeypatch, {"hook.example": ["127.0.0.1"]})
        assert outward.post(f"http://hook.example:{receiver.port}/", b"x", {}) == 204
        assert receiver.calls[0].headers["host"] == f"hook.example:{receiver.port}"
    assert asked == ["hook.example", "127.0.0.1"], "the second is the number that is dialled, not a name"


def test_networks_that_the_operator_opens_may_be_called_and_clouds_secrets_may_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_as(monkeypatch, {"lab": ["10.1.2.3"], "other": ["10.2.0.1"], "cloud": ["169.254.169.254"]})
    open_networks(monkeypatch, "10.1.0.0/16", "169.254.0.0/16")
    assert outward.check_url("https://lab/")
    for url in ("https://other/", "https://cloud/", "http://lab/"):
        with pytest.raises(Refused):
            outward.check_url(url)
    given = read_configuration({"CRYOCLOUD_WEBHOOK_NETWORKS": "10.1.0.0/16,fd00::/8"})
    assert [str(one) for one in given.webhook_networks] == ["10.1.0.0/16", "fd00::/8"]


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    began_at = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began_at).not_valid_after(began_at + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(*encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return pem, context


def test_tls_is_checked_for_the_name_although_a_number_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_networks(monkeypatch, "127.0.0.1/32")
    resolve_as(monkeypatch, {"hook.example": ["127.0.0.1"], "evil.example": ["127.0.0.1"]})
    pem, context = certificate(tmp_path, "hook.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with receiving(context) as receiver:
        assert outward.post(f"https://hook.example:{receiver.port}/", b"x", {}) == 204
        with pytest.raises(outward.NotCalled, match="certificate is not valid for this name"):
            outward.post(f"https://evil.example:{receiver.port}/", b"x", {})
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(outward.NotCalled, match="certificate"):
            outward.post(f"https://hook.example:{receiver.port}/", b"x", {})
    assert len(receiver.calls) == 1


def test_a_name_whose_servers_are_silent_is_left_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait(20) and [])
    monkeypatch.setattr(outward, "LOOK_UP_S", 0.2)
    began_s = time.monotonic()
    try:
        with pytest.raises(outward.NotCalled, match=r"^Its name could not be looked up in time$"):
            outward.post("https://slow.example/", b"", {})
        with pytest.raises(Refused) as refused:
            outward.check_url("https://slow.example/")
    finally:
        is_over.set()
    assert refused.value.fields == {"url": "Its name could not be looked up in time."}
    assert time.monotonic() - began_s < 5
