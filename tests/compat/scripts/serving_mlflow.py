"""MLflow's own client of a scoring server, and MLflow's own scoring beside ours: the same bodies, the same answers."""
# ruff: noqa: ANN001, ANN201, ANN204, PT017, T201  a user's script, which is no test of ours

import io
import json
import os
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import requests
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from sklearn.linear_model import LinearRegression

host, _, port = os.environ["SERVING_ADDRESS"].partition(":")
expected = json.loads(Path(os.environ["SERVING_EXPECTED"]).read_text())
base = f"http://{host}:{port}"


class Client(ScoringServerClient):
    """Of one of several models; a server of one model is called without a name."""

    def __init__(self, model):
        super().__init__(host, port)
        self.url_prefix = f"{base}/endpoints/{model}"

    def ping(self):
        assert requests.get(f"{base}/ping", timeout=10).status_code == 200


# The client
plain = ScoringServerClient(host, int(port))
plain.wait_server_ready(timeout=10)
assert plain.get_version()
rows = np.array(expected["value"]["rows"])
frame = pd.DataFrame(rows, columns=["x0", "x1", "x2"])
value = Client("value")
value.wait_server_ready(timeout=10)
for data in (frame, pd.DataFrame(rows), rows, rows.tolist(), frame.set_index(pd.Index(range(10, 15)))):
    np.testing.assert_allclose(value.invoke(data).get_predictions("ndarray"), expected["value"]["score"], rtol=1e-9)
assert value.invoke(frame, params={"x": 1}).get_predictions().shape == (5, 1)
late = pd.DataFrame({"distance": expected["late"]["distance"], "carrier": expected["late"]["carrier"]})
np.testing.assert_allclose(Client("late").invoke(late).get_predictions()[0], expected["late"]["score"], rtol=1e-6)
flowers = pd.DataFrame(expected["iris"]["rows"], columns=expected["iris"]["columns"])
probabilities = Client("iris").invoke(flowers).get_predictions()
assert list(probabilities.columns) == ["setosa", "versicolor", "virginica"]
np.testing.assert_allclose(probabilities.to_numpy(), expected["iris"]["probabilities"], atol=1e-6)
try:
    value.invoke(frame.assign(x2=np.nan))
except Exception as error:  # noqa: BLE001  the client has no class of its own
    assert "error code 400" in str(error) and "x2" in str(error), error
else:
    raise AssertionError("was not refused")

# Beside MLflow's own code, on a model with the same answers
chance = np.random.default_rng(0)
numbers = chance.normal(size=(300, 20))
model = LinearRegression().fit(pd.DataFrame(numbers[:, :3], columns=["x0", "x1", "x2"]), numbers[:, 3])
signature = infer_signature(frame, model.predict(frame))
mlflow.sklearn.save_model(model, "model", signature=signature)
loaded = mlflow.pyfunc.load_model("model")
schema = loaded.metadata.get_input_schema()
split, records = frame.to_dict(orient="split"), frame.to_dict(orient="records")
parquet = io.BytesIO()
frame.to_parquet(parquet)
dumped = json.dumps
CASES = [
    ("application/json", dumped({"dataframe_split": split})),
    ("application/json; charset=utf-8", dumped({"dataframe_split": split, "params": {"x": 1}})),
    ("application/json", dumped({"dataframe_records": records})),
    ("application/json", dumped({"inputs": {name: frame[name].tolist() for name in frame}})),
    ("application/json", dumped({"instances": records})),
    ("text/csv", frame.to_csv(index=False)),
    ("application/vnd.apache.parquet", parquet.getvalue()),
    ("application/json", dumped({})),
    ("application/json", dumped({"inputs": records, "instances": records})),
    ("application/json", dumped({"dataframe_split": {"columns": ["x0"], "data": [[1.0]]}})),
    ("application/json", dumped({"dataframe_split": {"columns": ["x0"]}})),
    ("application/json", dumped({"dataframe_records": {"x0": 1}})),
    ("application/json", dumped([1, 2])),
    ("application/json", "{"),
    ("application/json; charset=latin-1", dumped({"dataframe_split": split})),
    ("application/json; format=pandas-split", dumped({"dataframe_split": split})),
    ("text/plain", "x"),
    ("application/vnd.apache.parquet", b"no"),
    ("application/json", dumped({"dataframe_split": split | {"data": [[1, 2, "x"]], "index": [0]}})),
]
for kind, body in CASES:
    data = body if isinstance(body, bytes) else body.encode()
    try:
        theirs = scoring_server.invocations(data, kind, loaded, schema)
        status, answer = theirs.status, theirs.response
    except MlflowException as error:
        status, answer = error.get_http_status_code(), error.serialize_as_json()
    ours = requests.post(f"{base}/endpoints/value/invocations", data=data, headers={"Content-Type": kind}, timeout=10)
    assert ours.status_code == status, (kind, body[:100], status, ours.status_code, ours.text)
    if status == 200:
        np.testing.assert_allclose(ours.json()["predictions"], json.loads(answer)["predictions"], rtol=1e-9)
    else:
        assert ours.json()["error_code"] and ours.json()["message"] and "Traceback" not in ours.text, ours.text
print("ok")
