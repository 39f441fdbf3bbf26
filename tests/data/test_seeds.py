"""What is promised of the seed conversations, proved on the file that ships.

Run as a script (`PYTHONPATH=src python tests/data/test_seeds.py`), it prints the composition tables of
`docs/cards/seeds.md`; as tests, it also checks that the card shows exactly those.
"""

import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import pytest

from hearten.core.conversation import Conversation, Role
from hearten.core.jsonl import read_records
from hearten.core.taxonomy import label_set, scenarios

SEEDS = Path(str(files("hearten") / "data" / "seeds.jsonl"))
CARD = Path(__file__).parents[2] / "docs" / "cards" / "seeds.md"

STOCK_PHRASES = (
    "sorry to hear that",
    "completely normal to",
    "that must be so hard",
    "i'm here for you",
    "you've got this",
    "okay to not be okay",
    "ok to not be ok",
    "remember,",
    "one step at a time",
    "take care of yourself",
    "be gentle with yourself",
    "safe space",
    "your feelings are valid",
)

# Conversations in which a life may be at stake, and the free line, open at all hours, that each must name.
CRISES = {
    "seed-022": "988",
    "seed-036": "116 123",
    "seed-039": "13 11 14",
    "seed-049": "13 11 14",
    "seed-056": "988",
    "seed-059": "116 123",
    "seed-066": "14416",
    "seed-080": "988",
    "seed-084": "116 123",
    "seed-086": "116 123",
    "seed-087": "988",
}
THROUGH_A_FRIEND = ("seed-086", "seed-087")
EMERGENCY = {"seed-039": "000", "seed-056": "911", "seed-066": "112", "seed-080": "911", "seed-086": "999"}
DIRECT = re.compile(r"ending your life|end your life|killing yourself|thinking of suicide")
MINORS = ("seed-015", "seed-027", "seed-050", "seed-059", "seed-066", "seed-074")
ASKED_WHAT_IT_IS = ("seed-024", "seed-043", "seed-068")

HUMAN_LIFE = re.compile(
    r"\b(my|our) (wife|husband|partner|mum|mom|mother|father|dad|kids?|son|daughter|job|dog|cat|childhood)\b"
    r"|\bwhen i was\b|\bi used to\b|\bi once\b|\bhappened to me\b|\bi(?:'ve| have) been through\b"
)
METHODS = re.compile(r"\b(overdos\w*|noose|rope|slit|hanging yourself|gas yourself)\b")
MEDICINE = re.compile(
    r"\b(stop|start|increase|reduce|double|skip) (taking )?(your|the) (tablets|pills|meds|dose|medication)"
)


@pytest.fixture(scope="module")
def seeds():
    return read_seeds()


def read_seeds():
    return list(read_records(SEEDS, Conversation))


def supporter_turns(seeds):
    return [(seed.id, turn) for seed in seeds for _, turn in seed.supporter_turns()]


def words(text):
    return re.findall(r"[\w']+", text.lower())


def unquoted(text):
    """What the supporter says in its own voice: without sentences drafted for the seeker."""
    return re.sub(r'"[^"]*"', "", text).lower()


def by_id(seeds, identifiers):
    return [seed for seed in seeds if seed.id in identifiers]


# --- shape -----------------------------------------------------------------------------------------------


def test_there_are_87_numbered_conversations(seeds):
    assert [seed.id for seed in seeds] == [f"seed-{number:03d}" for number in range(1, 88)]
    assert {(seed.source, seed.label_set) for seed in seeds} == {("hearten-seeds", "extes")}


def test_every_scenario_occurs_twice(seeds):
    counts = Counter(seed.profile.scenario for seed in seeds)
    assert set(counts) == {scenario.name for scenario in scenarios()}
    assert min(counts.values()) >= 2


def test_lengths_vary_within_12_to_24(seeds):
    lengths = Counter(len(seed.turns) for seed in seeds)
    assert set(lengths) <= set(range(12, 25))
    assert len(lengths) >= 10
    assert max(lengths.values()) < 20


def test_every_supporter_turn_is_labelled_and_every_strategy_used_40_times(seeds):
    counts = Counter(turn.strategy for _, turn in supporter_turns(seeds))
    assert None not in counts
    assert {strategy: count for strategy, count in counts.items() if count < 40} == {}
    assert len(counts) == len(label_set("extes"))


