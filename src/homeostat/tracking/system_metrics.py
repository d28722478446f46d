"""How busy the machine is while a run goes on: `system/...` series, a look every 15 seconds."""

import logging
import threading
import time
from typing import Any

from homeostat.ground.errors import HomeostatError
from homeostat.tracking.open_run import OpenRun

FIRST_SECONDS = 2.0
"""A run shorter than this needs no watching."""
_GIB = float(1 << 30)
_log = logging.getLogger("homeostat")


class SystemMetrics:
    """A daemon thread that looks and logs; a look costs about a millisecond."""

    def __init__(self, run: OpenRun, *, every: float) -> None:
        self._run = run
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="homeostat-system", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2.0)

    def _watch(self) -> None:
        if self._stop.wait(min(FIRST_SECONDS, self._every)):
            return
        try:
            looker, pause = Looker(), 0.5  # rates need two looks
            while not self._stop.wait(pause):
                self._run.log_metrics({f"system/{key}": value for key, value in looker.look().items()})
                pause = self._every
        except HomeostatError:
            return  # the run has ended
        except Exception as error:  # noqa: BLE001  a machine that cannot be watched is no reason to stop training
            _log.info("system metrics end: %s", error)


class Looker:
    """Takes differences between looks where the system only counts."""

    def __init__(self) -> None:
        import psutil  # type: ignore[import-untyped]  # it ships none

        self._psutil: Any = psutil
        self._process = psutil.Process()
        psutil.cpu_percent()
        self._process.cpu_percent()
        self._before = (time.monotonic(), self._counts())
        self._gpus = _gpus()

    def look(self) -> dict[str, float]:
        """What is to be seen now; rates are since the last look."""
        psutil, memory = self._psutil, self._psutil.virtual_memory()
        with self._process.oneshot():
            mine = {
                "process.cpu_percent": self._process.cpu_percent(),
                "process.memory_gib": self._process.memory_info().rss / _GIB,
                "process.threads": float(self._process.num_threads()),
            }
        machine = {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": memory.percent,
            "memory_used_gib": (memory.total - memory.available) / _GIB,
            "disk_used_percent": psutil.disk_usage("/").percent,
        }
        return machine | mine | self._rates() | self._gpu_figures()

    def _counts(self) -> dict[str, int]:
        disk, net = self._psutil.disk_io_counters(), self._psutil.net_io_counters()
        counts = {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes} if disk else {}
        return counts | ({"network_received": net.bytes_recv, "network_sent": net.bytes_sent} if net else {})

    def _rates(self) -> dict[str, float]:
        (then, before), now, counts = self._before, time.monotonic(), self._counts()
        self._before = (now, counts)
        seconds = max(now - then, 1e-6)
        return {f"{key}_mb_per_s": (count - before.get(key, count)) / 1e6 / seconds for key, count in counts.items()}

    def _gpu_figures(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        for index, (nvml, handle) in enumerate(self._gpus):
            used, memory = nvml.nvmlDeviceGetUtilizationRates(handle), nvml.nvmlDeviceGetMemoryInfo(handle)
            figures |= {
                f"gpu.{index}.percent": float(used.gpu),
                f"gpu.{index}.memory_used_gib": memory.used / _GIB,
                f"gpu.{index}.memory_percent": 100.0 * memory.used / memory.total,
                f"gpu.{index}.power_watts": nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0,
                f"gpu.{index}.celsius": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            }
        return figures


def _gpus() -> list[tuple[Any, Any]]:
    """NVIDIA's devices, when its library is installed and a driver answers."""
    try:
        import pynvml  # type: ignore[import-not-found,unused-ignore]

        pynvml.nvmlInit()
        return [(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001  no library, no driver, no device: all mean there is nothing to watch
        return []
