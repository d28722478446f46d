"""The locks can be served by any index: names, versions and hashes, nothing that names a place."""

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[1] / "requirements").glob("*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address_and_no_package_of_our_own_name(lock: Path) -> None:
    text = lock.read_text()
    assert re.findall(r".*(?:/|@|\bfile:|\.org\b|\.com\b).*", text) == []
    assert re.findall(r"^homeostat\b.*", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_of_a_lock_is_pinned_and_hashed(lock: Path) -> None:
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==[^\s;]+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
