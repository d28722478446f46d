"""Settings come from the environment, then the file, then the default; errors name key, value and type."""

from pathlib import Path

import pytest

from homeostat.ground.errors import Invalid
from homeostat.ground.settings import Settings, load_settings


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({}, folder=tmp_path, home=str(tmp_path)) == Settings(home=str(tmp_path))


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "homeostat.toml").write_text('host = "0.0.0.0"\nport = 8000\n')
    settings = load_settings({"HOMEOSTAT_PORT": "9000"}, folder=tmp_path)
    assert (settings.host, settings.port, settings.serving_port) == ("0.0.0.0", 9000, 7701)


def test_what_the_caller_gives_wins_over_everything_and_none_is_not_given(tmp_path: Path) -> None:
    env = {"HOMEOSTAT_PORT": "9000", "HOMEOSTAT_HOST": "h"}
    settings = load_settings(env, folder=tmp_path, port=1, host=None)
    assert (settings.port, settings.host) == (1, "h")


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings({"HOMEOSTAT_PORT": ""}, folder=tmp_path).port == 7700


def test_the_file_in_the_home_folder_is_read_and_wins_over_the_current_folder(tmp_path: Path) -> None:
    home = tmp_path / "state"
    home.mkdir()
    (tmp_path / "homeostat.toml").write_text("port = 1\nserving_port = 2\n")
    (home / "homeostat.toml").write_text("port = 3\n")
    settings = load_settings({"HOMEOSTAT_HOME": str(home)}, folder=tmp_path)
    assert (settings.port, settings.serving_port, settings.home) == (3, 2, str(home))


@pytest.mark.parametrize(
    ("env", "key", "words"),
    [
        ({"HOMEOSTAT_PORT": "many"}, "port", ["port", "'many'", "int", "HOMEOSTAT_PORT"]),
        ({"HOMEOSTAT_MAX_BODY_MB": "1.5"}, "max_body_mb", ["max_body_mb", "'1.5'", "int"]),
        ({"HOMEOSTAT_LEASE": "a while"}, "lease", ["'a while'", "duration"]),
        ({"HOMEOSTAT_CLOCK": "noon"}, "clock", ["'noon'", "time"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_the_type_wanted(
    tmp_path: Path, env: dict[str, str], key: str, words: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        load_settings(env, folder=tmp_path)
    assert caught.value.field == key
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_unknown_key_in_the_file_is_named_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "homeostat.toml").write_text("prot = 1\n")
    with pytest.raises(Invalid, match=r"unknown setting 'prot'.*port") as caught:
        load_settings({}, folder=tmp_path)
    assert caught.value.field == "prot"


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "homeostat.toml").write_text("port = = 1")
    with pytest.raises(Invalid, match=r"homeostat.toml is not valid TOML"):
        load_settings({}, folder=tmp_path)


def test_state_lies_in_the_home_folder_unless_told_otherwise(tmp_path: Path) -> None:
    inside = Settings(home=str(tmp_path))
    assert inside.database_url == f"sqlite:///{tmp_path}/catalogue.db"
    assert inside.blobs_url == f"{tmp_path}/blobs"
    outside = Settings(database="postgresql+psycopg://db/x", blobs="s3://bucket")
    assert (outside.database_url, outside.blobs_url) == ("postgresql+psycopg://db/x", "s3://bucket")


def test_every_setting_says_what_it_is_for() -> None:
    source = Path(load_settings.__code__.co_filename).read_text()
    body = source[source.index("class Settings") : source.index("    @property")]
    for name in Settings.__struct_fields__:
        assert f"    {name}: " in body
        assert body.split(f"    {name}: ")[1].splitlines()[1].strip().startswith('"""'), name
