"""Settings: one frozen struct, read once, from the environment, then the file, then the default.

The file is `homeostat.toml` in the home folder or in the current directory; keys are the field names below. The
environment variable of `home` is `HOMEOSTAT_HOME`, and so on for every field.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from homeostat.ground.clock import from_iso, parse_duration
from homeostat.ground.errors import Invalid

PREFIX = "HOMEOSTAT_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where state lives and how the processes run."""

    home: str = ".homeostat"
    """Folder that holds everything: catalogue, blobs, logs."""
    url: str = ""
    """A server to talk to instead of a folder."""
    database: str = ""
    """Catalogue URL; empty means SQLite in the home folder. PostgreSQL: postgresql+psycopg://user@host/name."""
    blobs: str = ""
    """fsspec URL for blobs; empty means a folder in the home folder."""
    host: str = "127.0.0.1"
    """Address that servers bind to."""
    port: int = 7700
    """Port of the control plane; 0 picks a free one."""
    serving_port: int = 7701
    """Port of the serving worker; 0 picks a free one."""
    workers: int = 1
    """Serving workers that share the serving port; about one a core."""
    request_timeout: str = "30s"
    """A prediction that takes longer is answered with an error; what would have to wait longer is refused at once."""
    log_share: float = 1.0
    """Share of the predictions that are logged; what is not logged is neither watched nor judged in a rollout."""
    model_control: str = ""
    """'on' or 'off': whether callers of a worker may load and unload models. Empty: on this machine only."""
    access_log: str = ""
    """A file that gets a JSON line for each request to a serving worker; '-' is standard error, empty writes none."""
    clock: str = "system"
    """'system', or an ISO time at which a driven clock (a replay) starts."""
    tick: str = "10s"
    """How often the loop looks (live); a driven clock ticks when it is moved."""
    lease: str = "30s"
    """How long a worker may hold a cycle without a sign of life."""
    train_timeout: str = "30min"
    """A training child that runs longer is killed and its cycle fails."""
    train_memory_mb: int = 0
    """Address-space limit of a training child in MB; 0 sets none."""
    label_window: str = "1d"
    """How long before its time a prediction may have been made that a label by entity key is for."""
    keep_predictions: str = ""
    """How long the prediction log is kept, such as '90d'; empty: for ever."""
    monitor_folders: str = ""
    """Folders in which SQLite and Parquet files may lie that are read on a schedule, with commas; empty: none."""
    metrics_columns: int = 10
    """Columns a model that /metrics tells the drift of, beside those that have drifted."""
    max_body_mb: int = 16
    """Requests with a larger body are refused."""
    max_upload_mb: int = 65536
    """Artifact uploads, which are never held in memory, may be this large."""
    auth: str = ""
    """'required': every request needs a token. Empty: open to this machine, and to nobody else."""
    token: str = ""
    """The token that clients of a server send (`homeostat token create`)."""
    allowed_hosts: str = ""
    """Names that the Host header may hold beside this machine's, with commas; '.example.com' takes subdomains in."""
    allowed_origins: str = ""
    """Origins whose pages may call, such as 'https://mlops.example.com', with commas."""
    offline: bool = False
    """Runs only write their spool; `homeostat sync` ships it."""
    run_wait: str = "30s"
    """How long the end of a run waits for the last of it to arrive; the spool keeps what does not."""
    system_metrics: str = "15s"
    """How often a run looks at CPU, memory, disk, network and GPU; '0s' never."""
    capture_output: bool = True
    """Whether a run keeps what its script prints."""
    webhook: str = ""
    """A URL that gets promotions, rollbacks, rejections and failures as JSON; empty sends nothing."""
    webhook_allow: str = ""
    """Private addresses that webhooks may reach all the same, as HOST, HOST:PORT or HOST:*, with commas."""
    signing_key: str = ""
    """A PEM file with the EC key that signs packages; empty means one in the home folder, made when it is needed."""
    trusted_keys: str = ""
    """PEM files of public keys, or folders of them, separated by commas, trusted besides the project's own."""
    require_signature: bool = False
    """Refuse to load packages that nobody signed (those registered before there was signing)."""

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser().resolve()

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home_path / 'catalogue.db'}"

    @property
    def blobs_url(self) -> str:
        return self.blobs or str(self.home_path / "blobs")


def load_settings(
    environ: Mapping[str, str] | None = None, *, folder: Path | None = None, **overrides: Any
) -> Settings:
    """Read the settings; an override that is None counts as not given.

    Raises:
        Invalid: naming the key, the value and the type wanted.
    """
    env = os.environ if environ is None else environ
    given = {key: value for key, value in overrides.items() if value is not None}
    names = Settings.__struct_fields__
    from_env = {name: env[PREFIX + name.upper()] for name in names if env.get(PREFIX + name.upper())}
    home = given.get("home") or from_env.get("home") or Settings().home
    values = _read_file(folder or Path.cwd()) | _read_file(Path(str(home)).expanduser()) | from_env | given
    for key in values.keys() - set(names):
        raise Invalid(f"unknown setting {key!r}", field=key, next_step=f"known settings: {', '.join(names)}")
    return _checked({key: _convert(key, value) for key, value in values.items()})


def _read_file(folder: Path) -> dict[str, Any]:
    path = folder / "homeostat.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path} is not valid TOML: {error}", field=str(path), next_step="mend the file") from error


def _convert(key: str, value: Any) -> Any:
    wanted = next(field.type for field in msgspec.structs.fields(Settings) if field.name == key)
    try:
        return msgspec.convert(str(value) if wanted is str else value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"setting {key} is {value!r}, wanted {wanted.__name__}",
            field=key,
            next_step=f"mend {PREFIX}{key.upper()} or {key} in homeostat.toml",
        ) from error


def _checked(values: dict[str, Any]) -> Settings:
    settings = Settings(**values)
    for key in ("tick", "lease", "train_timeout", "run_wait", "system_metrics", "request_timeout", "label_window"):
        parse_duration(getattr(settings, key), field=key)
    if settings.keep_predictions:
        parse_duration(settings.keep_predictions, field="keep_predictions")
    if settings.auth not in {"", "required"}:
        raise Invalid(
            f"setting auth is {settings.auth!r}", field="auth", next_step="set it to 'required', or leave it empty"
        )
    if settings.model_control not in {"", "on", "off"}:
        raise Invalid(
            f"setting model_control is {settings.model_control!r}",
            field="model_control",
            next_step="set it to 'on' or 'off', or leave it empty",
        )
    if not 0 < settings.log_share <= 1:
        raise Invalid(
            f"setting log_share is {settings.log_share}", field="log_share", next_step="give a share above 0, up to 1"
        )
    if settings.workers < 1:
        raise Invalid(f"setting workers is {settings.workers}", field="workers", next_step="give 1 or more")
    if settings.clock != "system":
        from_iso(settings.clock, field="clock")
    return settings
