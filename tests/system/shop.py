"""A small shop whose orders are late or not: real tables, a real declared model, months of event time in seconds."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl

START = datetime(2024, 3, 1, tzinfo=UTC)
"""Event time at which the server starts; the tables begin 30 days before and end 60 days after."""
PER_HOUR = 12

DECLARED = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

import homeostat as hs

orders = hs.Source("orders.parquet", time="ordered", key="order_id", later={{"delivered": ["minutes_late"]}})
traffic = hs.Source("traffic.parquet", time="ts", key="city")
now = hs.View("traffic_now", traffic, ttl="3h", select=["jam"])
recent = hs.View("city_recent", orders.known_at("delivered"), key="city", hop="1h",
                 aggregates=[hs.mean("minutes_late", "1d"), hs.count("1d")])


@hs.on_demand(inputs=["ordered"])
def calendar(ordered):
    return {{"hour": ordered.hour}}


@hs.model(
    "late-order",
    examples=orders,
    label=hs.Label("minutes_late > 10", known_at="delivered"),
    features=[now, recent, calendar, "distance"],
    gate=[hs.at_least("roc_auc", 0.6), hs.no_slice_worse("city", by=0.5)],
    rollout=hs.shadow(min_labels=100) >> hs.canary(50, 100, min_requests=20, min_time="1h"),
    watch=[hs.accuracy("log_loss"), hs.errors(below=0.05), hs.latency(p99="5s"), hs.data_drift()],
    retrain=hs.when(hs.worse("log_loss", by=0.2, window="3d", min_labels=200), cooldown="3d") | hs.older_than("20d"),
    train_window="20d",
    evaluation_window="3d",
)
def late_order(train, run):
    {body}
    y = train.y
    if run.params.get("shuffle_labels"):
        y = np.random.default_rng(0).permutation(y)
    run.log(train_rows=len(train))
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(train.X, y)
"""


def write_project(folder: Path, *, body: str = "pass") -> Path:
    """Tables and declaration; returns the declared file. What makes an order late changes after 20 days of service."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    hours = 90 * 24
    begin = START - timedelta(days=30)
    jam = rng.uniform(0, 10, (hours, 2))
    cities = ("north", "south")
    pl.DataFrame(
        {
            "ts": [begin + timedelta(hours=hour) for hour in range(hours) for _ in cities],
            "city": list(cities) * hours,
            "jam": jam.ravel(),
        }
    ).write_parquet(folder / "traffic.parquet")
    count = hours * PER_HOUR
    hour = np.repeat(np.arange(hours), PER_HOUR)
    minute = np.tile(np.arange(0, 60, 60 // PER_HOUR), hours)
    city = rng.integers(0, 2, count)
    distance = rng.uniform(1, 20, count)
    pull = np.where(hour > 50 * 24, -1.0, 1.0)  # the world turns: far orders become the punctual ones
    late = 2.0 * (jam[hour, city] - 5) + pull * 1.2 * (distance - 10) + rng.normal(0, 6, count)
    ordered = [begin + timedelta(hours=int(h), minutes=int(m)) for h, m in zip(hour, minute, strict=True)]
    pl.DataFrame(
        {
            "order_id": np.arange(count),
            "ordered": ordered,
            "city": np.array(cities)[city],
            "distance": distance,
            "delivered": [
                moment + timedelta(minutes=30 + float(extra) % 90) for moment, extra in zip(ordered, late, strict=True)
            ],
            "minutes_late": late + 5,
        }
    ).write_parquet(folder / "orders.parquet")
    declared = folder / "shop.py"
    declared.write_text(DECLARED.format(body=body))
    return declared


class Shop:
    """The stream of a project's orders: request columns and labels by event time."""

    def __init__(self, folder: Path) -> None:
        self.orders = pl.read_parquet(folder / "orders.parquet")
        self.traffic = pl.read_parquet(folder / "traffic.parquet")

    def between(self, start: datetime, end: datetime) -> pl.DataFrame:
        return self.orders.filter(pl.col("ordered") >= start, pl.col("ordered") < end)

    def delivered(self, start: datetime, end: datetime) -> pl.DataFrame:
        return self.orders.filter(pl.col("delivered") >= start, pl.col("delivered") < end, pl.col("ordered") >= START)


