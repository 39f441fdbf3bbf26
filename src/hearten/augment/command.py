"""The door of augmentation: `hearten augment init · validate · preview · run · check · export`."""

import json as json_module
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from hearten.core.errors import Failure, UsageError

if TYPE_CHECKING:
    from hearten.augment.plan import Plan
    from hearten.augment.run import Summary
    from hearten.core.chat import ChatModel

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
PlanFile = Annotated[
    Path | None, typer.Argument(help="Plan file; without one, the folder's or the paper's plan.")
]
Model = Annotated[
    str | None, typer.Option(help="embedded, FILE.gguf, FOLDER, openai:MODEL[@URL], scripted:FILE.")
]
Mode = Annotated[
    Literal["conversation", "turns"] | None,
    typer.Option(
        help="A conversation in one reply, or turn by turn (the default for models on this machine)."
    ),
]
Conversations = Annotated[int | None, typer.Option(help="How many conversations in all.", min=1)]
Seed = Annotated[int | None, typer.Option(help="Seed of every choice and every reply.")]
Cost = Annotated[float | None, typer.Option(help="Most to be spent in all, in the plan's currency.", min=0)]
Concurrency = Annotated[int | None, typer.Option(help="Conversations grown at the same time.", min=1)]
Folder = Annotated[Path, typer.Argument(help="A corpus folder that hearten augment run made.")]
DEFAULT_OUT = Path("runs/grown")


