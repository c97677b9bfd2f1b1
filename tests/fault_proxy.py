"""A proxy on 127.0.0.1 in front of a server that can be made to fail: a store that is sick.

    with Proxy("127.0.0.1:9000") as proxy:
        proxy.fault = "silence"  # of connections that are new, and of those that are open

The faults, as they come in practice:

errors     every request is answered with status 503 SlowDown, as S3 does under load
failures   every request is answered with status 500 InternalError
silence    connections are accepted, and nothing is answered
cuts       connections are closed in the middle of the request's body, or of the answer
throttle   bytes pass at 50 kB/s in all, both ways together
refused    nothing listens, as after a restart
"""

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

FAULTS = ("errors", "failures", "silence", "cuts", "throttle", "refused")
_CHUNK = 1 << 14  # bytes
_CUT_AFTER = 2000  # bytes of a request, or of an answer; headers are shorter
_THROTTLED = 50_000  # bytes a second
_LOOK_EVERY_S = 0.05
_CODES = {"errors": (503, "SlowDown"), "failures": (500, "InternalError")}


class Proxy:
    """Passes connections on to a server, as far as its present fault lets it.

    fault    one of FAULTS, or ""; may be changed at any moment
    address  host:port of the proxy
    struck   the number of requests or connections that the faults have hit
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = host, int(port)
        self._fault, self.struck = "", 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._free_at = 0.0  # when the throttled line is free again, in monotonic seconds
        self._port = 0
        self._run(self._listen())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def fault(self) -> str:
        return self._fault

    @fault.setter
    def fault(self, fault: str) -> None:
        assert fault in ("", *FAULTS), fault
        was_refusing, self._fault = self._fault == "refused", fault
        if fault == "refused":
            self._run(self._close())
        elif was_refusing:
            self._run(self._listen())
        elif fault == "":
            self._run(self._drop())  # what was silent is not answered late

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._drop()

    async def _drop(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(_LOOK_EVERY_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection of a client until one side closes it."""
        self._open.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                server_reader, server_writer = await asyncio.open_connection(*self._server)
                self._open.add(server_writer)
                try:
                    await asyncio.gather(
                        self._pass(reader, server_writer, back=writer),
                        self._pass(server_reader, writer, back=None),
                    )
                finally:
                    self._open.discard(server_writer)
                    server_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter | None,
    ) -> None:
        """Passes bytes one way until its end.

        back  to the client, for answers of our own; None on the way from the server
        """
        passed = 0
        while chunk := await reader.read(_CHUNK):
            if self._fault in _CODES and back is not None:
                self.struck += 1
                await self._answer(back)
                break
            await self._while_silent()
            if self._fault == "throttle":
                await self._wait_for_line(len(chunk))
            passed += len(chunk)
            if self._fault == "cuts" and passed > _CUT_AFTER:
                self.struck += 1
                writer.write(chunk[: _CUT_AFTER // 2])
                await writer.drain()
                break
            writer.write(chunk)
            await writer.drain()
        writer.transport.close() if self._fault != "cuts" else writer.transport.abort()
        if back is not None:
            back.transport.close()

    async def _answer(self, client: asyncio.StreamWriter) -> None:
        """Answers with an error of S3 and closes the connection."""
        status, code = _CODES[self._fault]
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>sick</Message></Error>"
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        client.write((head + body).encode())
        with suppress(OSError):
            await client.drain()

    async def _while_silent(self) -> None:
        self.struck += self._fault == "silence"
        while self._fault == "silence":
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _wait_for_line(self, count: int) -> None:
        self.struck += 1
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + count / _THROTTLED
        await asyncio.sleep(self._free_at - now)
