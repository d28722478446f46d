"""Writes `.wandb` files record by record, whole or damaged."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from homeostat.compat.importers.wandb_messages import record_class

_BLOCK = 32 << 10


def framed(payloads: list[bytes]) -> bytes:
    """Payloads in W&B's framing."""
    data = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for payload in payloads:
        rest, is_first = payload, True
        while True:
            left = _BLOCK - len(data) % _BLOCK
            if left < 7:
                data += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if is_first else 4) if not rest else (2 if is_first else 3)
            data += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            is_first = False
            if not rest:
                break
    return bytes(data)


def run_record(run_id: str = "abc", project: str = "demo", **config: Any) -> bytes:
    record = record_class()()
    record.run.run_id, record.run.project, record.run.display_name = run_id, project, "a name"
    record.run.start_time.seconds = 1_700_000_000
    for key, value in config.items():
        record.run.config.update.add(key=key, value_json=json.dumps(value))
    return record.SerializeToString()


def row(step: int, **values: Any) -> bytes:
    record = record_class()()
    stamped = {"_step": step, "_timestamp": 1_700_000_000 + step, **values}
    for key, value in stamped.items():
        record.history.item.add(nested_key=[key], value_json=json.dumps(value))
    return record.SerializeToString()


def exit_record(code: int = 0) -> bytes:
    record = record_class()()
    record.exit.exit_code = code
    record.exit.runtime = 1
    return record.SerializeToString()


def artifact_record(path: str, local_path: Path, digest: str) -> bytes:
    record = record_class()()
    record.artifact.name = "data"
    record.artifact.manifest.contents.add(path=path, local_path=str(local_path), digest=digest)
    return record.SerializeToString()


def written(folder: Path, data: bytes, run_id: str = "abc") -> Path:
    """A run folder that holds this log."""
    home = folder / f"offline-run-20240101_000000-{run_id}"
    (home / "files").mkdir(parents=True, exist_ok=True)
    (home / f"run-{run_id}.wandb").write_bytes(data)
    return home
