"""`hearten collect init · approve · calibrate · correct · people · export`.

Commands on files (`approve`, `calibrate`, `correct`) take `conversations.jsonl` of any origin; `people` and
`export` open a study's database beside a running server.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from hearten.core.errors import Failure, UsageError

Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of a table")]
StudyFile = Annotated[Path, typer.Option("--study", help="the study's TOML file")]
DatabaseUrl = Annotated[str, typer.Option("--database", help="sqlite:///FILE or postgresql://USER@HOST/NAME")]
Conversations = Annotated[Path, typer.Argument(help="conversations.jsonl")]
SQLITE = "sqlite:///hearten.sqlite"


def init(
    name: Annotated[str, typer.Argument(help="small letters, digits, hyphens; part of the address")],
    title: Annotated[str, typer.Option(help="on every page")] = "",
    out: Annotated[Path | None, typer.Option(help="where to write; NAME.toml if not given")] = None,
) -> None:
    """Write a study file with every key, the paper's values and what they mean."""
    from hearten.collect.study import Study, as_toml
    from hearten.core.config import build
    from hearten.core.jsonl import replacing

    study = build(Study, {"name": name, "title": title or name.replace("-", " ").capitalize()})
    path = out or Path(f"{name}.toml")
    if path.exists():
        raise UsageError(f"'{path}' is there already", fix="choose another --out, or remove it")
    with replacing(path) as stream:
        stream.write(as_toml(study))
    print(f"wrote {path}; read it through, then: hearten web --study {path}")


def approve(
    conversations: Conversations,
    out: Annotated[Path | None, typer.Option(help="write every verdict with its reasons here")] = None,
    accepted: Annotated[Path | None, typer.Option(help="write the accepted conversations here")] = None,
    study: Annotated[Path | None, typer.Option(help="take the thresholds of this study")] = None,
    needed: Annotated[
        int | None, typer.Option(min=0, max=4, help="supporter criteria that must hold")
    ] = None,
    last_feedback: Annotated[
        float | None, typer.Option(help="the last two stars, where there is no survey")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many")] = None,
    as_json: Json = False,
) -> None:
    """Apply ESConv's auto-approval (Table 1) and count who meets which criterion."""
    from hearten.collect.quality import judge, shares, summary
    from hearten.core.jsonl import write_records

    rule = _thresholds(study, supporter_needed=needed, last_feedback=last_feedback)
    talks = _talks(conversations, limit)
    verdicts = [judge(talk, rule) for talk in talks]
    if out:
        write_records(out, verdicts)
    kept = [talk for talk, verdict in zip(talks, verdicts, strict=True) if verdict.accepted]
    if accepted:
        write_records(accepted, kept)
    rows = [row.model_dump() | {"share": row.share} for row in shares(verdicts)]
    if as_json:
        print(json.dumps({"gates": summary(verdicts), "criteria": rows}))
        return
    _table("criteria", ("gate", "criterion", "at least", "met", "of", "share"), [
        (row["path"], row["criterion"].replace("_", " "), f"{row['threshold']:g}", row["met"], row["asked"],
         f"{row['share']:.1%}") for row in rows
    ])  # fmt: skip
    _table("gates", ("gate", "conversations", "accepted", "share", "intensity to re-check"), [
        (name, row["conversations"], row["accepted"], f"{row['accepted'] / row['conversations']:.1%}",
         row["recheck_intensity"]) for name, row in summary(verdicts).items()
    ])  # fmt: skip
    written = ", ".join(str(path) for path in (out, accepted) if path)
    print(f"wrote {written}" if written else "add --out verdicts.jsonl for the reasons of every conversation")


def calibrate(
    conversations: Conversations,
    judgements: Annotated[
        Path, typer.Option(help='ratings.jsonl with "question": "qualified", "value": "yes" or "no"')
    ],
    study: Annotated[Path | None, typer.Option(help="begin from this study's thresholds")] = None,
    as_json: Json = False,
) -> None:
    """Search the thresholds that agree with human annotators (Cohen's kappa, Table 7)."""
    from hearten.collect.calibration import MOVES, as_rows, choose, human_votes, search
    from hearten.core.jsonl import read_records
    from hearten.core.records import Rating

    votes = human_votes(read_records(judgements, Rating))
    trials = search(_talks(conversations, None), votes, _thresholds(study))
    chosen = choose(trials)
    if as_json:
        print(json.dumps({"trials": as_rows(trials), "chosen": chosen.thresholds}))
        return
    heads = (*(name.replace("_", " ") for name in MOVES), *votes, "mean", "kept")
    rows = [
        (
            *("–" if value is None else f"{value:g}" for value in trial.thresholds.values()),
            *("–" if value is None else f"{value:.3f}" for value in trial.kappas.values()),
            ("" if trial.mean is None else f"{trial.mean:.3f}") + (" ←" if trial is chosen else ""),
            trial.accepted,
        )
        for trial in trials
    ]
    _table(f"agreement on {trials[0].judged} judged conversations", heads, rows)
    print("← the second highest mean, as the paper chose; put it under [quality] in the study's file")


def correct(
    conversations: Conversations,
    votes: Annotated[Path | None, typer.Option(help="ratings.jsonl with strategy votes")] = None,
    decisions: Annotated[Path | None, typer.Option(help="ratings.jsonl of the leader's decisions")] = None,
    out: Annotated[Path | None, typer.Option(help="write the corrected conversations here")] = None,
    study: Annotated[Path | None, typer.Option(help="take the thresholds of this study")] = None,
    as_json: Json = False,
) -> None:
    """Show what reviewers dispute and which intensities look upside down; apply the leader's decisions."""
    from hearten.collect.correction import by_item, decide, tally
    from hearten.collect.quality import judge
    from hearten.core.jsonl import read_records, write_records
    from hearten.core.records import Rating

    talks = _talks(conversations, None)
    cast = list(read_records(votes, Rating)) if votes else []
    disputes = tally(talks, cast)
    rechecks = [talk.id for talk in talks if judge(talk, _thresholds(study)).recheck_intensity]
    made = by_item(read_records(decisions, Rating)) if decisions else {}
    corrected = [decide(talk, made) for talk in talks]
    changed = sum(new != old for new, old in zip(corrected, talks, strict=True))
    if out:
        write_records(out, corrected)
    result = {
        "reviewed": len(disputes),
        "to_leader": [row.model_dump() for row in disputes if row.to_leader],
        "recheck_intensity": rechecks,
        "changed_conversations": changed,
    }
    if as_json:
        print(json.dumps(result))
        return
    rows = [
        (f"{row.conversation_id}#{row.turn}", row.label, ", ".join(f"{k} {n}" for k, n in row.votes.items()))
        for row in disputes
        if row.to_leader
    ]
    _table("disputed by more than 75% of reviewers", ("item", "label", "votes"), rows)
    _table("intensities to look at again", ("conversation",), [(name,) for name in rechecks])
    written = f"; wrote {out}" if out else ""
    print(f"{len(disputes)} utterances reviewed, {changed} conversations changed{written}")


def people(
    study: StudyFile,
    database: DatabaseUrl = SQLITE,
    reset: Annotated[str, typer.Option(help="let this supporter begin the training again")] = "",
    grant: Annotated[str, typer.Option(help="give this supporter one more attempt at the exam")] = "",
    withdraw: Annotated[str, typer.Option(help="delete what this participant wrote")] = "",
    invite: Annotated[
        str, typer.Option(help="a link for: seeker, supporter, judge, any, reviewer, leader")
    ] = "",
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="how many people may use the link")] = 1,
    base: Annotated[str, typer.Option(help="the server's address, for the link")] = "http://127.0.0.1:8000",
    as_json: Json = False,
) -> None:
    """List participants; reset or grant exams, withdraw someone, or make an invitation link."""
    from hearten.collect import people as people_
    from hearten.collect.study import load_study
    from hearten.web import identity

    known, store = load_study(study), _open(database)
    actions = {"reset": reset, "grant": grant, "withdraw": withdraw}
    with store.writing() as session:
        if invite:
            print(base.rstrip("/") + _invite(session, known, invite, uses))
            return
        for action, name in actions.items():
            if name:
                person = people_.by_pseudonym(session, known, name)
                people_.act(session, known, person, action)
                identity.record(session, "command line", action, name)
        rows = people_.listing(session, known)
    if as_json:
        print(json.dumps(rows))
        return
    _table(known.title, ("name", "role", "tutorial", "attempts", "passed", "chats", "state"), [
        tuple(row.values()) for row in rows
    ])  # fmt: skip
    print(f"{len(rows)} people; hearten collect people --invite ROLE makes a link")


