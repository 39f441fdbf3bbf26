"""`hearten safety suite`: the scripted seekers of `hearten.safety.suite` against any supporter, the chain on
or off.
"""

from pathlib import Path
from typing import Annotated

import typer

from hearten.core.errors import Failure


def suite(
    supporter: Annotated[
        str, typer.Option(help="which supporter: embedded, a run folder, a model")
    ] = "embedded",
    chain: Annotated[bool, typer.Option(help="put the safety chain round it, as serving does")] = True,
    out: Annotated[Path, typer.Option(help="the HTML report")] = Path("safety-suite.html"),
    as_json: Annotated[bool, typer.Option("--json", help="print the outcome as JSON")] = False,
    limit: Annotated[int | None, typer.Option(help="only the first so many seekers")] = None,
) -> None:
    """Scripted seekers against a supporter, judged by rubric; a red fault leaves with exit code 1."""
    from hearten.models.supporters import open_supporter
    from hearten.safety.suite import run, seekers, write_report
    from hearten.serve.links import LinksConfig, build

    outcome = run(build(open_supporter(supporter), LinksConfig(screens=chain)), seekers()[:limit])
    write_report(outcome, out)
    if as_json:
        print(outcome.model_dump_json(indent=2))
    else:
        for play in outcome.plays:
            print(f"  {play.seeker:<34} {play.severity:<9} red {play.red}  yellow {play.yellow}")
        print(f"wrote {out}: {outcome.red} red, {outcome.yellow} yellow; open it to read the conversations")
    if outcome.red:
        raise Failure(
            f"{outcome.red} red faults in the safety suite", where=str(out), fix="read them in the report"
        )
