"""The stage that the cases play on: both servers, started once, with a folder for each."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import homeostat as hs
from benchmarks.processes import Server, running
from benchmarks.tracking.client import MlflowClient, mlflow_client
from benchmarks.tracking.servers import start_ours, start_peer
from benchmarks.tracking.wire import Wire
from homeostat.tracking.client import ActiveRun


class Stage(NamedTuple):
    """Ours and the peer's: the server, and a kept connection to it."""

    ours: Server
    peer: Server
    our_wire: Wire
    peer_wire: Wire

    @property
    def wires(self) -> tuple[Wire, Wire]:
        return self.our_wire, self.peer_wire

    def native_run(self, project: str) -> ActiveRun:
        """A run of ours as a user begins it, system metrics and all; its spool lies beside the server's folder."""
        return hs.run(project, url=self.ours.url, home=str(self.ours.folder / "client"))

    @contextmanager
    def mlflow_clients(self) -> Iterator[tuple[MlflowClient, MlflowClient]]:
        """The unchanged MLflow client, once for each server."""
        with (
            mlflow_client(self.ours.url, messages=self.ours.folder / "client.txt") as ours,
            mlflow_client(self.peer.url, messages=self.peer.folder / "client.txt") as peer,
        ):
            yield ours, peer


def arrived(run: ActiveRun) -> None:
    """Wait until the server has acknowledged everything; the end of a run waits for a bounded time only."""
    if not run.flush(300):
        raise RuntimeError("not everything that was logged has arrived")


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Both servers over empty folders, gone at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-tracking-", ignore_cleanup_errors=True)))
        places = [folder / who for who in ("ours", "peer")]
        for place in places:
            place.mkdir()
        ours = stack.enter_context(running(start_ours(places[0])))
        peer = stack.enter_context(running(start_peer(places[1])))
        our_wire, peer_wire = (stack.enter_context(Wire(server.url)) for server in (ours, peer))
        yield Stage(ours, peer, our_wire, peer_wire)
