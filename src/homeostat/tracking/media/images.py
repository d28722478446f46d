"""Images as files: Pillow's by Pillow, arrays by a PNG writer of our own, files as they are."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from homeostat.ground.errors import Invalid

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by channels: grey, grey with alpha, RGB, RGB with alpha."""


def image_file(key: str, image: Any) -> tuple[str, bytes | Path]:
    """Suffix and content of an image.

    Raises:
        Invalid: when it is no image.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return path.suffix or ".png", path
    if hasattr(image, "save") and hasattr(image, "mode"):
        sink = io.BytesIO()
        image.save(sink, format="PNG")
        return ".png", sink.getvalue()
    return ".png", png_of(_pixels(key, image))


def png_of(pixels: Any) -> bytes:
    """An array of uint8, height x width x channels, as PNG."""
    height, width, channels = pixels.shape
    rows = bytearray()
    for row in pixels:
        rows += b"\x00" + row.tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(key: str, image: Any) -> Any:
    import numpy as np

    if hasattr(image, "detach"):  # a tensor that may be on another device and part of a graph
        image = image.detach().cpu()
    try:
        pixels = np.asarray(image)
    except (TypeError, ValueError, RuntimeError):
        pixels = np.empty(0)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.ndim == 3 and pixels.shape[2] not in _COLOURS and pixels.shape[0] in _COLOURS:
        pixels = np.moveaxis(pixels, 0, 2)  # channels first, as PyTorch has them
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOURS or not pixels.size or pixels.dtype.kind not in "buif":
        raise Invalid(
            f"image {key!r:.80} is a {type(image).__name__} of shape {getattr(pixels, 'shape', ())}",
            field="image",
            next_step="give height x width (x 1, 3 or 4), a Pillow image or a path",
        )
    if pixels.dtype.kind == "f":
        return (np.nan_to_num(np.clip(pixels, 0.0, 1.0)) * 255.0).round().astype(np.uint8)
    return (pixels * 255 if pixels.dtype.kind == "b" else np.clip(pixels, 0, 255)).astype(np.uint8)
