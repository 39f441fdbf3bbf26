"""`hearten web`: one server for everything people do in a browser besides chatting with a supporter.

A door like the command line itself: it opens collection studies, grown corpora for review and quality
studies, checks all of them before it listens, and says where each is found.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hearten.core.errors import Failure, UsageError

SQLITE = "sqlite:///hearten.sqlite"


def web(
    study: Annotated[
        list[Path] | None, typer.Option("--study", help="a study's TOML file; may be given several times")
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option("--corpus", help="a folder of hearten augment run, to review; may be repeated"),
    ] = None,
    reviewers: Annotated[
        int, typer.Option(min=1, max=9, help="how many people review each conversation")
    ] = 1,
    quality: Annotated[
        list[Path] | None, typer.Option("--quality", help="a quality study's TOML file; may be repeated")
    ] = None,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    database: Annotated[
        str, typer.Option("--database", help="sqlite:///FILE or postgresql://USER@HOST/NAME")
    ] = SQLITE,
    processes: Annotated[
        int, typer.Option(min=1, help="server processes; more than one needs PostgreSQL")
    ] = 1,
    secure: Annotated[bool, typer.Option(help="behind HTTPS: cookies are sent over it only")] = False,
    trust_proxy: Annotated[
        bool, typer.Option(help="read clients' addresses from one's own reverse proxy")
    ] = False,
    new_leader: Annotated[bool, typer.Option(help="print an invitation for another study leader")] = False,
) -> None:
    """Serve studies at /study and /judge, corpora at /review, quality studies at /rate, staff at /admin."""
    from hearten.web.database import Database
    from hearten.web.listening import listen, must_be_free
    from hearten.web.settings import VARIABLE, Settings

    opened = _open_all(study or [], corpus or [], quality or [])
    store = Database(database)
    if processes > 1 and store.kind != "postgresql":
        raise UsageError(
            "several processes share the work only on PostgreSQL", fix="--database postgresql://…"
        )
    settings = Settings(
        host=host,
        port=port,
        database=database,
        studies=_resolved(study),
        corpora=_resolved(corpus),
        reviewers=reviewers,
        quality=_resolved(quality),
        secure=secure,
        trust_proxy=trust_proxy,
    )
    must_be_free(host, port)
    store.upgrade()
    _announce(store, opened, f"http://{host}:{port}", new_leader)
    store.close()
    listen(
        "hearten.app:from_environment", settings, VARIABLE, settings.model_dump_json(), processes=processes
    )


def _resolved(paths: Sequence[Path] | None) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in paths or ())


def _open_all(studies: Sequence[Path], corpora: Sequence[Path], quality: Sequence[Path]) -> list[str]:
    """Refuse what is not right before anything listens; returns a line about each, `{base}` for the address.

    Raises:
        UsageError: nothing to serve, or one of them is not right.
    """
    from hearten.augment.quality import load_quality
    from hearten.augment.records import CorpusFolder
    from hearten.collect.study import load_study

    if not (studies or corpora or quality):
        raise UsageError("nothing to serve", fix="--study FILE, --corpus FOLDER or --quality FILE")
    opened = [load_study(path) for path in studies]
    _content_is_here(opened)
    lines = [
        f"participants: {{base}}/{'judge' if one.judge else 'study'}/{one.name} "
        f"({'open to everyone' if one.open else 'by invitation'})"
        for one in opened
    ]
    names = [CorpusFolder.open(path).path.resolve().name for path in corpora]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two corpora are called '{min(twice)}'", fix="rename one of the folders")
    lines += [f"reviewers: {{base}}/review/{name}" for name in names]
    return lines + [f"raters: {{base}}/rate/{load_quality(path).name}" for path in quality]


def _content_is_here(studies: Iterable[Any]) -> None:
    from importlib.util import find_spec

    from hearten.collect.training import tutorial

    wanted = [f"{name} (study {one.name})" for one in studies for name in one.models]
    if wanted and find_spec("hearten.models") is None:
        raise Failure(
            "no supporting models are installed", where=", ".join(wanted), fix="pip install 'hearten[lm]'"
        )
    for one in studies:
        tutorial(one.training.content)


def _announce(store: Any, lines: Sequence[str], base: str, new_leader: bool) -> None:
    """Say where everything is; the first leader gets a link that works once."""
    from hearten.web import identity

    for line in lines:
        print(line.format(base=base))
    with store.writing() as session:
        if new_leader or not identity.has_leader(session):
            token = identity.invite(session, "", "leader", days=2)
            print(f"study leader: {base}/invite/{token} (works once, for two days)")
        else:
            print(f"study leader: {base}/admin")
    print("stop with Ctrl-C; nothing that was confirmed is lost", flush=True)
