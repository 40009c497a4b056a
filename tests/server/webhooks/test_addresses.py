"""The addresses that webhooks may reach."""

from ipaddress import ip_network

import pytest

from server.webhooks.addresses import AddressRules

PUBLIC = ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
OTHERS = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "203.0.113.1",
    "192.88.99.1", "168.63.129.16", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "2001:db8::1", "100::1", "3fff::1", "5f00::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "2002:7f00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed_with_tls_alone(address: str) -> None:
    assert AddressRules().allows(address, is_encrypted=True)
    assert not AddressRules().allows(address, is_encrypted=False)


@pytest.mark.parametrize("address", [*OTHERS, "", "localhost", "127.1", "2130706433", "0x7f.1"])
def test_all_other_addresses_are_denied(address: str) -> None:
    for is_encrypted in (True, False):
        assert not AddressRules().allows(address, is_encrypted=is_encrypted)


def test_the_operators_networks_are_allowed_without_tls_too() -> None:
    rules = AddressRules([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::7"):
        assert rules.allows(allowed, is_encrypted=False)
    for denied in ("10.2.0.1", "127.0.0.1", "fe80::1", "8.8.8.8"):
        assert not rules.allows(denied, is_encrypted=False)
