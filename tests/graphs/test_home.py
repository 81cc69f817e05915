"""A home's key: the folder's own, or one that is given; never two."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgewright.contracts.errors import LedgerKey
from edgewright.graphs.home import FILE, Home

KEY, OTHER = b"k" * 32, b"o" * 32


def test_systems_of_one_folder_share_its_key(tmp_path: Path) -> None:
    homes = [Home(tmp_path) for _ in range(2)]
    keys = {home.open()[0].keyring.subkey("approvals") for home in homes}
    for home in homes:
        home.close()
    assert len(keys) == 1
    again = Home(tmp_path)
    assert again.open()[0].keyring.subkey("approvals") in keys
    again.close()


def test_a_given_key_is_used_and_another_is_refused_while_open_and_afterwards(tmp_path: Path) -> None:
    first, same, other = (Home(tmp_path, key=key) for key in (KEY, KEY, OTHER))
    first.open()
    with pytest.raises(LedgerKey, match="open in this process with another key"):
        other.open()
    same.open()
    first.close()
    same.close()
    with pytest.raises(LedgerKey, match="sealed with another key"):
        other.open()
    assert not (tmp_path / f"{FILE}.key").exists()


def test_a_home_in_memory_has_a_keyring_of_its_own() -> None:
    one, two = (Home(None).open()[0].keyring.subkey("approvals") for _ in range(2))
    assert one != two
