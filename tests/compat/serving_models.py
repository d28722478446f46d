"""A home with models of every kind, registered as a user would: `python serving_models.py HOME`.

What they answer is left in `expected.json`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import homeostat as hs

ROWS = 5


def make_home(home: Path) -> dict[str, Any]:
    """Register four models and put them into service; rows for each, and what scikit-learn says of them."""
    registry = hs.connect(str(home)).registry
    chance = np.random.default_rng(0)
    expected: dict[str, Any] = {}

    numbers = chance.normal(size=(300, 20))
    twenty = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, numbers[:, 0] + numbers[:, 1] > 0)
    registry.register(twenty, "twenty")
    rows = numbers[:ROWS]
    expected["twenty"] = {"rows": rows.tolist(), "score": twenty.predict_proba(rows)[:, 1].tolist()}

    value = LinearRegression().fit(numbers[:, :3], numbers[:, 3])
    registry.register(value, "value")
    expected["value"] = {"rows": rows[:, :3].tolist(), "score": value.predict(rows[:, :3]).tolist()}

    flowers = pd.DataFrame(numbers[:, :4], columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])
    kinds = np.array(["setosa", "versicolor", "virginica"])[np.digitize(flowers["sepal_length"], [-0.5, 0.5])]
    iris = LogisticRegression(max_iter=500).fit(flowers, kinds)
    registry.register(iris, "iris")
    expected["iris"] = {
        "columns": list(flowers.columns),
        "rows": flowers[:ROWS].to_numpy().tolist(),
        "class": iris.predict(flowers[:ROWS]).tolist(),
        "probabilities": iris.predict_proba(flowers[:ROWS]).tolist(),
    }

    flights = pd.DataFrame({"distance": chance.uniform(50, 2_000, 300), "carrier": chance.choice(["AA", "UA"], 300)})
    coded = make_column_transformer((OneHotEncoder(), ["carrier"]), (StandardScaler(), ["distance"]))
    late = make_pipeline(coded, LogisticRegression())
    late.fit(flights, (flights["distance"] > 800) ^ (flights["carrier"] == "AA"))
    registry.register(late, "late")
    expected["late"] = {
        "distance": flights["distance"][:ROWS].tolist(),
        "carrier": flights["carrier"][:ROWS].tolist(),
        "score": late.predict_proba(flights[:ROWS])[:, 1].tolist(),
    }

    for name in expected:
        registry.set_alias(name, "champion", 1)
    return expected


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "expected.json").write_text(json.dumps(make_home(folder)))
