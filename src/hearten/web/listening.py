"""Starting to listen: one way for every server of hearten.

Requests are not logged: an access log would hold who was here and when.
"""

import contextlib
import os
import socket

from hearten.core.errors import Failure
from hearten.web.settings import Settings


def must_be_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before anything is opened.

    Raises:
        Failure: somebody listens there already, or it is not ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Failure(
                f"cannot listen: {error.strerror}", where=f"{host}:{port}", fix="another --port"
            ) from None


def listen(factory: str, settings: Settings, variable: str, told: str, *, processes: int = 1) -> None:
    """Serve the app that `factory` (`module:function`) makes, until stopped.

    Args:
        factory: called in each process.
        settings: where to listen.
        variable: the environment variable in which the factory finds its settings.
        told: those settings, as JSON.
        processes: how many serve.
    """
    import uvicorn

    os.environ[variable] = told
    _allow_many_sockets()
    uvicorn.run(
        factory,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=processes,
        log_level="warning",
        access_log=False,
        ws_max_size=settings.largest_body,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _allow_many_sockets() -> None:
    """Every open chat is a file to the system; where its soft limit is low, use what the hard one allows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