def test_speakers_do_not_strictly_alternate(seeds):
    doubled = [
        s.id for s in seeds if any(a.speaker is b.speaker for a, b in zip(s.turns, s.turns[1:], strict=False))
    ]
    assert len(doubled) >= 30
    assert sum(seed.turns[0].speaker is Role.SUPPORTER for seed in seeds) >= 5


def test_situations_have_20_to_80_words(seeds):
    assert [seed.id for seed in seeds if not 20 <= len(seed.profile.situation.split()) <= 80] == []


def test_surveys_are_complete_and_not_all_rosy(seeds):
    assert all(seed.survey.complete and seed.survey.detail is not None for seed in seeds)
    change = Counter(seed.survey.initial_intensity - seed.survey.final_intensity for seed in seeds)
    assert change[0] >= 8
    assert change[1] + change[2] >= 40
    assert max(change) <= 3


def test_about_one_star_rating_for_two_or_three_supporter_turns(seeds):
    for seed in seeds:
        ratings = len(list(seed.rated_turns()))
        assert 1.5 <= len(list(seed.supporter_turns())) / ratings <= 3.4, seed.id
    stars = Counter(stars for seed in seeds for stars, _ in seed.rated_turns())
    assert set(stars) == {1, 2, 3, 4, 5}


# --- words -----------------------------------------------------------------------------------------------


def test_no_stock_phrases(seeds):
    found = [
        (s.id, phrase) for s in seeds for t in s.turns for phrase in STOCK_PHRASES if phrase in t.text.lower()
    ]
    assert found == []


def test_no_habits_of_language_models(seeds):
    said = " ".join(turn.text for _, turn in supporter_turns(seeds)).lower()
    assert said.count("it sounds like") <= 15
    assert said.count("i hear you") <= 5
    assert said.count("—") <= 10
    assert sum(turn.text.endswith("?") for _, turn in supporter_turns(seeds)) < 0.4 * len(
        supporter_turns(seeds)
    )
    everything = " ".join(turn.text for seed in seeds for turn in seed.turns)
    assert not re.search(r"\b(Sarah|Emily|Alex|Maya)\b", everything)


def test_supporter_turns_are_short(seeds):
    lengths = [len(turn.text.split()) for _, turn in supporter_turns(seeds)]
    assert sum(12 <= length <= 45 for length in lengths) >= 0.9 * len(lengths)
    assert max(lengths) <= 55


def test_openings_differ(seeds):
    first = Counter(seed.turns[0].text for seed in seeds)
    assert first.most_common(1)[0][1] == 1
    starts = Counter(tuple(words(seed.turns[0].text)[:5]) for seed in seeds)
    assert starts.most_common(1)[0][1] == 1


def test_no_supporter_turn_or_sentence_twice(seeds):
    turns = Counter(turn.text.lower() for _, turn in supporter_turns(seeds))
    assert turns.most_common(1)[0][1] == 1
    sentences = Counter(
        " ".join(words(sentence))
        for _, turn in supporter_turns(seeds)
        for sentence in re.split(r"(?<=[.!?])\s+", turn.text)
    )
    assert [s for s, count in sentences.items() if count > 1 and len(s.split()) > 6] == []


def test_no_near_duplicates(seeds):
    assert closest_pair(seeds)[0] < 0.05


def closest_pair(seeds):
    """(Jaccard similarity, id, id) of the two conversations that share most 5-word shingles."""
    shingles = {seed.id: five_grams(seed) for seed in seeds}
    return max(
        (len(a & b) / len(a | b), name, other) for (name, a), (other, b) in combinations(shingles.items(), 2)
    )


def five_grams(seed):
    said = words(" ".join(turn.text for turn in seed.turns))
    return {tuple(said[i : i + 5]) for i in range(len(said) - 4)}


# --- care ------------------------------------------------------------------------------------------------


def test_crises_name_a_free_line(seeds):
    for seed in by_id(seeds, CRISES):
        said = " ".join(turn.text for _, turn in seed.supporter_turns())
        assert CRISES[seed.id] in said, seed.id
        assert EMERGENCY.get(seed.id, "") in said, seed.id


