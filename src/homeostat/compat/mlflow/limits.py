"""MLflow's limits and rules of names, with MLflow's words, so that a script reads the same refusal here as there."""

import posixpath
import re
from collections.abc import Iterable, Sequence

from homeostat.ground.errors import Invalid

METRICS_A_BATCH = 1000
TEXTS_A_BATCH = 100
ENTITIES_A_BATCH = 1000
KEY = 250
PARAM_VALUE = 6000
TAG_VALUE = 8000
EXPERIMENT_TAG_VALUE = 20_000
DATASET = {"name": 500, "digest": 36, "schema": 1_048_575, "profile": 16_777_215, "source": 65_535}
INPUT_TAG = {"key": 255, "value": 500}

_NAME = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}", re.ASCII)


def check_name(name: str, path: str) -> str:
    """`name` if MLflow lets a param, metric or tag be called so: word characters, spaces and / . - : only.

    Raises:
        Invalid: saying which rule it breaks.
    """
    if not name:
        raise Invalid(f"Missing value for required parameter '{path}'", field=path, next_step="name it")
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Invalid value {name!r:.120} for parameter '{path}' supplied: Names may only contain alphanumerics, "
            "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)",
            field=path,
            next_step="rename it",
        )
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        raise Invalid(
            f"Invalid value {name!r:.120} for parameter '{path}' supplied: Names may be treated as files in certain "
            f"cases, and must not resolve to other names when treated as such. This name would resolve to {normal!r}",
            field=path,
            next_step="rename it",
        )
    return check_length(name, path, KEY)


def check_length(value: str, path: str, limit: int) -> str:
    """`value` if it is no longer than `limit` characters."""
    if len(value) <= limit:
        return value
    raise Invalid(
        f"'{path}' exceeds the maximum length of {limit} characters", field=path, next_step=f"it has {len(value)}"
    )


def truncated(value: str, limit: int) -> str:
    """`value` cut to `limit`: what MLflow's server does to long params and tags unless it is told to refuse them.

    >>> truncated("abcdef", 4)
    'abcd'
    """
    return value[:limit]


def check_batch(metrics: int, params: int, tags: int) -> None:
    """See that a batch is not larger than MLflow's."""
    total = metrics + params + tags
    for what, limit, count in (
        ("metrics", METRICS_A_BATCH, metrics),
        ("params", TEXTS_A_BATCH, params),
        ("tags", TEXTS_A_BATCH, tags),
        ("metrics, params, and tags", ENTITIES_A_BATCH, total),
    ):
        if count > limit:
            raise Invalid(
                f"A batch logging request can contain at most {limit} {what}. Got {count} {what}",
                field=what.partition(",")[0],
                next_step=f"please split up {what} across multiple requests and try again",
            )


def check_unique(keys: Sequence[str]) -> None:
    """See that no param comes twice in a batch."""
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    if twice:
        raise Invalid(
            f"Duplicate parameter keys have been submitted: {twice!r:.300}",
            field="params",
            next_step="please ensure the request contains only one param value per param key",
        )


def check_run_id(run_id: str | None, *others: str | None) -> str:
    """The run a request is about, by `run_id` or its old name `run_uuid`.

    Raises:
        Invalid: when it is missing or cannot be one.
    """
    found = next((item for item in (run_id, *others) if item), None)
    if found is None:
        raise Invalid("Missing value for required parameter 'run_id'", field="run_id", next_step="send run_id")
    if not _RUN_ID.fullmatch(found):
        raise Invalid(f"Invalid value {found!r:.120} for parameter 'run_id' supplied", field="run_id")
    return found


def experiment_number(experiment_id: str | None) -> int:
    """The number behind an experiment id.

    Raises:
        Invalid: when it is missing or no number.
    """
    if experiment_id is None or experiment_id == "":
        raise Invalid(
            "Missing value for required parameter 'experiment_id'", field="experiment_id", next_step="send it"
        )
    if experiment_id.isascii() and experiment_id.isdecimal() and len(experiment_id) <= 18:
        return int(experiment_id)
    raise Invalid(
        f"Invalid experiment ID {experiment_id!r:.80}. Experiment ID must be a valid integer",
        field="experiment_id",
        next_step="take it from experiments/get-by-name",
    )


def experiment_numbers(experiment_ids: Iterable[str]) -> list[int]:
    """The numbers behind experiment ids."""
    return [experiment_number(item) for item in experiment_ids]


def page_size(given: int | None, *, default: int, most: int) -> int:
    """How many results a page may have.

    Raises:
        Invalid: when it is not between 1 and `most`.
    """
    if given is None:
        return default
    if 0 < given <= most:
        return given
    raise Invalid(
        f"Invalid value {given} for parameter 'max_results' supplied. It must be at least 1 and at most {most}",
        field="max_results",
        next_step="ask for smaller pages",
    )
