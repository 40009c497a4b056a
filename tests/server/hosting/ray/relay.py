"""Relays sockets between a network namespace and the outside, through Unix sockets.

    relay.py LISTEN=CONNECT,...

Each side is a port of the loopback or the path of a Unix socket.
"""

import asyncio
import sys
from functools import partial


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _relay(to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        far_reader, far_writer = await (
            asyncio.open_connection("127.0.0.1", int(to))
            if to.isdecimal()
            else asyncio.open_unix_connection(to)
        )
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _serve(pair: str) -> None:
    at, _, to = pair.partition("=")
    server = await (
        asyncio.start_server(partial(_relay, to), "127.0.0.1", int(at))
        if at.isdecimal()
        else asyncio.start_unix_server(partial(_relay, to), at)
    )
    await server.serve_forever()


async def _main(pairs: str) -> None:
    await asyncio.gather(*map(_serve, pairs.split(",")))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
