"""Ids and names."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.ground.errors import Invalid
from homeostat.ground.ids import check_name, new_id
from homeostat.ground.refs import parse_model_ref


def test_ids_are_version_7_uuids_of_32_hex_characters() -> None:
    parsed = uuid.UUID(hex=new_id())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert len(parsed.hex) == 32


def test_ids_are_never_given_twice() -> None:
    assert len({new_id() for _ in range(50_000)}) == 50_000


def test_an_id_made_in_a_later_millisecond_sorts_after() -> None:
    first = new_id()
    time.sleep(0.002)
    assert first < new_id()


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = int(new_id()[:12], 16)
    assert before <= made <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("name", ["a", "late-arrival", "A.b_c-9", "x" * 128, "0"])
def test_names_of_letters_digits_dots_and_dashes_are_taken(name: str) -> None:
    assert check_name(name, what="model") == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "é", "a\n", "x" * 129, "a@b", ".."])
def test_other_names_are_refused_and_the_message_says_what_they_name(name: str) -> None:
    with pytest.raises(Invalid, match="model name") as caught:
        check_name(name, what="model")
    assert caught.value.field == "name"


@given(st.text(max_size=20))
def test_a_name_that_is_taken_can_stand_in_a_path(name: str) -> None:
    try:
        check_name(name, what="model")
    except Invalid:
        return
    assert "/" not in name
    assert name not in {".", ".."}


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(names, st.integers(0, 10**6))
def test_a_reference_names_a_version_with_either_sign(name: str, version: int) -> None:
    assert parse_model_ref(f"models:/{name}/{version}") == (name, version)
    assert parse_model_ref(f"{name}@{version}") == (name, version)


@given(names, st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True))
def test_a_reference_names_an_alias_or_the_champion(name: str, alias: str) -> None:
    assert parse_model_ref(f"models:/{name}@{alias}") == (name, alias)
    assert parse_model_ref(name) == (name, "champion")


@pytest.mark.parametrize("text", ["", "models:/", "a@", "a@b@c", "runs:/a", "a/b/c", " a", "a\n"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a model reference"):
        parse_model_ref(text)
