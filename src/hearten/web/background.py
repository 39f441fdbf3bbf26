"""Work that runs beside the requests for as long as the server does.

A server whose journal or listener has died would answer and lose; so if such work ever fails, the reason is
logged and the process asks itself to stop: whoever supervises it starts a fresh one, and clients resume
there.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger("hearten.web")


@asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines while the block lasts; cancel them at its end."""
    tasks = [asyncio.create_task(one) for one in work]
    for task in tasks:
        task.add_done_callback(_stop_if_failed)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop_if_failed(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("%s failed; stopping", task.get_coro(), exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)
