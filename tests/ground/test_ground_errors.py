"""The tree of errors is drawn whole, and every leaf has a status, an exit code and a code of its own."""

import re

import pytest

from homeostat.ground import errors
from homeostat.ground.errors import EXIT_CODE, HTTP_STATUS, HomeostatError, Invalid, NotFound, exit_code, http_status
from homeostat.ground.extras import require

KINDS = {kind.__name__: kind for kind in HomeostatError.__subclasses__() if kind.__module__ == errors.__name__}


def test_the_docstring_draws_every_class() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_class_has_a_status_an_exit_code_and_a_docstring(kind: type[HomeostatError]) -> None:
    assert kind in HTTP_STATUS
    assert kind in EXIT_CODE
    assert kind.__doc__
    assert (http_status(kind("x")), exit_code(kind("x"))) == (HTTP_STATUS[kind], EXIT_CODE[kind])


def test_codes_are_stable_words_and_none_is_used_twice() -> None:
    codes = [kind.code for kind in KINDS.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z_]+", code) for code in codes)
    assert HomeostatError.code not in codes


def test_a_special_error_is_treated_like_the_one_it_specialises() -> None:
    class GoneError(NotFound):
        pass

    assert (http_status(GoneError("x")), exit_code(GoneError("x"))) == (404, 2)
    assert (http_status(HomeostatError("x")), exit_code(HomeostatError("x"))) == (500, 1)


def test_the_text_holds_the_message_and_the_next_step() -> None:
    assert str(Invalid("no such colour", field="colour", next_step="use red")) == "no such colour; use red"
    assert str(Invalid("no such colour")) == "no such colour"


def test_the_body_leaves_out_what_is_empty() -> None:
    assert Invalid("bad", field="colour").as_dict() == {"error": "bad", "code": "invalid", "field": "colour"}


def test_a_missing_library_is_answered_with_the_install_line() -> None:
    with pytest.raises(errors.MissingExtra, match=r"pip install -e '\.\[onnx\]'"):
        require("surely_not_installed.part", extra="onnx")


def test_a_library_that_is_there_is_handed_back() -> None:
    assert require("json", extra="none").dumps([]) == "[]"


def test_an_installed_library_that_is_itself_broken_shows_its_own_error(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    (Path(str(tmp_path)) / "broken_library.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        require("broken_library", extra="onnx")
