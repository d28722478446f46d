"""Times and durations are read and written without loss."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.ground.clock import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    DrivenClock,
    SystemClock,
    format_duration,
    from_datetime,
    from_iso,
    parse_duration,
    to_datetime,
    to_iso,
)
from homeostat.ground.errors import Invalid

moments = st.integers(from_datetime(datetime(1900, 1, 1)), from_datetime(datetime(2200, 1, 1)))


@given(st.integers(0, 10**18))
def test_a_written_duration_reads_back_as_the_same(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds)) == microseconds


@given(
    st.integers(0, 10**6),
    st.sampled_from(
        [("ms", 1000), ("s", SECOND), ("m", MINUTE), ("min", MINUTE), ("h", HOUR), ("d", DAY), ("w", 7 * DAY)]
    ),
)
def test_every_unit_is_read(number: int, unit: tuple[str, int]) -> None:
    name, size = unit
    assert parse_duration(f"{number}{name}") == parse_duration(f" {number} {name} ") == number * size


def test_fractions_are_read_and_integers_are_microseconds() -> None:
    assert parse_duration("1.5h") == 90 * MINUTE
    assert parse_duration(7) == 7


@pytest.mark.parametrize("text", ["", "h", "3", "3 fortnights", "-3h", "3h30min", "1e3s", "3H", "٣h x"])
def test_what_is_no_duration_is_refused_by_the_field_it_was_given_for(text: str) -> None:
    with pytest.raises(Invalid, match="not a duration") as caught:
        parse_duration(text, field="ttl")
    assert caught.value.field == "ttl"


@given(moments)
def test_a_written_time_reads_back_as_the_same(moment: int) -> None:
    assert from_iso(to_iso(moment)) == moment
    assert from_datetime(to_datetime(moment)) == moment


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_a_time_with_an_offset_is_the_same_moment(moment: int, minutes: int) -> None:
    elsewhere = to_datetime(moment).astimezone(timezone(timedelta(minutes=minutes)))
    assert from_iso(elsewhere.isoformat()) == from_datetime(elsewhere) == moment


def test_a_time_without_a_zone_is_utc() -> None:
    assert from_iso("2013-03-12T08:00:00") == from_iso("2013-03-12T08:00:00Z")
    assert from_datetime(datetime(2013, 3, 12)) == from_datetime(datetime(2013, 3, 12, tzinfo=UTC))


@given(moments, moments)
def test_written_whole_seconds_sort_like_the_times(one: int, other: int) -> None:
    one, other = one // SECOND * SECOND, other // SECOND * SECOND
    assert (to_iso(one) < to_iso(other)) == (one < other)


@pytest.mark.parametrize("text", ["", "soon", "2013-13-01", "12/03/2013", "1363075200"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a time") as caught:
        from_iso(text, field="now")
    assert caught.value.field == "now"


@given(st.lists(st.integers(0, 10**15), min_size=1))
def test_a_driven_clock_stands_where_it_was_moved_and_never_goes_back(targets: list[int]) -> None:
    clock = DrivenClock()
    for target in targets:
        before = clock.now()
        if target >= before:
            clock.advance_to(target)
            assert clock.now() == target
        else:
            with pytest.raises(Invalid, match="cannot go back"):
                clock.advance_to(target)
            assert clock.now() == before


def test_the_system_clock_counts_microseconds_since_1970() -> None:
    now = from_datetime(datetime.now(UTC))
    assert abs(SystemClock().now() - now) < MINUTE
