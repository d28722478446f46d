"""Versions without declared features: the request's own columns become the vector."""

import numpy as np
from numpy.testing import assert_array_equal

from homeostat.features.plain import PlainReader
from homeostat.features.texts import TextTable
from homeostat.ground.records import FeatureColumn, InputColumn, Signature

KINDS = {"number": "number", "boolean": "number", "string": "text"}


def signature(*dtypes: str, categories: tuple[str, ...] = ()) -> Signature:
    inputs = tuple(InputColumn(name=f"c{place}", dtype=dtype) for place, dtype in enumerate(dtypes))
    kinds = ["category" if categories and dtype == "string" else KINDS[dtype] for dtype in dtypes]
    columns = tuple(
        FeatureColumn(name=column.name, kind=kind, categories=categories if kind == "category" else ())
        for column, kind in zip(inputs, kinds, strict=True)
    )
    return Signature(task="regression", inputs=inputs, columns=columns, feature_hash="")


def test_numbers_and_booleans_are_laid_side_by_side() -> None:
    reader = PlainReader(signature("number", "boolean"), TextTable())
    vectors = reader.vectors({"c1": [True, False, None], "c0": [1, None, 2.5]}, [0, 0, 0])
    assert_array_equal(vectors, [[1, 1], [np.nan, 0], [2.5, np.nan]])
    assert reader.direct == (0, 1)


def test_categories_are_coded_by_the_frozen_vocabulary() -> None:
    reader = PlainReader(signature("string", "number", categories=("AA", "UA")), TextTable())
    vectors = reader.vectors({"c0": ["UA", "AA", "new", None], "c1": [1, 2, 3, 4]}, [0] * 4)
    assert_array_equal(vectors[:, 0], [1, 0, np.nan, np.nan])
    assert reader.direct is None


def test_texts_are_found_again_by_their_codes() -> None:
    texts = TextTable()
    reader = PlainReader(signature("string"), texts)
    given = ["a", "", "é", "a", "\ud800", None]
    codes = reader.vectors({"c0": given}, [0] * 6)[:, 0]
    assert codes[0] == codes[3] and np.isnan(codes[5])
    assert [texts.text_of(code) for code in codes[:5]] == given[:5]
    assert_array_equal(PlainReader(signature("string"), TextTable()).vectors({"c0": given}, [0] * 6)[:, 0], codes)


def test_what_was_coded_long_ago_is_forgotten_and_takes_no_room() -> None:
    table = TextTable(kept_bytes=1_000)
    (first,) = table.codes_of(["first"])
    (second,) = table.codes_of(["x" * 2_000])
    assert table.text_of(first) == "first"
    table.codes_of(["y" * 2_000])
    assert table.text_of(first) == "first", "the page before is still there"
    table.codes_of(["z" * 2_000])
    assert table.text_of(first) is None and table.text_of(second) is None


def test_two_texts_of_one_code_are_kept_apart() -> None:
    (code,) = TextTable().codes_of(["mine"])
    table = TextTable()
    table._texts[int(code)] = "other"
    (beside,) = table.codes_of(["mine"])
    assert (table.text_of(beside), table.text_of(code), beside - code) == ("mine", "other", 1)
