"""The nouns of datasets."""

import msgspec


class Fragment(msgspec.Struct, frozen=True):
    """A block of rows as one Parquet blob. `bytes` is its size."""

    digest: str
    rows: int
    bytes: int


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A frame frozen under the BLAKE3 of its manifest (name, schema, fragments). Times are microseconds UTC."""

    digest: str
    name: str
    rows: int
    schema: dict[str, str]
    """Column name to Polars dtype, in column order."""
    fragments: tuple[Fragment, ...]
    created: int | None = None
    """None until it is recorded in the catalogue."""
    parent: str | None = None
    """Digest of the version it grew from."""

    @property
    def short(self) -> str:
        """What people write: `flights@7f3a12ab`."""
        return f"{self.name}@{self.digest[:8]}"
