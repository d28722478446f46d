"""The stage that the cases play on: a home of ours, and the servers, started when a case first asks for them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import Server, running
from benchmarks.serving.ours import make_home, start_echo, start_worker
from benchmarks.serving.peers import start_bentoml, start_mlflow, start_mlserver


class Stage:
    """Servers by name, all pinned to one core; those that are not asked anything leave it to the one that is."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._mlflow: dict[str, Server] = {}

    @cached_property
    def home(self) -> Path:
        """Our home, with both models routed."""
        return make_home(self.place("ours"))

    @cached_property
    def ours(self) -> Server:
        home = self.home
        return self.start(lambda: start_worker(home, self.place("worker")))

    @cached_property
    def echo(self) -> Server:
        return self.start(lambda: start_echo(self.place("echo")))

    @cached_property
    def bentoml(self) -> Server:
        return self.start(lambda: start_bentoml(self.place("bentoml")))

    @cached_property
    def mlserver(self) -> Server:
        return self.start(lambda: start_mlserver(self.place("mlserver")))

    def mlflow(self, name: str) -> Server:
        """One server a model."""
        if name not in self._mlflow:
            self._mlflow[name] = self.start(lambda: start_mlflow(self.place(f"mlflow-{name}"), name))
        return self._mlflow[name]

    def place(self, name: str) -> Path:
        """A folder of this name."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, start: Callable[[], Server]) -> Server:
        """A server that runs until the stage is left."""
        return self._stack.enter_context(running(start()))


@contextmanager
def open_stage() -> Iterator[Stage]:
    """An empty stage; whatever was started is gone at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="bench-serving-", ignore_cleanup_errors=True))
        yield Stage(Path(folder), stack)
