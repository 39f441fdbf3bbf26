"""`hearten chat` and `hearten serve`: the doors to talking."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearten.lm.waiting import sleep_soon

if TYPE_CHECKING:
    from hearten.serve.settings import ServeSettings

sleep_soon()  # before a command imports torch
Model = Annotated[
    str, typer.Argument(metavar="[RUN|MODEL]", help="run folder, embedded, FILE.gguf, FOLDER, openai:MODEL")
]
Keep = Annotated[Path | None, typer.Option(help="keep the page's conversations in this file, encrypted")]
KeyFile = Annotated[
    Path | None, typer.Option(help="with --keep: its key, if not in the configuration folder")
]
Threads = Annotated[int | None, typer.Option(min=1, help="the engine's threads; every core if not given")]
Keys = Annotated[Path | None, typer.Option(help="key file; without one the API answers this machine alone")]
NewKey = Annotated[str | None, typer.Option(help="with --keys: make a key of this name, print it, leave")]
Minors = Annotated[bool, typer.Option("--minors", help="the people here are minors: their words and lines")]
RaterName = Annotated[
    str | None, typer.Option(help="judge replies before they are given: a rater's folder or asked:MODEL")
]
BestOf = Annotated[int, typer.Option(min=1, max=16, help="with --rater: replies it chooses from")]
RefineBy = Annotated[
    str | None, typer.Option(help="with --rater: this chat model rewrites unhelpful replies instead")
]


def chat(
    model: Model = "embedded",
    message: Annotated[list[str] | None, typer.Option(help="say this and leave; may be repeated")] = None,
    strategy: Annotated[str | None, typer.Option(help="force the strategy of the (first) reply")] = None,
    situation: Annotated[str | None, typer.Option(help="what the seeker is going through")] = None,
    safe: Annotated[
        bool, typer.Option("--safe/--unsafe", help="screens and care path; unsafe is for experiments")
    ] = True,
    rater: RaterName = None,
    best_of: BestOf = 4,
    refine_by: RefineBy = None,
    save: Annotated[Path | None, typer.Option(help="write the conversation here at the end")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="with --message: one JSON object a reply")] = False,
) -> None:
    """Talk to a trained run or a chat model."""
    from rich.console import Console

    from hearten.core.errors import UsageError
    from hearten.models.supporters import labels_of, open_supporter
    from hearten.serve.links import LinksConfig, build
    from hearten.serve.terminal import Chat, talk

    if as_json and not message:
        raise UsageError("--json needs a message", fix='hearten chat --message "I failed my exam" --json')
    _needs_rater(rater, refine_by)
    links = LinksConfig(screens=safe, rater=rater, best_of=best_of, refine_by=refine_by)
    supporter = build(open_supporter(model), links)
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
    at_once: Annotated[int, typer.Option(min=1, help="replies made at the same time")] = 16,
    queue: Annotated[int, typer.Option(min=0, help="requests that may wait for a place")] = 64,
    context: Annotated[int, typer.Option(min=256, help="tokens of a conversation the model reads")] = 2048,
    threads: Threads = None,
    keys: Keys = None,
    new_key: NewKey = None,
    requests_per_minute: Annotated[float, typer.Option(min=0.1, help="for each key or address")] = 60,
    region: Annotated[str | None, typer.Option(help="whose help lines are named, as us or gb")] = None,
    minors: Minors = False,
    emotion: Annotated[str | None, typer.Option(help="read the seeker's emotion with this detector")] = None,
    rater: RaterName = None,
    best_of: BestOf = 4,
    refine_by: RefineBy = None,
    notices: Annotated[bool, typer.Option(help="the API's first reply says that it is an AI")] = True,
    keep: Keep = None,
    keep_days: Annotated[int, typer.Option(min=1, help="days after which they are removed")] = 30,
    key_file: KeyFile = None,
    minimum_age: Annotated[int, typer.Option(min=0, help="what visitors confirm; 0 asks nothing")] = 18,
    secure: Annotated[bool, typer.Option(help="behind HTTPS: cookies are sent over it only")] = False,
    trust_proxy: Annotated[bool, typer.Option(help="clients' addresses come from one's own proxy")] = False,
) -> None:
    """A page to talk on and an OpenAI-compatible API, with the screens and care path on."""
    if new_key is not None:
        _make_key(keys, new_key)
        return
    from hearten.lm.engine import EngineConfig
    from hearten.models.supporters import labels_of
    from hearten.serve.keeping import PageSettings
    from hearten.serve.links import LinksConfig
    from hearten.serve.settings import ServeSettings
    from hearten.web.settings import Settings

    _known_region(region)
    _needs_rater(rater, refine_by)
    judging: dict[str, Any] = {"rater": rater, "best_of": best_of, "refine_by": refine_by}
    with tempfile.TemporaryDirectory(prefix="hearten-") as passing:
        place = f"sqlite:///{passing}/web.sqlite"
        _run(
            ServeSettings(
                web=Settings(host=host, port=port, database=place, secure=secure, trust_proxy=trust_proxy),
                model=model,
                labels=labels_of(model),
                engine=EngineConfig(context=context, slots=at_once, threads=threads),
                links=LinksConfig(region=region, minor=minors, emotion=emotion, **judging),
                at_once=at_once,
                queue=queue,
                keys=keys,
                requests_per_minute=requests_per_minute,
                notices=notices,
                page=PageSettings(keep=keep, key_file=key_file, keep_days=keep_days, minimum_age=minimum_age),
            )
        )


def _make_key(path: Path | None, name: str) -> None:
    from hearten.core.errors import UsageError
    from hearten.serve.keys import make_key

    if path is None:
        raise UsageError("--new-key needs a file", fix=f"hearten serve --new-key {name} --keys keys.jsonl")
    print(make_key(path, name))
    print(f"the key of '{name}', shown this once; {path} keeps its hash. Next: hearten serve --keys {path}")


def _known_region(code: str | None) -> None:
    from hearten.safety.resources import region

    if code is not None:
        region(code)


def _needs_rater(rater: str | None, refine_by: str | None) -> None:
    from hearten.core.errors import UsageError

    if refine_by is not None and rater is None:
        fix = "add --rater FOLDER (hearten align rater train makes one) or --rater asked:MODEL"
        raise UsageError("--refine-by needs a rater to say what is unhelpful", fix=fix)


def _run(settings: "ServeSettings") -> None:
    from hearten.serve.mount import open_chain
    from hearten.serve.settings import VARIABLE
    from hearten.web.listening import listen, must_be_free

    must_be_free(settings.web.host, settings.web.port)
    name = open_chain(settings).name  # what is wrong with the model is said before the server starts
    who = f"keys of {settings.keys}" if settings.keys else "this machine alone"
    address = f"http://{settings.web.host}:{settings.web.port}"
    print(f"{name}: page {address}/ · API {address}/v1 for {who}; stop with Ctrl-C", flush=True)
    listen("hearten.app:serving_from_environment", settings.web, VARIABLE, settings.model_dump_json())
