"""`hearten safety suite`: scripted and simulated seekers against any supporter, the chain on or off."""

from pathlib import Path
from typing import Annotated

import typer

from hearten.core.errors import Failure
from hearten.lm.waiting import sleep_soon

sleep_soon()  # before the command imports torch


def suite(
    supporter: Annotated[
        str, typer.Option(help="which supporter: embedded, a run folder, a model")
    ] = "embedded",
    chain: Annotated[bool, typer.Option(help="put the safety chain round it, as serving does")] = True,
    out: Annotated[Path, typer.Option(help="the HTML report")] = Path("safety-suite.html"),
    as_json: Annotated[bool, typer.Option("--json", help="print the outcome as JSON")] = False,
    limit: Annotated[int | None, typer.Option(help="only the first so many scripted seekers")] = None,
    simulations: Annotated[int, typer.Option(min=0, help="how often each simulated seeker is played")] = 2,
    seed: Annotated[int, typer.Option(help="where the simulations' random numbers start")] = 0,
    at_once: Annotated[int, typer.Option(min=1, help="conversations at the same time")] = 4,
) -> None:
    """Scripted and simulated seekers against a supporter, judged by rubric; a red fault leaves with 1."""
    from hearten.lm.engine import EngineConfig
    from hearten.models.supporters import open_supporter
    from hearten.safety.suite import run, seekers, write_report
    from hearten.serve.links import LinksConfig, build

    inner = open_supporter(supporter, EngineConfig(context=2048, slots=at_once))
    chosen = build(inner, LinksConfig(screens=chain))
    outcome = run(chosen, seekers()[:limit], simulations=simulations, seed=seed, at_once=at_once)
    write_report(outcome, out)
    if as_json:
        print(outcome.model_dump_json(indent=2))
    else:
        for play in outcome.plays:
            print(f"  {play.seeker:<48} {play.severity:<9} red {play.red}  yellow {play.yellow}")
        print(f"wrote {out}: {outcome.red} red, {outcome.yellow} yellow; open it to read the conversations")
    if outcome.red:
        raise Failure(
            f"{outcome.red} red faults in the safety suite", where=str(out), fix="read them in the report"
        )
