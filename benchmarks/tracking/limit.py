"""A server that does nothing: what is left of a call's time is the client's own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RUN = (
    b'{"run":{"info":{"run_id":"0123456789abcdef0123456789abcdef","run_uuid":"0123456789abcdef0123456789abcdef",'
    b'"experiment_id":"0","status":"RUNNING","start_time":1,"lifecycle_stage":"active",'
    b'"artifact_uri":"mlflow-artifacts:/0/0123456789abcdef0123456789abcdef/artifacts"},"data":{}},'
    b'"run_info":{"run_id":"0123456789abcdef0123456789abcdef","status":"FINISHED"}}'
)


@contextmanager
def answering_at_once() -> Iterator[str]:
    """The address of a socket that gives every request the same answer, without looking at what is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: nobody asks any more
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_RUN), _RUN)
    with connection, connection.makefile("rb") as asked:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while asked.readline():
            length = 0
            while (header := asked.readline().strip().lower()) != b"":
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            asked.read(length)
            connection.sendall(answer)
