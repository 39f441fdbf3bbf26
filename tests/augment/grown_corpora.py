"""A small grown corpus on the disk, as `hearten augment run` leaves it."""

from hearten.augment.plan import Plan, write_plan
from hearten.augment.records import Check, CorpusFolder, Grown, Provenance
from hearten.core.conversation import Conversation
from hearten.core.jsonl import write_records
from hearten.core.taxonomy import label_set

SAID = (
    "My landlord sold the house and we have to be out by spring.",
    "That takes the ground from under you. How did you hear of it?",
    "By letter. My son asked whether we will still have the tree.",
    "You are carrying his question and your own.",
    "Yes. I keep smiling at him and then I sit in the car.",
    "What would make the next week a little lighter?",
)


def talk(name: str, number: int) -> Conversation:
    """A made-up conversation of six turns."""
    names = label_set("extes").names
    turns = [
        {"speaker": "seeker" if place % 2 == 0 else "supporter", "text": f"{text} ({number})"}
        | ({"strategy": names[(number + place) % len(names)]} if place % 2 else {})
        for place, text in enumerate(SAID)
    ]
    profile = {"situation": "The house is sold."}
    return Conversation.model_validate({"id": name, "label_set": "extes", "profile": profile, "turns": turns})


def grown(name: str, number: int, scenario: str, *checks: Check, readable: bool = True) -> Grown:
    provenance = Provenance(
        model="scripted", mode="conversation", prompt="extes@0", scenario=scenario, exemplars=(), round=1,
        seed=number, requests=(f"{name}.s01.a1",),
    )  # fmt: skip
    conversation = talk(f"talk-{name}", number) if readable else None
    return Grown(
        id=name,
        conversation=conversation,
        raw=None if readable else "?",
        provenance=provenance,
        checks=checks,
    )


def grown_corpus(folder, accepted=2, rejected=0):
    """`folder/grown` with conversations `g0…` that the checks let through and `b0…` that they held back."""
    place = CorpusFolder(folder / "grown")
    place.path.mkdir()
    write_plan(Plan(), place.plan)
    good = Check(check="strategies", passed=True, reason="one label was mended")
    bad = Check(check="length", passed=False, reason="6 turns, 12 are the least")
    write_records(place.accepted, [grown(f"g{n}", n, "Job Loss", good) for n in range(accepted)])
    rows = [grown(f"b{n}", 50 + n, "Breakups or Divorce", bad) for n in range(rejected)]
    write_records(place.rejected, [*rows, grown("u0", 99, "Job Loss", bad, readable=False)])
    return place.path