class Server:
    """`homeostat up` in a process of its own, to be killed and started again."""

    def __init__(
        self, home: Path, *, clock: datetime | None = START, environment: dict[str, str] | None = None
    ) -> None:
        self.home = home
        self._environment = os.environ | {"HOMEOSTAT_LEASE": "30s"} | (environment or {})
        if clock is not None:
            self._environment["HOMEOSTAT_CLOCK"] = clock.isoformat()
        self.process: subprocess.Popen[bytes] | None = None
        self.url = self.serving = ""
        self.http = httpx.Client(timeout=120)

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "homeostat.cli.entry",
            "up",
            "--json",
            "--parent-watch",
            "--home",
            str(self.home),
        ]
        command += ["--port", "0", "--serving-port", "0"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment)
        assert self.process.stdout is not None
        text = b""
        for line in self.process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        assert text, f"the server ended before it was ready, exit code {self.process.wait()}"
        ready = msgspec.json.decode(text)
        self.url, self.serving = ready["url"], ready["serving"]

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self._close()
        self.http.close()

    def _close(self) -> None:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.process.wait(timeout=60)
        self.process.stdin.close()
        self.process.stdout.close()

    def get(self, path: str) -> Any:
        return self._answer(self.http.get(self.url + path))

    def post(self, path: str, body: Any) -> Any:
        return self._answer(
            self.http.post(
                self.url + path, content=msgspec.json.encode(body), headers={"content-type": "application/json"}
            )
        )

    def move_clock(self, moment: datetime) -> Any:
        return self._answer(self.http.put(self.url + "/api/clock", json={"now": moment.isoformat()}))

    def predict(self, orders: pl.DataFrame, *, prefix: str = "order") -> dict[str, Any]:
        """One Open Inference request for these orders, at each order's own time."""
        columns = {
            "request_id": ("BYTES", [f"{prefix}-{number}" for number in orders["order_id"]]),
            "request_time": ("BYTES", [moment.isoformat() for moment in orders["ordered"]]),
            "city": ("BYTES", orders["city"].to_list()),
            "ordered": ("BYTES", [moment.isoformat() for moment in orders["ordered"]]),
            "distance": ("FP64", orders["distance"].to_list()),
        }
        inputs = [
            {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
            for name, (datatype, values) in columns.items()
        ]
        answer = self.http.post(f"{self.serving}/v2/models/late-order/infer", json={"inputs": inputs})
        return self._answer(answer)  # type: ignore[no-any-return]

    def label(self, delivered: pl.DataFrame, *, prefix: str = "order") -> Any:
        rows = [
            {"request_id": f"{prefix}-{number}", "value": late > 10, "at": at.isoformat()}
            for number, late, at in delivered.select("order_id", "minutes_late", "delivered").iter_rows()
        ]
        return self.post("/api/labels", {"model": "late-order", "labels": rows}) if rows else None

    def push(self, source: str, rows: pl.DataFrame) -> Any:
        return self.post(f"/api/sources/{source}/rows", {"rows": rows.to_dicts()}) if len(rows) else None

    @staticmethod
    def _answer(answer: httpx.Response) -> Any:
        assert answer.status_code < 300, f"{answer.status_code}: {answer.text}"
        return answer.json()


@contextmanager
def running(home: Path, **options: Any) -> Iterator[Server]:
    server = Server(home, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def command(home: Path, *arguments: str, expect: int = 0) -> Any:
    """Run the command line as a user does; returns its JSON."""
    result = subprocess.run(
        [sys.executable, "-m", "homeostat.cli.entry", *arguments, "--home", str(home), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOMEOSTAT_CLOCK": START.isoformat()},
        check=False,
    )
    assert result.returncode == expect, result.stdout + result.stderr
    return msgspec.json.decode(result.stdout) if result.stdout else None
