"""Where a request comes from, as far as limits are concerned."""

from __future__ import annotations

from contextvars import ContextVar
from ipaddress import IPv6Address, IPv6Network, ip_address

IPV6_PREFIX = 64

# The block of the request that is being served; set once in front of Django, follows it into its thread.
current_block: ContextVar[str] = ContextVar("current_block", default="")


def address_block(address: str) -> str:
    """One IPv4 address, or the /64 that an IPv6 provider gives to one household: within it, addresses are free."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, IPV6_PREFIX), strict=False))
