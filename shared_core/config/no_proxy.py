"""Which hosts are reached without the proxy of the environment."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){1,3}")
_WITH_PORT = re.compile(r"(\[.*\]|[^:]*):(\d{1,5})")


def bypasses_proxy(host: str, port: int | None, no_proxy: str) -> bool:
    """Return whether *host* is reached directly, as curl and requests read ``NO_PROXY``.

    This machine itself never goes through a proxy. An entry is a name with all below it (a dot
    in front changes nothing), an address, a block of addresses in CIDR notation, or ``*`` for
    all. A port after it must be the same. Addresses and blocks hold for a host that is written
    as an address, names for one that is written as a name: nothing is looked up.

    Args:
        host: Host of the URL, in lower case, IPv6 without brackets.
        port: Port of the URL.
        no_proxy: Value of the variable: entries between commas or blanks. What cannot be
            understood matches nothing.
    """
    address = _address(host)
    if _LOOPBACK.fullmatch(host) or (address is not None and address.is_loopback):
        return True
    return any(
        _matches(entry, host, address, port) for entry in re.split(r"[,\s]+", no_proxy.lower())
    )


def _matches(entry: str, host: str, address: Address | None, port: int | None) -> bool:
    with_port = _WITH_PORT.fullmatch(entry)
    if with_port:
        if int(with_port[2]) != port:
            return False
        entry = with_port[1]
    if entry == "*":
        return True
    if address is None:
        name = entry.strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    block, slash, bits = entry.partition("/")
    if slash and not bits.isdecimal():
        return False  # a netmask of dots: neither curl nor requests knows it
    try:
        network = ipaddress.ip_network(block.strip("[]") + slash + bits, strict=False)
    except ValueError:
        return False  # a name, or no valid block
    return address in network


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
