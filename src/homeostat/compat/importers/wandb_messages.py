"""W&B's protobuf messages, as far as an import reads them; the numbers are those of its `wandb_internal.proto`.

They are built here from a table, in a pool and package of their own, so that W&B itself may be imported beside them.
"""

from functools import cache
from typing import Any

_PACKAGE = "homeostat_wandb"
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Item": {"key": (1, "string"), "nested_key": (2, "string*"), "value_json": (16, "string")},
    "Step": {"num": (1, "int64")},
    "Changes": {"update": (1, "Item*"), "remove": (2, "Item*")},
    "History": {"item": (1, "Item*"), "step": (2, "Step")},
    # A stats item has no nested key, and is the same message otherwise.
    "Stats": {"timestamp": (2, "Timestamp"), "item": (3, "Item*")},
    "Output": {"output_type": (1, "int32"), "timestamp": (2, "Timestamp"), "line": (3, "string")},
    "Exit": {"exit_code": (1, "int32"), "runtime": (2, "int32")},
    "Git": {"remote_url": (1, "string"), "commit": (2, "string")},
    "Run": {
        "run_id": (1, "string"),
        "entity": (2, "string"),
        "project": (3, "string"),
        "config": (4, "Changes"),
        "summary": (5, "Changes"),
        "run_group": (6, "string"),
        "job_type": (7, "string"),
        "display_name": (8, "string"),
        "notes": (9, "string"),
        "tags": (10, "string*"),
        "sweep_id": (12, "string"),
        "host": (13, "string"),
        "starting_step": (14, "int64"),
        "start_time": (17, "Timestamp"),
        "git": (21, "Git"),
    },
    "Environment": {
        "os": (1, "string"),
        "python": (2, "string"),
        "docker": (4, "string"),
        "args": (5, "string*"),
        "program": (6, "string"),
        "code_path": (7, "string"),
        "git": (9, "Git"),
        "host": (12, "string"),
        "username": (13, "string"),
        "executable": (14, "string"),
        "cpu_count": (16, "uint32"),
        "cpu_count_logical": (17, "uint32"),
        "gpu_type": (18, "string"),
        "gpu_count": (19, "uint32"),
        "cuda_version": (25, "string"),
    },
    "Metric": {"name": (1, "string"), "glob_name": (2, "string"), "step_metric": (4, "string")},
    "Entry": {
        "path": (1, "string"),
        "digest": (2, "string"),
        "ref": (3, "string"),
        "size": (4, "int64"),
        "local_path": (6, "string"),
    },
    "Manifest": {"contents": (4, "Entry*"), "manifest_file_path": (5, "string")},
    "Artifact": {
        "type": (4, "string"),
        "name": (5, "string"),
        "digest": (6, "string"),
        "aliases": (11, "string*"),
        "manifest": (12, "Manifest"),
    },
    "UsedArtifact": {"id": (1, "string"), "type": (2, "string"), "name": (3, "string")},
    "Alert": {"title": (1, "string"), "text": (2, "string"), "level": (3, "string")},
    "TensorBoard": {"log_dir": (1, "string")},
    "Record": {
        "num": (1, "int64"),
        "history": (2, "History"),
        "summary": (3, "Changes"),
        "output": (4, "Output"),
        "config": (5, "Changes"),
        "stats": (7, "Stats"),
        "artifact": (8, "Artifact"),
        "tbrecord": (9, "TensorBoard"),
        "alert": (10, "Alert"),
        "metric": (12, "Metric"),
        "output_raw": (13, "Output"),
        "run": (17, "Run"),
        "exit": (18, "Exit"),
        "use_artifact": (25, "UsedArtifact"),
        "environment": (26, "Environment"),
    },
}
_RECORD_TYPES = _MESSAGES["Record"].keys() - {"num"}


@cache
def record_class() -> Any:
    """The class of W&B's `Record`; `WhichOneof("record_type")` says what it holds, None for what we do not read."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    types = {"string": field_type.TYPE_STRING, "int64": field_type.TYPE_INT64}
    types |= {"int32": field_type.TYPE_INT32, "uint32": field_type.TYPE_UINT32}
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Record":
            message.oneof_decl.add(name="record_type")
        for field_name, (number, kind) in fields.items():
            plain = kind.rstrip("*")
            field = message.field.add(name=field_name, number=number)
            field.label = field_type.LABEL_REPEATED if kind.endswith("*") else field_type.LABEL_OPTIONAL
            field.type = types.get(plain, field_type.TYPE_MESSAGE)
            if plain not in types:
                field.type_name = f".{_PACKAGE}.{plain}"
            if name == "Record" and field_name in _RECORD_TYPES:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Record"))
