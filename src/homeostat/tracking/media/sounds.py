"""Sound as WAV: arrays as 16-bit samples, files as they are."""

import io
import os
import wave
from pathlib import Path
from typing import Any

from homeostat.ground.errors import Invalid


def sound_file(key: str, sound: Any, *, rate: int) -> tuple[str, bytes | Path]:
    """Suffix and content of a sound.

    Raises:
        Invalid: when it is no sound.
    """
    if isinstance(sound, str | os.PathLike):
        path = Path(sound)
        return path.suffix or ".wav", path
    if not isinstance(rate, int) or rate <= 0:
        raise Invalid(f"rate {rate!r:.40} is no number of samples a second", field="rate", next_step="such as 44100")
    samples = _samples(key, sound)
    sink = io.BytesIO()
    with wave.open(sink, "wb") as target:
        target.setnchannels(samples.shape[1])
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(samples.tobytes())
    return ".wav", sink.getvalue()


def _samples(key: str, sound: Any) -> Any:
    import numpy as np

    if hasattr(sound, "detach"):
        sound = sound.detach().cpu()
    samples = np.asarray(sound)
    if samples.ndim == 1:
        samples = samples[:, np.newaxis]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= 32 or samples.dtype.kind not in "if":
        raise Invalid(
            f"sound {key!r:.80} is a {type(sound).__name__} of shape {samples.shape}",
            field="sound",
            next_step="give samples (x channels) as floats from -1 to 1 or int16, or a path",
        )
    if samples.dtype.kind == "f":
        return (np.clip(np.nan_to_num(samples), -1.0, 1.0) * 32767.0).round().astype("<i2")
    return np.clip(samples, -32768, 32767).astype("<i2")
