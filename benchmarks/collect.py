"""Load and faults on the collection platform: how quickly messages arrive, and whether one is lost or
doubled.

    python benchmarks/collect.py                                     400 conversations, 60 s, SQLite python
    benchmarks/collect.py --database postgresql --servers 2   seekers on one process, supporters on the other
    python benchmarks/collect.py --rooms 50 --kills 20               kill -9 of the server during the load
    python benchmarks/collect.py --database postgresql --rooms 50 --database-kills 3 --cuts 0.02

Real servers (`hearten web`) on the loopback, real sockets. Every client sends numbered messages at a steady
rate, keeps what was not acknowledged and sends it again after reconnecting, as the page's script does.
Afterwards the database is read: every acknowledged message must be there exactly once and in the order it was
sent, and every partner must have seen it exactly once and in that order. Delivery is the time from sending to
the partner's socket.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import websockets

from hearten.collect import people
from hearten.collect.journal import read_entries
from hearten.collect.matching import open_room
from hearten.collect.study import Study, load_study
from hearten.web import identity
from hearten.web.database import Database
from throwaway_postgres import ThrowawayPostgres

STUDY = """
name = "load"
title = "Load"
[chat]
feedback_every = 0
"""
WORDS = "I have been thinking about what you said and it helps a little to write it down here tonight"


@dataclass
class Client:
    """One side of one conversation."""

    room: int
    role: str
    cookie: str
    port: int
    number: int = 0
    seen: int = 0
    outbox: dict[str, tuple[str, float]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)
    gaps: int = 0
    refused: int = 0
    reconnections: int = 0
    socket: object = None
    greeted: bool = False

    def message(self) -> str:
        """The next message; its text carries when it was sent."""
        self.number += 1
        id = f"{self.role[:4]}-{self.number}"
        frame = {"type": "message", "id": id, "text": f"{id} {time.monotonic():.6f} {WORDS}"}
        if self.role == "supporter":
            frame["strategy"] = "Question"
        self.sent.append(id)
        self.outbox[id] = (json.dumps(frame), time.monotonic())
        return id

    def take(self, frame: dict) -> None:
        """What a socket brought."""
        if frame["type"] == "refused":
            self.refused += 1
        for event in frame.get("events", ()):
            if event["seq"] <= self.seen:
                continue
            self.gaps += event["seq"] != self.seen + 1
            self.seen = event["seq"]
            now = time.monotonic()
            if "id" in event:
                _, began = self.outbox.pop(event["id"], (None, now))
                self.acknowledged.append(event["id"])
                self.acks.append(now - began)
            elif event["kind"] == "message":
                id, at, _ = event["text"].split(" ", 2)
                self.received.append(id)
                self.delays.append(now - float(at))

    async def stay(self) -> None:
        """Be connected for as long as the test runs, and again after every break."""
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                await self._session()
            self.greeted = False
            self.reconnections += 1
            await asyncio.sleep(random.uniform(0.05, 0.4))

    async def _session(self) -> None:
        address = f"ws://127.0.0.1:{self.port}/study/load/live"
        options = {"compression": None, "open_timeout": 20, "ping_interval": None, "close_timeout": 1}
        async with websockets.connect(
            address, additional_headers={"cookie": self.cookie}, **options
        ) as socket:
            self.socket = socket
            await socket.send(json.dumps({"type": "hello", "seen": self.seen}))
            self.take(json.loads(await socket.recv()))
            for text, _ in list(self.outbox.values()):
                await socket.send(text)
            self.greeted = True
            async for text in socket:
                self.take(json.loads(text))

    async def speak(self, until: float, rate: float) -> None:
        """Send at a steady rate; what cannot be sent now waits in the outbox."""
        await asyncio.sleep(random.random() / rate)
        turn = time.monotonic()
        while time.monotonic() < until:
            id = self.message()
            if self.greeted:
                with contextlib.suppress(OSError, websockets.WebSocketException):
                    await self.socket.send(self.outbox[id][0])
            turn += 1 / rate
            await asyncio.sleep(max(0.0, turn - time.monotonic()))


class Server:
    """One `hearten web`."""

    def __init__(self, study: Path, database: str, port: int) -> None:
        self.port = port
        self._command = [
            sys.executable,
            "-m",
            "hearten",
            "web",
            "--study",
            str(study),
            "--database",
            database,
        ]
        self._command += ["--port", str(port)]
        self._process: subprocess.Popen | None = None
        self.log = Path(tempfile.gettempdir()) / f"hearten-load-{port}.log"

    def start(self) -> None:
        """Start it and return at once."""
        log = self.log.open("ab")
        self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    async def answers(self) -> None:
        """Wait until it listens."""
        for _ in range(300):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.1)
        raise SystemExit(f"the server on port {self.port} did not start: see {self.log}")

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def forget(self) -> None:
        """Kill it and remove its log."""
        self.kill()
        self.log.unlink(missing_ok=True)


def prepare(database: Database, study: Study, rooms: int, ports: list[int]) -> list[Client]:
    """Rooms with two logged-in people each."""
    database.upgrade()
    clients = []
    with database.writing() as session:
        for _ in range(rooms):
            pair = [
                people.join(session, study, role=role, language="en")[0] for role in ("seeker", "supporter")
            ]
            for person in pair:
                person.ready = True
            room = open_room(session, study, pair[0].id, supporter=pair[1].id, now=time.time())
            for person, port in zip(pair, ports, strict=True):
                token = identity.open_login(session, people.subject(person))
                clients.append(Client(room.id, str(person.role), f"hearten_load={token}", port))
    return clients


async def disturb(
    args: argparse.Namespace,
    servers: list[Server],
    postgres: ThrowawayPostgres | None,
    clients: list[Client],
    start: float,
) -> dict:
    """Kill servers and the database, and cut sockets, evenly over the load."""
    done = {"server_kills": 0, "database_kills": 0, "cuts": 0}

    async def kill_servers() -> None:
        for number in range(args.kills):
            await asyncio.sleep(max(0, start + (number + 0.7) * args.seconds / args.kills - time.monotonic()))
            server = servers[number % len(servers)]
            server.kill()
            server.start()
            done["server_kills"] += 1

    async def kill_database() -> None:
        for number in range(args.database_kills):
            await asyncio.sleep(
                max(0, start + (number + 0.5) * args.seconds / args.database_kills - time.monotonic())
            )
            assert postgres is not None
            postgres.kill()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(postgres.start)
            done["database_kills"] += 1

    async def cut_sockets() -> None:
        while args.cuts and time.monotonic() < start + args.seconds:
            await asyncio.sleep(1)
            for client in random.sample(clients, max(1, int(args.cuts * len(clients)))):
                if client.greeted and client.socket is not None:
                    client.socket.transport.abort()
                    done["cuts"] += 1

    await asyncio.gather(kill_servers(), kill_database(), cut_sockets())
    return done


async def load(
    args: argparse.Namespace, clients: list[Client], servers: list[Server], postgres: ThrowawayPostgres | None
) -> dict:
    """Connect everyone, talk, wait for the last acknowledgement."""
    for server in servers:
        server.start()
    await asyncio.gather(*(server.answers() for server in servers))
    staying = []
    for number, client in enumerate(clients):
        staying.append(asyncio.create_task(client.stay()))
        if number % 20 == 19:
            await asyncio.sleep(0.1)
    deadline = time.monotonic() + 60
    while not all(client.greeted for client in clients) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    connected = sum(client.greeted for client in clients)
    start = time.monotonic()
    talking = asyncio.gather(*(client.speak(start + args.seconds, args.rate) for client in clients))
    done = await disturb(args, servers, postgres, clients, start)
    await talking
    deadline = time.monotonic() + 60
    while any(client.outbox for client in clients) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    for server in servers:
        server.kill()
    return {"connected": connected, **done}


def check(database: Database, clients: list[Client]) -> dict:
    """What the database and the partners hold, against what was acknowledged."""
    lost = doubled = disordered = unseen = 0
    rooms: dict[int, list[Client]] = {}
    for client in clients:
        rooms.setdefault(client.room, []).append(client)
    with database.reading() as session:
        for room, sides in rooms.items():
            entries = read_entries(session, room)
            disordered += [entry.seq for entry in entries] != list(range(1, len(entries) + 1))
            for client, partner in (sides, sides[::-1]):
                stored = [entry.client_id for entry in entries if entry.role == client.role]
                lost += len(set(client.acknowledged) - set(stored))
                doubled += len(stored) - len(set(stored))
                doubled += len(partner.received) - len(set(partner.received))
                disordered += stored != [id for id in client.sent if id in set(stored)]
                disordered += partner.received != [id for id in client.sent if id in set(partner.received)]
                unseen += len(set(client.acknowledged) - set(partner.received))
    return {"lost": lost, "doubled": doubled, "disordered": disordered, "not_seen_by_partner": unseen}


def quantile(values: list[float], share: float) -> float:
    """A quantile in milliseconds."""
    return (
        round(1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)
        if values
        else float("nan")
    )


def report(args: argparse.Namespace, clients: list[Client], checked: dict, done: dict) -> dict:
    """Everything in one object."""
    delays = [delay for client in clients for delay in client.delays]
    acks = [delay for client in clients for delay in client.acks]
    return {
        "database": args.database,
        "servers": args.servers,
        "conversations": args.rooms,
        "seconds": args.seconds,
        **done,
        "sent": sum(len(client.sent) for client in clients),
        "acknowledged": sum(len(client.acknowledged) for client in clients),
        "delivered": len(delays),
        "refused": sum(client.refused for client in clients),
        "gaps": sum(client.gaps for client in clients),
        "reconnections": sum(client.reconnections for client in clients),
        **checked,
        "delivery_ms": {
            "p50": quantile(delays, 0.5),
            "p95": quantile(delays, 0.95),
            "p99": quantile(delays, 0.99),
        },
        "acknowledgement_ms": {"p50": quantile(acks, 0.5), "p95": quantile(acks, 0.95)},
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--servers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--rooms", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1, help="messages per second and person")
    parser.add_argument("--kills", type=int, default=0, help="kill -9 of a server")
    parser.add_argument("--database-kills", type=int, default=0, help="kill -9 of PostgreSQL")
    parser.add_argument("--cuts", type=float, default=0, help="share of sockets cut every second")
    parser.add_argument("--most-ms", type=float, default=0, help="fail if p95 of delivery is above this")
    args = parser.parse_args()
    if args.database == "sqlite" and (args.servers > 1 or args.database_kills):
        parser.error("several servers, and a database that can be killed, need --database postgresql")
    return args


def free_port() -> int:
    """A port nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> int:
    args = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    random.seed(7)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(ThrowawayPostgres()) if args.database == "postgresql" else None
        url = postgres.url if postgres else f"sqlite:///{folder / 'load.sqlite'}"
        (folder / "load.toml").write_text(STUDY)
        servers = [Server(folder / "load.toml", url, free_port()) for _ in range(args.servers)]
        database = Database(url)
        ports = [servers[0].port, servers[-1].port]
        clients = prepare(database, load_study(folder / "load.toml"), args.rooms, ports)
        try:
            done = asyncio.run(load(args, clients, servers, postgres))
        finally:
            for server in servers:
                server.forget()
        result = report(args, clients, check(database, clients), done)
        database.close()
    print(json.dumps(result, indent=2))
    wrong = (
        result["lost"]
        + result["doubled"]
        + result["disordered"]
        + result["not_seen_by_partner"]
        + result["gaps"]
    )
    unsent = result["sent"] - result["acknowledged"]
    slow = bool(args.most_ms) and result["delivery_ms"]["p95"] > args.most_ms
    return int(bool(wrong or unsent or slow))


if __name__ == "__main__":
    if sys.platform == "linux":
        with contextlib.suppress(ImportError):
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
