"""Each check says why; the seeds pass them all; resemblance is exact."""

import pytest

from hearten.augment.checks import NAMES, Checker, local_scorer, repeated_share, tally
from hearten.augment.plan import Bounds
from hearten.augment.records import Check
from hearten.augment.resemblance import Index, hashes, jaccard
from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError
from hearten.core.jsonl import read_records
from hearten.core.places import seeds_file


@pytest.fixture(scope="module")
def seeds():
    return list(read_records(seeds_file(), Conversation))


def talk(*lines, identifier="t"):
    """A conversation from `seeker`/`supporter` lines: "s: …", "h: …"; a filler makes it long enough."""
    speakers = {"s": "seeker", "h": "supporter"}
    rows = [line.partition(": ") for line in lines]
    turns = [{"speaker": speakers[who], "text": text} for who, _, text in rows]
    return Conversation.model_validate({"id": identifier, "label_set": "extes", "turns": turns})


def verdicts(conversation, **bounds):
    loose = {"utterances": (2, 100), **bounds}
    return {check.check: check for check in Checker(Bounds(**loose), None).of_conversation(conversation)}


def test_every_seed_passes_every_check(seeds):
    scorer = local_scorer()
    checker = Checker(Bounds(), scorer)
    failed = [
        (seed.id, check.check, check.reason)
        for seed, toxic in zip(seeds, checker.toxicity(seeds), strict=True)
        for check in (*checker.of_conversation(seed), toxic)
        if not check.passed
    ]
    assert failed == []


def test_turns_in_a_row_and_one_speaker():
    alone = verdicts(talk("s: One.", "s: Two."))["turn-order"]
    assert alone.reason == "only one person speaks"
    many = verdicts(talk("s: A b.", "h: C d.", "h: E f.", "h: G h.", "h: I j."))["turn-order"]
    assert many.reason == "the supporter speaks 4 times in a row"


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"utterances": (3, 9)}, "2 turns, not 3 to 9"),
        ({"words": (2, 3)}, "turn 1 has 4 words, not 2 to 3"),
        ({"mean_words": (1, 2)}, "3.0 words a turn, not 1 to 2"),
    ],
)
def test_length_names_what_is_out_of_bounds(bounds, reason):
    assert verdicts(talk("s: it is so quiet", "h: Since when?"), **bounds)["length"].reason == reason


def test_repetition_counts_runs_by_hand():
    # "a b c d e" has runs abcd, bcde; said twice: 4 runs, 2 different, half of them repeated
    assert repeated_share([["a", "b", "c", "d", "e"]] * 2) == 0.5
    assert repeated_share([["a", "b"]]) == 0
    again = talk("s: I cannot sleep.", "h: Since when?", "s: I cannot sleep.", "h: And then?")
    assert verdicts(again)["repetition"].reason == "1 of 4 turns repeat an earlier one"


def test_helplines_are_no_personal_data_but_other_numbers_are():
    assert (
        verdicts(talk("s: It is bad.", "h: Samaritans are there on 116 123."))["personal-data"].reason == ""
    )
    hers = verdicts(talk("s: Ring me on 0131 555 0182.", "h: I can't ring."))["personal-data"]
    assert not hers.passed
    named = verdicts(talk("s: Debts.", "h: StepChange is free: 0800 138 1111."))["personal-data"]
    assert named.passed
    assert "check that the service exists" in named.reason


def test_saying_that_one_is_an_ai_is_honest_and_boilerplate_is_not():
    honest = talk("s: Are you a person?", "h: No, I'm an AI. I can still listen.")
    assert verdicts(honest)["ai-reference"].passed
    for line in ("As an AI language model, I cannot feel.", "Hello [Your Name]!", "I was trained by OpenAI."):
        assert not verdicts(talk("s: Are you a person?", f"h: {line}"))["ai-reference"].passed
    seeker = verdicts(talk("s: I am an AI and I feel low.", "h: Tell me."))["ai-reference"]
    assert seeker.reason == "turn 1: “I am an AI”"


def test_words_drafted_for_the_seeker_are_not_the_supporters_life():
    drafted = talk("s: What do I write?", 'h: Try: "I lost my job in May."')
    assert verdicts(drafted)["unsafe-advice"].passed
    own = verdicts(talk("s: I lost my job.", "h: I lost my job too, in May."))["unsafe-advice"]
    assert own.reason.startswith("turn 2: human-life")
    assert verdicts(talk("s: Hm.", "h: I lost my job too, in May."), tolerated=("human-life",))[
        "unsafe-advice"
    ].passed


def test_a_life_at_stake_needs_a_line_to_call():
    left = talk("s: I want to kill myself tonight.", "h: That sounds hard. Try a walk.")
    assert "answered without naming help" in verdicts(left)["crisis-care"].reason
    met = talk(
        "s: I want to kill myself tonight.", "h: Are you thinking of ending your life? Samaritans: 116 123."
    )
    assert verdicts(met)["crisis-care"].passed
    assert verdicts(met)["crisis-care"].reason.startswith("turn 1 may be a crisis")


def test_a_check_can_be_switched_off_by_its_name():
    assert "length" not in verdicts(talk("s: Hm.", "h: Yes?"), switched_off=("length",))
    with pytest.raises(UsageError, match="unknown check 'lenght'") as error:
        Checker(Bounds(switched_off=("lenght",)), None)
    assert "did you mean 'length'" in error.value.fix


def test_without_the_scorer_every_record_says_so():
    (check,) = Checker(Bounds(), None).toxicity([talk("s: A b.", "h: C d.")])
    assert check.passed
    assert "not scored" in check.reason


def test_tallies_keep_the_order_of_checks():
    rows = [
        (Check(check="length", passed=False, reason="x"), Check(check="format", passed=True, reason="mended"))
    ]
    found = tally(rows)
    assert list(found) == list(NAMES)
    assert found["length"] == {"rejected": 1, "remarked": 0}
    assert found["format"] == {"rejected": 0, "remarked": 1}


def test_likeness_is_the_exact_jaccard_index():
    # three-word runs: {a b c, b c d} and {b c d, c d e}: one shared of three
    one, other = talk("s: a b c d", "h: x"), talk("s: b c d e", "h: y")
    assert jaccard(hashes(one), hashes(other)) == 1 / 5  # the one-word turns are a run each
    index = Index([one])
    assert index.nearest(other, 0.2).similarity == 1 / 5
    assert index.nearest(other, 0.21) is None


def test_a_copied_seed_is_found_and_the_seeds_are_unlike(seeds):
    index = Index()
    for seed in seeds:
        assert index.nearest(seed) is None
        index.add(seed)
    changed = seeds[5].turns[0].model_copy(update={"text": "Something else entirely opened this one."})
    near = index.nearest(seeds[5].model_copy(update={"turns": (changed, *seeds[5].turns[1:])}))
    assert near.id == seeds[5].id
    assert near.similarity > 0.8
