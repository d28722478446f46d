"""Whether a version can take another's place: what callers send, and what they get."""

from collections.abc import Sequence

from homeostat.ground.records import InputColumn, Signature


def differences(before: Signature, after: Signature) -> list[str]:
    """What would change for callers, in words; empty when nothing would."""
    old, new = ({column.name: column for column in one.inputs} for one in (before, after))
    found = []
    if wanted := [name for name in new if name not in old]:
        found.append(f"it takes {_listed(wanted)}, which callers do not send")
    if surplus := [name for name in old if name not in new]:
        found.append(f"it does not take {_listed(surplus)}, which callers send")
    if not wanted and not surplus and list(old) != list(new):
        found.append(f"it takes its columns in another order ({_listed(list(new))}), which rows without names follow")
    for name in new.keys() & old.keys():
        found += _of_column(old[name], new[name])
    if before.task != after.task:
        found.append(f"it answers a {after.task} task, callers get {before.task} answers")
    elif _classes(before) != _classes(after):
        found.append(f"its classes are {_listed(_classes(after))}, callers get {_listed(_classes(before))}")
    elif before.outputs != after.outputs:
        found.append(f"it gives {_listed(after.outputs)}, callers get {_listed(before.outputs)}")
    return found


def _of_column(old: InputColumn, new: InputColumn) -> list[str]:
    if old.dtype != new.dtype:
        return [f"its {new.name} is a {new.dtype}, callers send a {old.dtype}"]
    if old.nullable and not new.nullable:
        return [f"its {new.name} must not be missing, for callers it may"]
    return []


def _classes(signature: Signature) -> tuple[str, ...]:
    """A binary model's classes are false and true, whatever its library calls them."""
    named = tuple({"0": "false", "1": "true"}.get(name, name) for name in signature.classes)
    return () if signature.task == "binary" and named in {(), ("false", "true")} else signature.classes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8]) or "one value a row"
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
