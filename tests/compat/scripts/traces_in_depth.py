"""Traced functions, every way to search them, what people say of them, deletion."""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, T201, PT017  a user's script, which is no test of ours

import time

import mlflow
from mlflow.entities import AssessmentSource, Feedback
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

client = MlflowClient()
experiment = mlflow.set_experiment("traces in depth").experiment_id


@mlflow.trace(span_type="TOOL", attributes={"shop": "blue"})
def inner(x):
    return x * 2


@mlflow.trace
def outer(x):
    with mlflow.start_span("step") as span:
        span.set_attribute("model", "gpt-4")
        span.set_inputs({"x": x})
        span.set_outputs(inner(x))
    return inner(x + 1)


@mlflow.trace
def bad():
    raise ValueError("oh no")


def newest():
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def found(text, **more):
    return [trace.info.trace_id for trace in mlflow.search_traces(filter_string=text, return_type="list", **more)]


def refused(code, call, *args, **more):
    try:
        call(*args, **more)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
        return
    raise AssertionError(f"{call}{args} was let through")


assert outer(3) == 8
good = newest()
try:
    bad()
except ValueError:
    failed = newest()
with mlflow.start_run() as run:
    outer(10)
in_run = newest()

trace = mlflow.get_trace(good)
by_name = {span.name: span for span in trace.data.spans}
assert sorted(span.name for span in trace.data.spans) == ["inner", "inner", "outer", "step"]
assert by_name["step"].parent_id == by_name["outer"].span_id
assert by_name["outer"].inputs == {"x": 3}
assert by_name["outer"].outputs == 8
assert by_name["inner"].span_type == "TOOL"
assert by_name["step"].attributes["model"] == "gpt-4"
assert trace.info.state == "OK"
assert trace.info.request_preview == '{"x": 3}'

broken = mlflow.get_trace(failed)
assert broken.info.state == "ERROR"
assert broken.data.spans[0].status.description == "ValueError: oh no"
assert broken.data.spans[0].events[0].attributes["exception.message"] == "oh no"

assert len(mlflow.search_traces()) == 3
assert found("trace.status = 'ERROR'") == [failed]
assert found("name = 'outer'", order_by=["timestamp ASC"]) == [good, in_run]
assert found(f"run_id = '{run.info.run_id}'") == [in_run]
assert len(mlflow.search_traces(run_id=run.info.run_id)) == 1
assert found("span.type = 'TOOL'") == [in_run, good]
assert found("span.attributes.model = 'gpt-4'") == [in_run, good]
assert found("span.attributes.shop ILIKE '%BLU%'") == [in_run, good]
assert found("trace.text LIKE '%oh no%'") == [failed]
assert found(f"timestamp_ms >= {trace.info.request_time} AND execution_time_ms < 100000") == [in_run, failed, good]

mlflow.set_trace_tag(good, "color", "red")
assert found("tags.color = 'red'") == [good]
mlflow.delete_trace_tag(good, "color")
assert found("tags.color IS NOT NULL") == []

person = AssessmentSource("HUMAN", "ada")
feedback = mlflow.log_feedback(trace_id=good, name="good", value=True, rationale="it is", source=person)
mlflow.log_feedback(trace_id=good, name="score", value=0.75)
mlflow.log_expectation(trace_id=good, name="answer", value=["8"])
values = {said.name: said.value for said in mlflow.get_trace(good).info.assessments}
assert values == {"good": True, "score": 0.75, "answer": ["8"]}
assert found("feedback.good = 'true' AND feedback.score > 0.5") == [good]
change = Feedback(name="good", value=False)
mlflow.update_assessment(trace_id=good, assessment_id=feedback.assessment_id, assessment=change)
again = mlflow.get_assessment(good, feedback.assessment_id)
assert again.feedback.value is False
assert (again.rationale, again.source.source_id) == ("it is", "ada")
heir = mlflow.override_feedback(trace_id=good, assessment_id=feedback.assessment_id, value=True)
assert not mlflow.get_assessment(good, feedback.assessment_id).valid
mlflow.delete_assessment(trace_id=good, assessment_id=heir.assessment_id)
assert mlflow.get_assessment(good, feedback.assessment_id).valid

root = client.start_trace("by hand", inputs={"a": 1}, tags={"k": "v"})
child = client.start_span("child", trace_id=root.trace_id, parent_id=root.span_id)
client.end_span(root.trace_id, child.span_id, outputs=2)
client.end_trace(root.trace_id, outputs=3)
mlflow.flush_trace_async_logging()
by_hand = client.get_trace(root.trace_id)
assert (by_hand.info.tags["k"], by_hand.info.response_preview, len(by_hand.data.spans)) == ("v", "3", 2)

page = client.search_traces(locations=[experiment], max_results=3)
rest = client.search_traces(locations=[experiment], max_results=3, page_token=page.token)
assert (len(page), len(rest), rest.token) == (3, 1, None)

other = client.create_run(experiment).info.run_id
client.link_traces_to_run([good], other)
assert found(f"run_id = '{other}'") == [good]

refused("INVALID_PARAMETER_VALUE", mlflow.set_trace_tag, good, "k" * 251, "x")
refused("INVALID_PARAMETER_VALUE", client.search_traces, locations=[experiment], filter_string="colour = 'x'")
refused("RESOURCE_DOES_NOT_EXIST", client.set_trace_tag, "tr-" + "0" * 32, "k", "v")

assert client.delete_traces(experiment, trace_ids=[good]) == 1
assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000), max_traces=1) == 1
assert [trace.info.trace_id for trace in client.search_traces(locations=[experiment])] == [root.trace_id, in_run]
print("ok")
