"""Tags of models and versions: what may be in them."""

from collections.abc import Mapping

from homeostat.ground.errors import Invalid

_KEY_LIMIT = 250
_VALUE_LIMIT = 100_000


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags, if their keys have 1 to 250 characters and their values no more than 100,000.

    Raises:
        Invalid: naming the tag.
    """
    for key, value in tags.items():
        if not 0 < len(key) <= _KEY_LIMIT or "\x00" in key:
            raise Invalid(
                f"tag name {key!r:.80} is not usable", field="key", next_step=f"use 1 to {_KEY_LIMIT} characters"
            )
        if len(value) > _VALUE_LIMIT or "\x00" in value:
            raise Invalid(
                f"the value of tag {key!r:.80} is not usable",
                field=key,
                next_step=f"use up to {_VALUE_LIMIT} characters",
            )
    return dict(tags)