def init(
    out: Annotated[Path, typer.Option(help="Where to write the plan.")] = Path("augment.toml"),
    model: Model = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a plan with the paper's values: 87 seeds, rounds of 1,000 and 10,177, Table 1's quotas."""
    from hearten.augment.plan import Plan, write_plan

    if out.exists() and not force:
        raise UsageError(f"'{out}' exists", fix="--force replaces it, --out names another")
    write_plan(_changed(Plan(), {"model": model}), out)
    print(f"Wrote {out}. Next: hearten augment validate {out}")


def validate(plan: Annotated[Path, typer.Argument(help="Plan file.")], json: Json = False) -> None:
    """Say what a plan would ask for and cost, and what it lacks; nothing is sent."""
    from hearten.augment.plan import load_plan
    from hearten.augment.planning import validate as report_on

    report = report_on(load_plan(plan))
    if json:
        print(json_module.dumps(report, ensure_ascii=False, indent=2))
        return
    table = Table("what", "how much", box=None, pad_edge=False)
    tokens = report["tokens_a_conversation"]
    rounds = " + ".join(f"{size:,}" for size in report["rounds"])
    table.add_row("conversations", f"{report['conversations']:,} ({rounds})")
    table.add_row("requests, at least", f"{report['requests_at_least']:,}")
    table.add_row("tokens a conversation, about", f"{tokens['prompt']:,} in, {tokens['completion']:,} out")
    table.add_row("cost, about", f"{report['cost_about']:,.2f} {report['currency']}")
    table.add_row(
        "minutes at that pace, at least",
        f"{report['minutes_at_least']:,.0f}" if report["minutes_at_least"] else "no pace set",
    )
    table.add_row("prompt", f"{report['prompt']}, {report['strategies_in_prompt']} strategies")
    Console(width=100).print(table)
    for line in report["warnings"]:
        print(f"warning: {line}")
    print(f"Next: hearten augment preview {plan} --count 3")


def preview(
    plan: PlanFile = None,
    model: Model = None,
    mode: Mode = None,
    count: Annotated[int, typer.Option(help="How many conversations.", min=1)] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Keep the replies here: run into it pays nothing for them.")
    ] = None,
    seed: Seed = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Also show the first request's messages.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Grow the first few conversations of a plan and show them with what every check says."""
    from hearten.augment.records import CorpusFolder
    from hearten.augment.run import Nursery

    with _place(out) as folder:
        wanted = _plan(plan, folder, model=model, mode=mode, seed=seed)
        nursery = Nursery(CorpusFolder(folder), wanted, _opener(wanted), quiet=quiet)
        found = nursery.preview(count)
    if json:
        rows = [
            {
                "conversation": _dump(h.conversation()),
                "raw": h.raw,
                "checks": [c.model_dump() for c in checks],
            }
            for h, checks in found
        ]
        print(json_module.dumps(rows, ensure_ascii=False, indent=2))
        return
    console = Console(width=100, highlight=False, markup=False)
    if prompt and found:
        _show_prompt(console, wanted, found[0][0])
    for harvest, checks in found:
        _show_conversation(console, harvest.conversation(), harvest.slot.scenario, harvest.raw)
        _show_checks(console, checks)
    kept = f"Replies kept in {out}. " if out else ""
    print(f"{kept}Next: hearten augment run {plan or ''} --out {out or DEFAULT_OUT}".replace("  ", " "))


def run(
    plan: PlanFile = None,
    model: Model = None,
    mode: Mode = None,
    conversations: Conversations = None,
    out: Annotated[
        Path, typer.Option(help="Corpus folder; one that is there is gone on with.")
    ] = DEFAULT_OUT,
    seed: Seed = None,
    limit: Annotated[int | None, typer.Option(help="Judge at most so many more, then stop.", min=1)] = None,
    cost: Cost = None,
    concurrency: Concurrency = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Grow a corpus, or go on with one: stopped or killed, it resumes and asks for nothing twice."""
    from hearten.augment.records import CorpusFolder
    from hearten.augment.run import Nursery

    changes = {"model": model, "mode": mode, "conversations": conversations, "seed": seed}
    wanted = _plan(plan, out, **changes, cost=cost, concurrency=concurrency)
    found = Nursery(CorpusFolder(out), wanted, _opener(wanted), quiet=quiet).grow(limit)
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False, indent=2))
        return
    _show_summary(found)
    print(f"Wrote {out}. Next: hearten augment {'export' if found.complete else 'run --out'} {out}")


def _show_summary(found: "Summary") -> None:
    account = found.account
    print(f"{found.accepted:,} accepted, {found.rejected:,} rejected; {found.wanted:,} wanted")
    if found.reasons:
        print("rejected by: " + " · ".join(f"{name} {count}" for name, count in found.reasons.most_common()))
    kinds = " · ".join(f"{name} {account[name]:,.0f}" for name in ("answered", "refused", "failed", "lost"))
    print(f"requests: {kinds}; cost {account['cost']:.4f} {found.currency}")
    if found.short:
        missing, places = sum(found.short.values()), len(found.short)
        print(f"short of their quotas when the surplus was used up: {missing} in {places} scenarios")


def check(
    path: Annotated[Path, typer.Argument(help="A corpus folder, or a file of conversations.")],
    plan: Annotated[Path | None, typer.Option(help="Take the bounds of this plan.")] = None,
    show: Annotated[int, typer.Option(help="Reasons shown for each check.", min=0)] = 3,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Count what each check rejected and why; of a plain file of conversations, make the checks."""
    from hearten.augment.report import report_on

    report = report_on(path, plan, show=show, quiet=quiet)
    if json:
        print(json_module.dumps(report, ensure_ascii=False, indent=2))
        return
    table = Table("check", "rejected", "remarked", "for example", box=None, pad_edge=False)
    for name, row in report["checks"].items():
        examples = "; ".join(example["reason"] for example in row["examples"][:1])
        table.add_row(name, f"{row['rejected']:,}", f"{row['remarked']:,}", examples[:60])
    print(f"{report['path']}: {report['accepted']:,} pass, {report['rejected']:,} do not")
    Console(width=100).print(table, markup=False)
    following = f"hearten augment export {path}" if path.is_dir() else "hearten augment run"
    print(f"Next: {following}")


def export(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="Folder to write; else FOLDER/export.")] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of the corpus, for its card; the model's terms may bind it.")
    ] = "not stated",
    reviewed_only: Annotated[
        bool, typer.Option("--reviewed-only", help="Leave out what nobody has looked at.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the corpus with reviewers' decisions applied, its audit trail, and a data card."""
    from hearten.augment.export import export as write
    from hearten.augment.records import CorpusFolder

    target = out or folder / "export"
    found = write(CorpusFolder.open(folder), target, licence=licence, reviewed_only=reviewed_only)
    if json:
        print(json_module.dumps(found, ensure_ascii=False, indent=2))
        return
    names = ("accepted", "rejected", "reviewed", "edited", "discarded", "disputed")
    told = ", ".join(f"{found[name]:,} {name}" for name in names)
    print(f"{found['conversations']:,} conversations ({told})")
    print(f"Wrote {target}. Next: hearten data check {target / 'conversations.jsonl'}")


# --- plans and models -----------------------------------------------------------------------------------


def _plan(path: Path | None, folder: Path, **changes: Any) -> "Plan":
    """The plan named, else the folder's own, else the paper's; with what the command line changes."""
    from hearten.augment.plan import Plan, load_plan

    own = folder / "plan.toml"
    known = path or (own if own.is_file() else None)
    plan = load_plan(known) if known else Plan()
    if known is None and changes.get("mode") is None:
        local = not (changes.get("model") or plan.model).startswith(("openai:", "scripted:"))
        changes["mode"] = "turns" if local else "conversation"
        if local and changes.get("concurrency") is None:
            changes["concurrency"] = 1  # the engine remembers one conversation at a time
    return _changed(plan, changes)


def _changed(plan: "Plan", changes: dict[str, Any]) -> "Plan":
    given = {key: value for key, value in changes.items() if value is not None}
    limits: dict[str, Any] = {key: given.pop(key) for key in ("cost", "concurrency") if key in given}
    size = given.pop("conversations", None)
    plan = plan if size is None or size == plan.wanted else plan.resized(size)
    return plan.model_copy(update={**given, "limits": plan.limits.model_copy(update=limits)})


def _opener(plan: "Plan") -> Any:
    """Name → chat model, opened once; remote ones leave it to us when to ask again."""
    opened: dict[str, ChatModel] = {}

    def open_model(name: str) -> "ChatModel":
        try:
            from hearten.lm.chat import open_chat_model
        except ImportError as error:
            told = f"language models are not installed ({error.name} is missing)"
            raise Failure(told, fix='pip install "hearten[lm]"') from None
        if name not in opened:
            opened[name] = open_chat_model(name, retries=0, timeout=plan.limits.timeout)
        return opened[name]

    return open_model


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="hearten-preview-") as folder:
        yield Path(folder)


# --- showing --------------------------------------------------------------------------------------------


def _dump(conversation: Any) -> Any:
    return None if conversation is None else conversation.model_dump(mode="json", exclude_none=True)


def _show_prompt(console: Console, plan: "Plan", harvest: Any) -> None:
    from hearten.augment.growing import situation_messages
    from hearten.augment.prompting import whole_conversation

    slot = harvest.slot
    turns = plan.mode == "turns"
    messages = (
        situation_messages(slot, plan.seed)
        if turns
        else whole_conversation(plan, slot.scenario, slot.exemplars)
    )
    for message in messages:
        console.print(f"--- {message.role} ---\n{message.content}\n")


def _show_conversation(console: Console, conversation: Any, scenario: str, raw: str) -> None:
    console.rule(scenario)
    if conversation is None:
        console.print(f"not readable as a conversation:\n{raw[:800]}")
        return
    if conversation.profile.situation:
        console.print(f"situation: {conversation.profile.situation}\n")
    for turn in conversation.turns:
        label = f" ({turn.strategy})" if turn.strategy else ""
        console.print(f"{turn.speaker}{label}: {turn.text}")


def _show_checks(console: Console, checks: Any) -> None:
    told = [
        f"{'passed' if c.passed else 'REJECTED'} {c.check}: {c.reason}"
        for c in checks
        if c.reason or not c.passed
    ]
    told = told or ["every check passed without a remark"]
    console.print("\n" + "\n".join(told) + "\n")
