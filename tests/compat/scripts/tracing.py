"""Traces: a decorated function, spans by hand, search, tags."""
# ruff: noqa: ANN001, ANN201, T201  a user's script, which is no test of ours

import mlflow
from mlflow.tracking import MlflowClient

experiment = mlflow.set_experiment("traces").experiment_id


@mlflow.trace
def inner(x):
    return x + 1


@mlflow.trace(name="outer", attributes={"kind": "test"})
def outer(x):
    with mlflow.start_span("by hand") as span:
        span.set_inputs({"x": x})
        span.set_outputs(x * 2)
    return inner(x) * 2


assert outer(3) == 8
mlflow.flush_trace_async_logging()
trace_id = mlflow.get_last_active_trace_id()
client = MlflowClient()
trace = client.get_trace(trace_id)
assert trace.data.spans[0].name == "outer"
assert {span.name for span in trace.data.spans} == {"outer", "inner", "by hand"}
assert trace.info.status == "OK" or str(trace.info.state) == "TraceState.OK"
found = mlflow.search_traces(locations=[experiment], return_type="list")
assert [item.info.trace_id for item in found] == [trace_id]
client.set_trace_tag(trace_id, "team", "a")
assert client.get_trace(trace_id).info.tags["team"] == "a"
print("ok")
