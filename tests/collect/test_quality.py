"""Auto-approval, calibration and correction, each against Table 1, Table 7 or hand-worked arithmetic."""

import pytest

from hearten.collect.calibration import choose, human_votes, kappa, neighbours, search
from hearten.collect.correction import by_item, decide, tally
from hearten.collect.quality import judge, shares, summary
from hearten.collect.study import Thresholds
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.records import Rating

RULE = Thresholds()
EIGHT = "one two three four five six seven eight"
SIX = "one two three four five six"


def talk(id="c1", pairs=8, supporter=EIGHT, seeker=SIX, stars=(), survey=None, strategy="Question"):
    turns = []
    for number in range(pairs):
        feedback = stars[number] if number < len(stars) else None
        turns.append({"speaker": "seeker", "text": seeker, "feedback": feedback})
        turns.append({"speaker": "supporter", "text": supporter, "strategy": strategy})
    return Conversation.model_validate({"id": id, "turns": turns, "survey": survey or {}})


def survey(before=5, after=3, empathy=3, relevance=4, detail=None):
    names = {
        "initial_intensity": before,
        "final_intensity": after,
        "empathy": empathy,
        "relevance": relevance,
    }
    return {**names, "detail": detail}


def test_table_1_exactly_on_every_threshold_is_accepted():
    verdict = judge(talk(survey=survey(after=4)), RULE)
    assert verdict.accepted
    assert verdict.path == "survey"
    assert [row.met for row in verdict.criteria] == [True] * 5


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"survey": survey(after=5)}, True),  # three of four
        ({"survey": survey(empathy=2)}, True),
        ({"survey": survey(relevance=3)}, True),
        ({"survey": survey(), "supporter": "only three words"}, True),
        ({"survey": survey(empathy=2, relevance=3)}, False),  # two of four
        ({"survey": survey(), "seeker": "five words are too few"}, False),  # the seeker's is required
        ({"survey": survey(detail=1)}, True),  # detail is not required
        ({"survey": survey(), "pairs": 7}, False),  # 14 utterances, filtered before
    ],
)
def test_three_of_four_and_the_seekers(changes, accepted):
    verdict = judge(talk(**changes), RULE)
    assert verdict.accepted is accepted
    assert bool(verdict.reasons) is not accepted


def test_a_reason_names_value_and_threshold():
    verdict = judge(talk(survey=survey(empathy=2, relevance=3)), RULE)
    assert verdict.reasons == (
        "2 of 4 supporter criteria, 3 needed: empathy 2 (at least 3); relevance 3 (at least 4)",
    )


def test_unfinished_is_filtered_and_unknown_is_not():
    assert judge(talk(survey=survey()), RULE, finished=False).path == "filtered"
    assert judge(talk(survey=survey()), RULE, finished=None).accepted


@pytest.mark.parametrize(
    ("stars", "accepted"), [((1, 5, 5), True), ((5, 4, 5), False), ((5,), False), ((), False)]
)
def test_without_a_survey_the_last_two_stars_count(stars, accepted):
    verdict = judge(talk(stars=stars), RULE)
    assert (verdict.path, verdict.accepted) == ("no survey", accepted)


def test_the_no_survey_rule_is_a_parameter():
    assert judge(talk(stars=(4, 4)), RULE.model_copy(update={"last_feedback": 4})).accepted


def test_a_seeker_who_may_have_misread_the_scale_is_marked():
    assert judge(talk(survey=survey(before=3, after=5)), RULE).recheck_intensity
    assert not judge(talk(survey=survey(before=3, after=5, empathy=1)), RULE).recheck_intensity


def test_shares_and_summary_count_every_gate():
    verdicts = [
        judge(talk(survey=survey(empathy=2)), RULE),
        judge(talk(survey=survey()), RULE),
        judge(talk(), RULE),
    ]
    empathy = next(row for row in shares(verdicts) if row.criterion == "empathy")
    assert (empathy.met, empathy.asked, empathy.share) == (1, 2, 0.5)
    assert summary(verdicts)["all"] == {"conversations": 3, "accepted": 2, "recheck_intensity": 0}


def test_kappa_by_hand():
    # observed 3/4; yes-shares 1/2 and 3/4: expected 3/8 + 1/8 = 1/2; (3/4 - 1/2) / (1/2) = 1/2
    assert kappa([True, True, False, False], [True, True, True, False]) == pytest.approx(0.5)
    assert kappa([True, True], [True, True]) is None


def test_the_search_tries_table_7():
    # 13 rules of Table 7 and detail 2, 3, 4 are among them: base, 1 improvement, 2 lengths, 2 empathy, 2
    # relevance, 3 detail, 2 seeker lengths
    assert len(neighbours(RULE)) == 13


def test_the_second_best_mean_is_chosen():
    rows = [talk("good", survey=survey()), talk("bad", survey=survey(empathy=1, relevance=1))]
    rows += [talk("edge", survey=survey(empathy=2, relevance=4, after=5))]
    said = {"good": "yes", "bad": "no", "edge": "yes"}
    votes = human_votes(Rating(item=i, rater="A", question="qualified", value=v) for i, v in said.items())
    trials = search(rows, votes, RULE)
    means = sorted({trial.mean for trial in trials if trial.mean is not None}, reverse=True)
    assert choose(trials).mean == means[1]
    assert max(means) == 1.0


def test_calibration_refuses_what_it_cannot_read():
    with pytest.raises(Failure, match="neither yes nor no"):
        human_votes([Rating(item="x", rater="A", question="qualified", value="maybe")])
    with pytest.raises(Failure, match="no rating"):
        human_votes([])


def vote(rater, value, item="c1#1"):
    return Rating(item=item, rater=rater, question="strategy", value=value)


def test_only_more_than_three_quarters_go_to_the_leader():
    chat = talk()
    three_of_four = [
        vote("a", "Information"),
        vote("b", "Information"),
        vote("c", "Others"),
        vote("d", "Question"),
    ]
    assert tally([chat], three_of_four)[0].to_leader is False  # exactly 75%
    all_four = [*three_of_four[:3], vote("d", "Others")]
    dispute = tally([chat], all_four)[0]
    assert dispute.to_leader is True
    assert dispute.votes == {"Information": 2, "Others": 2}


def test_decisions_change_label_and_intensity_and_nothing_else():
    chat = talk(survey=survey(after=5))
    made = decide(
        chat,
        by_item(
            [
                vote("leader", "Information"),
                Rating(item="c1", rater="leader", question="final_intensity", value=1),
            ]
        ),
    )
    assert made.turns[1].strategy.name == "Information"
    assert made.survey.final_intensity == 1
    assert made.turns[3:] == chat.turns[3:]
    with pytest.raises(Failure, match="not an intensity"):
        decide(chat, by_item([Rating(item="c1", rater="leader", question="final_intensity", value=9)]))
