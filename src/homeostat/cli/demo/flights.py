"""Will a flight out of New York arrive more than 15 minutes late? Asked at its scheduled departure.

`homeostat demo` runs this file on the flights of 2013; `homeostat apply flights.py` declares it in a folder that holds
flights.parquet, weather.parquet and planes.parquet.
"""

from zoneinfo import ZoneInfo

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import shuffle

import homeostat as hs

NEW_YORK = ZoneInfo("America/New_York")

flights = hs.Source(
    "flights.parquet",
    time="sched_dep_ts",
    key="flight_id",
    later={"dep_ts": ["dep_delay_min"], "arr_ts": ["arr_delay_min", "air_time_min", "status"]},
)
landed = flights.known_at("arr_ts")
weather = hs.Source("weather.parquet", time="ts", key="airport")
planes = hs.Source("planes.parquet", key="tailnum")

weather_now = hs.View(
    "weather_now",
    weather,
    ttl="3h",
    select=[
        "temp_f",
        "humidity_pct",
        "wind_speed_mph",
        "wind_gust_mph",
        "precip_in",
        "visibility_mi",
        "pressure_mb",
    ],
)
carrier_history = hs.View(
    "carrier_history",
    landed,
    key="carrier",
    hop="1h",
    aggregates=[hs.mean("arr_delay_min", "1d", "7d"), hs.count("7d")],
)
origin_history = hs.View(
    "origin_history", landed, key="origin", hop="1h", aggregates=[hs.mean("arr_delay_min", "3h", "1d"), hs.count("3h")]
)
last_flight = hs.View("last_flight", landed, key="tailnum", ttl="1d", select=["arr_delay_min"])
plane = hs.View("plane", planes, select=["year_built", "seats"])


@hs.on_demand(inputs=["sched_dep_ts"])
def calendar(moment):
    """Hour and weekday on the clock of the airport; no month: a model has not seen the next one."""
    local = moment.astimezone(NEW_YORK)
    return {"hour": local.hour, "weekday": local.weekday()}


@hs.model(
    "late-arrival",
    examples=flights.where(status="arrived"),
    label=hs.Label("arr_delay_min > 15", known_at="arr_ts"),
    features=[
        weather_now.on(airport="origin"),
        carrier_history,
        origin_history,
        last_flight,
        plane,
        calendar,
        "carrier",
        "origin",
        "distance_mi",
    ],
    train_window="140d",
    evaluation_window="7d",
    gate=[hs.at_least("roc_auc", 0.62), hs.beats_champion("log_loss"), hs.no_slice_worse("origin", by=0.03)],
    rollout=hs.shadow() >> hs.canary(5, 25, 100),
    watch=[hs.accuracy("log_loss"), hs.skew(), hs.data_drift(), hs.latency(p99="50ms"), hs.errors(below=0.01)],
    retrain=hs.when(hs.worse("log_loss", by=0.10), cooldown="21d") | hs.older_than("42d"),
)
def late_arrival(train, run):
    """Gradient boosting with small trees and large leaves: a season is short, and the next one is different."""
    y = train.y
    if run.params.get("shuffle_labels"):  # the demo's bad release, which the rollout has to catch
        y = shuffle(y, random_state=0)
    model = HistGradientBoostingClassifier(
        categorical_features=train.categorical,
        learning_rate=0.1,
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=200,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=0,
    )
    model.fit(train.X, y)
    run.log(train_rows=len(train), late_share=float(train.y.mean()))
    return model