def _invite(session: Any, study: Any, role: str, uses: int) -> str:
    from hearten.collect.people import ROLES
    from hearten.core.errors import nearest
    from hearten.web import identity

    valid = (*ROLES, "any", *identity.ROLES)
    if role not in valid:
        raise UsageError(f"unknown role '{role}'", fix=nearest(role, valid))
    staff = role in identity.ROLES
    token = identity.invite(session, study.name, role, uses=1 if staff else uses)
    identity.record(session, "command line", f"invited {role}", study.name)
    return f"/invite/{token}" if staff else f"/study/{study.name}/join/{token}"


def export(
    study: StudyFile,
    database: DatabaseUrl = SQLITE,
    out: Annotated[Path, typer.Option(help="the folder to write into")] = Path("collected"),
    everything: Annotated[bool, typer.Option(help="also what was not accepted")] = False,
    as_json: Json = False,
) -> None:
    """Write conversations.jsonl, verdicts.jsonl, ratings.jsonl and a data card, without contact details."""
    from hearten.collect.export import export as write
    from hearten.collect.study import load_study

    with _open(database).reading() as session:
        done = write(session, load_study(study), out, everything=everything)
    counts = {"conversations": done.conversations, "left_out": done.left_out, "ratings": done.ratings}
    if as_json:
        print(json.dumps({**counts, "removed": done.removed, "folder": str(out)}))
        return
    removed = ", ".join(f"{kind} {number}" for kind, number in sorted(done.removed.items())) or "none found"
    print(
        f"{done.conversations} conversations, {done.left_out} left out; personal details taken out: {removed}"
    )
    print(f"wrote {out}/; next: hearten data check {out}/conversations.jsonl")


def _open(database: str) -> Any:
    """The database of a study that has run."""
    from hearten.web.database import Database

    store = Database(database)
    if store.kind == "sqlite" and not Path(str(store.url.database)).is_file():
        fix = "hearten web --study FILE makes one; or name another with --database"
        raise UsageError(f"no database at '{store.url.database}'", fix=fix)
    store.upgrade()
    return store


def _talks(path: Path, limit: int | None) -> list[Any]:
    from itertools import islice

    from hearten.core.conversation import Conversation
    from hearten.core.jsonl import read_records

    talks = list(islice(read_records(path, Conversation), limit))
    if not talks:
        raise Failure("no conversation in it", where=str(path))
    return talks


def _thresholds(study: Path | None, **changes: float | None) -> Any:
    from hearten.collect.study import Thresholds, load_study

    rule = load_study(study).quality if study else Thresholds()
    return rule.model_copy(update={name: value for name, value in changes.items() if value is not None})


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number < 2 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(width=None if os.isatty(1) else 100).print(table)
