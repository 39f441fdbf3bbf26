import pytest

from hearten.safety.care import CALM_TURNS, Care, walk, words
from hearten.safety.output import inspect
from hearten.safety.resources import named_region, regions
from hearten.safety.screen import Finding

CALM = Finding(crisis=False, severity="none")


def crisis(kind="active-ideation", severity="high"):
    return Finding(crisis=True, severity=severity, kinds=(kind,), evidence=("seen",))


def after(*said, **how):
    """The state after messages, each a text (calm) or (text, finding)."""
    rows = [row if isinstance(row, tuple) else (row, CALM) for row in said]
    return walk([text for text, _ in rows], [finding for _, finding in rows], **how)


BAD = ("i want to die", crisis())


def test_nothing_happens_without_danger():
    care = after("hello", "my boss is rude")
    assert not care.active
    assert words(care) == ""


def test_danger_opens_the_path_with_question_line_professional_and_people():
    care = after(BAD, default_region="us")
    text = words(care)
    assert care.leads
    assert "988" in text
    assert "?" in text
    assert "doctor" in text or "professional" in text
    assert "trust" in text or "friend" in text
    assert len(text.split()) < 110


def test_one_denial_clears_nothing():
    assert after(BAD, "no i'm fine, not suicidal").state == "staying"
    assert after(BAD, "no i'm fine, not suicidal", "so, football").state == "staying"


def test_calm_turns_without_a_word_of_safety_clear_nothing():
    assert after(BAD, *["we had soup"] * 10).state == "staying"


def test_it_ends_only_after_calm_turns_safety_and_an_answered_check_in():
    calm = ["we had soup"] * (CALM_TURNS - 1)
    assert after(BAD, *calm, "i'm feeling better").state == "checkin"
    assert after(BAD, *calm, "i'm feeling better", "hm").state == "staying"
    done = after(BAD, *calm, "i'm feeling better", "i'm okay, i told my sister")
    assert done.state == "calm"
    assert words(done)
    assert not after(BAD, *calm, "i'm feeling better", "i'm okay, i told my sister", "soup").active


def test_danger_in_the_check_in_opens_it_again():
    care = after(BAD, "soup", "soup", "i'm better", ("i lied, i have a plan", crisis("plan", "imminent")))
    assert care.state == "open"


def test_imminent_names_emergency_company_and_distance():
    text = words(after(("tonight", crisis("plan", "imminent")), default_region="ie"))
    assert "112 or 999" in text
    assert "be with you" in text or "next to another person" in text
    assert "away from" in text or "distance" in text


def test_the_region_is_asked_for_gently_and_used_once_known():
    assert "country" in words(after(BAD))
    care = after(BAD, "i'm in scotland")
    assert care.region == "uk"
    assert "116 123" in words(care)


def test_a_child_is_sent_to_a_childrens_line_and_an_adult():
    text = words(after(("im 12 and he touches me", crisis("minor")), default_region="uk"))
    assert "Childline" in text
    assert "adult" in text or "teacher" in text


def test_wordings_change_from_answer_to_answer():
    said, messages = [], [BAD]
    for number in range(8):
        said.append(words(after(*messages, default_region="us"), before=said))
        messages.append(f"still here {number}")
    assert len(set(said)) >= 7
    assert any("988" in text for text in said[1:])


@pytest.mark.parametrize("code", [None, *regions()])
@pytest.mark.parametrize("severity", ["medium", "high", "imminent"])
@pytest.mark.parametrize(
    "kind",
    [
        "passive-ideation",
        "active-ideation",
        "plan",
        "self-harm",
        "abuse",
        "violence",
        "medical",
        "minor",
        "eating",
        "voices",
        "third-party",
    ],
)
def test_no_wording_does_what_the_output_screen_forbids(kind, severity, code):
    text = words(after(("x", crisis(kind, severity)), default_region=code))
    assert inspect(text).clean, inspect(text).found
    assert "{" not in text


def test_every_wording_in_the_table_is_clean():
    from hearten.safety.normal import table

    for section in table("care").values():
        for wordings in section.values():
            assert all(inspect(text).clean for text in wordings)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I live in Glasgow, Scotland", "uk"),
        ("from India", "in"),
        ("in the U.S.", "us"),
        ("help us", None),
        ("at home", None),
    ],
)
def test_regions_are_recognised_by_name(text, code):
    assert named_region(text) == code


def test_every_region_has_an_emergency_number_a_free_line_and_its_source():
    for row in regions().values():
        assert row.emergency
        assert row.crisis[0].always
        assert all(line.source for line in (*row.crisis, *row.abuse, *row.minor, *row.poison))


def test_a_fresh_care_says_nothing():
    assert words(Care()) == ""
