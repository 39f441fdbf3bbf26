"""`hearten chat` and `hearten serve`: the doors to talking."""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearten.serve.settings import ServeSettings

Model = Annotated[
    str, typer.Argument(metavar="[RUN|MODEL]", help="run folder, embedded, FILE.gguf, FOLDER, openai:MODEL")
]


def chat(
    model: Model = "embedded",
    message: Annotated[list[str] | None, typer.Option(help="say this and leave; may be repeated")] = None,
    strategy: Annotated[str | None, typer.Option(help="force the strategy of the (first) reply")] = None,
    situation: Annotated[str | None, typer.Option(help="what the seeker is going through")] = None,
    safe: Annotated[
        bool, typer.Option("--safe/--unsafe", help="screens and care path; unsafe is for experiments")
    ] = True,
    save: Annotated[Path | None, typer.Option(help="write the conversation here at the end")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="with --message: one JSON object a reply")] = False,
) -> None:
    """Talk to a trained run or a chat model."""
    from rich.console import Console

    from hearten.core.errors import UsageError
    from hearten.models.supporters import labels_of, open_supporter
    from hearten.safety.chain import SafeSupporter
    from hearten.serve.terminal import Chat, talk

    if as_json and not message:
        raise UsageError("--json needs a message", fix='hearten chat --message "I failed my exam" --json')
    inner = open_supporter(model)
    supporter = SafeSupporter(inner) if safe else inner
    talking = Chat(supporter, labels=labels_of(model), situation=situation)
    if strategy:
        talking.force(strategy)
    if not message:
        talk(talking, Console())
    for text in message or ():
        reply = list(talking.say(text))[-1]
        if as_json:
            print(json.dumps(reply.model_dump(mode="json", exclude_none=True), ensure_ascii=False))
        else:
            print(f"[{reply.strategy.name}] {reply.text}" if reply.strategy else reply.text)
    if save:
        talking.save(save)


def serve(
    model: Model = "embedded",
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    at_once: Annotated[int, typer.Option(min=1, help="replies made at the same time")] = 4,
    queue: Annotated[int, typer.Option(min=0, help="requests that may wait for a place")] = 64,
    region: Annotated[str | None, typer.Option(help="whose help lines are named, as us or gb")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="keep the page's conversations in this file, encrypted")
    ] = None,
    keep_days: Annotated[int, typer.Option(min=1, help="days after which they are removed")] = 30,
    key_file: Annotated[
        Path | None, typer.Option(help="with --keep: its key, if not in the configuration folder")
    ] = None,
    minimum_age: Annotated[int, typer.Option(min=0, help="what visitors confirm; 0 asks nothing")] = 18,
    secure: Annotated[bool, typer.Option(help="behind HTTPS: cookies are sent over it only")] = False,
    trust_proxy: Annotated[
        bool, typer.Option(help="read clients' addresses from one's own reverse proxy")
    ] = False,
) -> None:
    """A page to talk on and an OpenAI-compatible API, with the screens and care path on."""
    from hearten.models.supporters import labels_of
    from hearten.serve.keeping import PageSettings
    from hearten.serve.settings import ServeSettings
    from hearten.web.settings import Settings

    page = PageSettings(
        keep=keep,
        key_file=key_file,
        keep_days=keep_days,
        minimum_age=minimum_age,
        region=region,
        labels=labels_of(model),
    )
    with tempfile.TemporaryDirectory(prefix="hearten-") as passing:
        place = f"sqlite:///{passing}/web.sqlite"
        web = Settings(host=host, port=port, database=place, secure=secure, trust_proxy=trust_proxy)
        _run(ServeSettings(web=web, model=model, at_once=at_once, queue=queue, page=page, region=region))


def _run(settings: "ServeSettings") -> None:
    import uvicorn

    from hearten.serve.mount import open_chain
    from hearten.serve.settings import VARIABLE

    name = open_chain(settings).name  # what is wrong with the model is said before the server starts
    os.environ[VARIABLE] = settings.model_dump_json()
    print(f"{name} is at http://{settings.web.host}:{settings.web.port}; stop with Ctrl-C", flush=True)
    uvicorn.run(
        "hearten.app:serving_from_environment",
        factory=True,
        host=settings.web.host,
        port=settings.web.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
