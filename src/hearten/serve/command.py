"""`hearten chat`: the door to talking."""

import json
from pathlib import Path
from typing import Annotated

import typer


def chat(
    model: Annotated[
        str,
        typer.Argument(metavar="[RUN|MODEL]", help="run folder, embedded, FILE.gguf, FOLDER, openai:MODEL"),
    ] = "embedded",
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
