"""Every published system by name: what `hearten systems` lists and `hearten train --system` takes.

Most names are a class in `models/systems`. Some are another system decoded differently: Oracle and Random are
Joint under another policy (Liu et al. 2021, section 6.2). `prompted` is trained by nobody here: a chat
model asked in words (`models/supporters.py`). `planner` has a training of its own (`models/planner`).
"""

from dataclasses import dataclass

from hearten.core.registry import lookup
from hearten.models.system import Paper
from hearten.models.systems import SYSTEMS
from hearten.models.systems.joint import ESCONV


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of the catalogue."""

    name: str
    system: str | None
    """The class that is trained, by its name in `SYSTEMS`; None where nothing is trained."""
    policy: str
    """Who chooses the strategy when it is decoded, by its name in `lm.decode.POLICIES`."""
    paper: Paper
    needs: frozenset[str]
    note: str = ""


PROMPTED = Paper(
    citation="Zheng et al. 2023",
    title="Building Emotional Support Chatbots in the Era of LLMs",
    backbone="any chat model",
    training={},
    decoding={},
)

PLANNER = Paper(
    citation="hearten",
    title="A strategy policy of our own, for any system",
    backbone="sentence encoder",
    training={},
    decoding={},
)
UNTRAINED = (PROMPTED.backbone, PLANNER.backbone)
"""What stands in place of a backbone's name where `hearten train` has nothing to load."""

VARIANTS = {
    "oracle": Entry("oracle", "joint", "gold", ESCONV, frozenset(), "Joint, gold strategy"),
    "random": Entry("random", "joint", "random", ESCONV, frozenset(), "Joint, strategy by chance"),
    "prompted": Entry(
        "prompted",
        None,
        "",
        PROMPTED,
        frozenset(),
        "chat MODEL or few-shot:N:MODEL",
    ),
    "planner": Entry("planner", None, "", PLANNER, frozenset(), "planner train"),
}

CATALOGUE: dict[str, Entry] = {
    name: Entry(name, name, "argmax" if system.own_head else "sampled", system.paper, system.needs)
    for name, system in SYSTEMS.items()
} | VARIANTS


def entry(name: str) -> Entry:
    """The catalogue's entry.

    Raises:
        UsageError: unknown; with the near matches.
    """
    return lookup(CATALOGUE, name, "system")