def test_crises_ask_directly_and_stay(seeds):
    for seed in by_id(seeds, set(CRISES) - set(THROUGH_A_FRIEND)):
        said = [unquoted(turn.text) for _, turn in seed.supporter_turns()]
        asked = next(index for index, text in enumerate(said) if DIRECT.search(text))
        assert "?" in said[asked], seed.id
        assert len(said) - asked > 4, f"{seed.id} leaves soon after asking"
        assert not any(re.search(r"you're not (going to|thinking)", text) for text in said), (
            "a leading question"
        )


def test_a_worried_friend_is_given_the_direct_words(seeds):
    for seed in by_id(seeds, THROUGH_A_FRIEND):
        assert any(DIRECT.search(turn.text.lower()) for _, turn in seed.supporter_turns()), seed.id


def test_a_denial_does_not_end_the_care(seeds):
    for identifier in ("seed-036", "seed-080", "seed-084"):
        (seed,) = by_id(seeds, [identifier])
        denied = next(
            i for i, t in enumerate(seed.turns) if re.match(r"(no no|nah|I looked at the loft)", t.text)
        )
        later = " ".join(t.text for t in seed.turns[denied:] if t.speaker is Role.SUPPORTER)
        assert CRISES[identifier] in later


def test_no_methods_and_no_medicine(seeds):
    for _, turn in supporter_turns(seeds):
        assert not METHODS.search(turn.text.lower()), turn.text
        assert not MEDICINE.search(turn.text.lower()), turn.text


def test_the_supporter_claims_no_human_life(seeds):
    claims = [(name, t.text) for name, t in supporter_turns(seeds) if HUMAN_LIFE.search(unquoted(t.text))]
    assert claims == []


def test_the_supporter_says_what_it_is_to_those_who_ask_and_to_minors(seeds):
    for seed in by_id(seeds, (*ASKED_WHAT_IT_IS, *MINORS)):
        said = " ".join(turn.text for _, turn in seed.supporter_turns())
        assert re.search(r"\b(I'm|I am) an AI\b|computer thing", said), seed.id


# --- the card --------------------------------------------------------------------------------------------


def composition(seeds):
    """The card's tables as Markdown."""
    turns = sum(len(seed.turns) for seed in seeds)
    said = [len(turn.text.split()) for seed in seeds for turn in seed.turns]
    supported = [len(turn.text.split()) for _, turn in supporter_turns(seeds)]
    similarity, *_ = closest_pair(seeds)
    figures = {
        "conversations": len(seeds),
        "utterances": turns,
        "utterances per conversation, mean": f"{turns / len(seeds):.1f}",
        "supporter turns": len(supported),
        "words per utterance, mean": f"{sum(said) / turns:.1f}",
        "words per supporter turn, mean": f"{sum(supported) / len(supported):.1f}",
        "words in all": sum(said),
        "star ratings": sum(len(list(seed.rated_turns())) for seed in seeds),
        "largest 5-gram overlap of two conversations (Jaccard)": f"{similarity:.3f}",
    }
    lengths = Counter(len(seed.turns) for seed in seeds)
    bands = {f"{low} to {low + 2}": sum(lengths[low + i] for i in range(3)) for low in range(12, 24, 3)} | {
        "24": lengths[24]
    }
    return "\n\n".join(
        (
            table(("figure", "value"), figures),
            table(("strategy", "turns"), Counter(str(turn.strategy) for _, turn in supporter_turns(seeds))),
            table(("scenario", "conversations"), Counter(str(seed.profile.scenario) for seed in seeds)),
            table(("utterances", "conversations"), bands),
            table(
                ("initial minus final intensity", "conversations"),
                dict(
                    sorted(
                        Counter(s.survey.initial_intensity - s.survey.final_intensity for s in seeds).items()
                    )
                ),
            ),
        )
    )


def table(head, rows):
    ranked = rows.most_common() if isinstance(rows, Counter) else rows.items()
    return "\n".join(f"| {a} | {b} |" for a, b in (head, ("---", "---:"), *ranked))


def test_the_card_shows_the_composition(seeds):
    card = CARD.read_text(encoding="utf-8")
    for part in composition(seeds).split("\n\n"):
        assert part in card, f"the card lacks\n{part}\nprint the tables with this file as a script"


if __name__ == "__main__":
    print(composition(read_seeds()))
