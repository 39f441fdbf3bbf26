"""Growing: quotas, rounds, order, cost, retries, resume; with a made-up model in this process."""

import random
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest
import replies_made_up as made_up

from hearten.augment import asking
from hearten.augment.growing import tidy, wrong_turn
from hearten.augment.plan import Limits, Plan, Prices, apportion, load_plan, table_1, write_plan
from hearten.augment.records import CorpusFolder, Request
from hearten.augment.run import Nursery
from hearten.core.chat import Answer, Piece, Refused, Unavailable
from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records
from hearten.core.locks import Taken, alone
from hearten.core.places import seeds_file

SEEDS = list(read_records(seeds_file(), Conversation))
FEW = {"Breakups or Divorce": 3.0, "Academic Stress": 2.0, "Caregiver Support": 1.0}


class MadeUpModel:
    """Answers as the made-up server does; `trouble` may raise first."""

    name = "made-up"

    def __init__(self, delay=0.0, trouble=lambda seed, tries: None):
        self.asked, self.delay, self.trouble = Counter(), delay, trouble

    def answer(self, messages, *, sampling=None, stream=False):
        self.asked[sampling.seed] += 1
        self.trouble(sampling.seed, self.asked[sampling.seed])
        time.sleep(random.uniform(0, self.delay))
        text = made_up.respond(messages[0].content, sampling.seed, SEEDS)
        return Answer(text=text, finish="stop", prompt_tokens=1000, completion_tokens=500)

    def complete(self, messages, *, sampling=None, n=1):
        return [self.answer(messages, sampling=sampling).text]

    def stream(self, messages, *, sampling=None):
        yield self.complete(messages, sampling=sampling)[0]


def small(**changes):
    given = {"model": "made-up", "mode": "conversation", "rounds": (9,), "quotas": FEW, **changes}
    return Plan.model_validate(given)


def grow(folder, plan, model=None, limit=None):
    model = model or MadeUpModel()
    return Nursery(CorpusFolder(folder), plan, lambda name: model, quiet=True).grow(limit)


def corpus(folder):
    """Everything judged, without the times."""
    rows = []
    for accepted, one in CorpusFolder(folder).grown():
        row = one.model_dump(mode="json")
        row["provenance"].pop("created")
        rows.append((accepted, row))
    return rows


def ledger(folder):
    return list(read_records(CorpusFolder(folder).requests, Request))


@pytest.fixture(autouse=True)
def quick_waits(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.001)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A corpus of two rounds, grown without trouble by one thread."""
    folder = tmp_path_factory.mktemp("whole")
    plan = small(rounds=(6, 9), limits={"concurrency": 1}, surplus=3)
    return folder, plan, grow(folder, plan)


def test_quotas_are_table_1s_and_rounds_keep_them(whole):
    assert sum(table_1().values()) == 11183, "the paper's rows, whose sum it prints as 11,177"
    assert apportion(12, FEW) == {"Breakups or Divorce": 6, "Academic Stress": 4, "Caregiver Support": 2}
    folder, plan, found = whole
    counts = Counter(
        (row["provenance"]["round"], row["provenance"]["scenario"]) for ok, row in corpus(folder) if ok
    )
    for number, size in enumerate(plan.rounds, 1):
        assert {name: counts[number, name] for name in FEW} == apportion(size, FEW)
    assert (found.accepted, found.complete, found.short) == (15, True, {})


def test_every_reply_is_accounted_for(whole):
    folder, _, found = whole
    used = [identifier for _, row in corpus(folder) for identifier in row["provenance"]["requests"]]
    answered = [line.id for line in ledger(folder) if line.status == "answered"]
    assert sorted(used) == sorted(answered)
    assert len(set(used)) == len(used) == found.account["answered"]
    assert found.account["lost"] == found.account["failed"] == 0
    assert len(corpus(folder)) == found.accepted + found.rejected
    assert all(any(not check["passed"] for check in row["checks"]) for ok, row in corpus(folder) if not ok)


def test_what_was_rejected_is_what_was_spoilt(whole):
    folder, _, _ = whole
    kinds = {line.id: made_up.kind_of(line.seed) for line in ledger(folder)}
    for accepted, row in corpus(folder):
        last = kinds[row["provenance"]["requests"][-1]]
        outcome = "near-duplicate" if last in ("copy", "twin") else made_up.KINDS[last].outcome
        failed = [check["check"] for check in row["checks"] if not check["passed"]]
        if last == "twin" and accepted:
            continue  # the first of several twins is nobody's duplicate
        expected = {"accepted": [], "again": failed}.get(outcome, [outcome])
        assert failed == expected, (row["id"], last)


def test_what_was_accepted_is_the_next_rounds_exemplars(whole):
    folder, _, _ = whole
    scenario = {row["conversation"]["id"]: row["provenance"]["scenario"] for ok, row in corpus(folder) if ok}
    for _, row in corpus(folder):
        origin = row["provenance"]
        for shown in origin["exemplars"]:
            if origin["round"] == 1:
                assert shown.startswith("seed-")
            else:
                assert shown.startswith("grown-r1-")
                assert scenario[shown] == origin["scenario"]


def test_a_conversation_says_that_it_was_grown(whole):
    folder, plan, _ = whole
    row = next(row for ok, row in corpus(folder) if ok)
    assert row["conversation"]["source"] == "hearten-augment"
    assert row["conversation"]["label_set"] == "extes"
    assert row["provenance"]["model"] == "made-up"
    assert row["provenance"]["prompt"].startswith("extes@")
    assert row["provenance"]["cost"] == 0
    assert load_plan(folder / "plan.toml") == plan


def test_many_threads_end_with_the_same_files(whole, tmp_path):
    folder, plan, _ = whole
    busy = plan.model_copy(update={"limits": Limits(concurrency=6)})
    grow(tmp_path, busy, MadeUpModel(delay=0.004))
    assert corpus(tmp_path) == corpus(folder)


def test_a_run_in_pieces_ends_with_the_same_files(whole, tmp_path):
    folder, plan, found = whole
    model, sizes = MadeUpModel(), [1, 6, 3]
    for size in [*sizes, None]:
        again = grow(tmp_path, plan, model, limit=size)
    assert corpus(tmp_path) == corpus(folder)
    assert again.as_dict() == found.as_dict()
    assert set(model.asked.values()) == {1}


def test_a_finished_corpus_asks_for_nothing(whole):
    folder, plan, found = whole
    model = MadeUpModel()
    assert grow(folder, plan, model).as_dict() == found.as_dict()
    assert not model.asked


def test_another_plan_is_refused_and_another_pace_is_not(whole):
    folder, plan, _ = whole
    with pytest.raises(UsageError, match="seed, surplus differ"):
        grow(folder, plan.model_copy(update={"seed": 14, "surplus": 2.0}))
    pace = plan.model_copy(update={"limits": Limits(concurrency=2, cost=9), "prices": Prices(prompt=1)})
    assert grow(folder, pace).accepted == 15


def test_two_processes_do_not_grow_one_corpus(whole):
    folder, plan, _ = whole
    model = MadeUpModel()
    with alone(folder / ".lock"), pytest.raises(Taken, match="another process"):
        grow(folder, plan, model)
    assert not model.asked


def test_a_torn_line_is_asked_for_again_and_nothing_else(whole, tmp_path):
    folder, plan, _ = whole
    for name in ("plan.toml", "requests.jsonl", "accepted.jsonl", "rejected.jsonl"):
        content = (folder / name).read_bytes()
        cut = {"requests.jsonl": -2, "accepted.jsonl": len(content) // 2}.get(name, len(content))
        (tmp_path / name).write_bytes(content[:cut])
    model = MadeUpModel()
    grow(tmp_path, plan, model)
    assert sum(model.asked.values()) == 1, "only the request whose answer was torn"


def test_busy_servers_are_asked_again_and_nothing_is_lost(whole, tmp_path):
    folder, plan, _ = whole

    def trouble(seed, tries):
        if tries == 1 and seed % 3 == 0:
            raise Unavailable("busy", retry_after=0.001 if seed % 2 else None, worked=seed % 5 == 0)

    found = grow(tmp_path, plan, MadeUpModel(trouble=trouble))
    assert corpus(tmp_path) == corpus(folder)
    failed = [line for line in ledger(tmp_path) if line.status == "failed"]
    assert len(failed) == found.account["failed"] > 2
    assert {line.reason for line in failed} == {"busy"}


def test_a_server_that_stays_away_ends_the_run_and_it_goes_on_later(whole, tmp_path):
    folder, plan, _ = whole

    def gone(seed, tries):
        if seed % 11 == 0:
            raise Unavailable("gone")

    with pytest.raises(Unavailable, match="no answer in 6 tries: gone"):
        grow(tmp_path, plan, MadeUpModel(trouble=gone))
    model = MadeUpModel()
    grow(tmp_path, plan, model)
    assert corpus(tmp_path) == corpus(folder)


def test_a_wrong_key_ends_the_run_at_once(tmp_path):
    def wrong(seed, tries):
        raise Failure("wrong key")

    model = MadeUpModel(trouble=wrong)
    with pytest.raises(Failure, match="wrong key"):
        grow(tmp_path, small(limits={"concurrency": 1}), model)
    assert sum(model.asked.values()) == 1


def test_a_refusal_rejects_one_conversation(tmp_path):
    def filtered(seed, tries):
        if seed % 4 == 0:
            raise Refused("content filter")

    found = grow(tmp_path, small(surplus=2), MadeUpModel(trouble=filtered))
    refused = [row for ok, row in corpus(tmp_path) if not ok and "refused" in row["checks"][0]["reason"]]
    assert len(refused) == found.account["refused"] > 0


def test_the_cost_limit_is_never_passed_and_can_be_raised(whole, tmp_path):
    folder, plan, _ = whole
    prices = Prices(prompt=10, completion=30)  # 0.025 a request; at most about 0.1 by its bound
    poor = plan.model_copy(update={"prices": prices, "limits": Limits(concurrency=4, cost=0.3)})
    with pytest.raises(asking.Spent, match="is spent"):
        grow(tmp_path, poor)
    assert 0.15 < sum(line.cost for line in ledger(tmp_path) if line.status == "answered") <= 0.3
    rich = poor.model_copy(update={"limits": Limits(cost=50)})
    found = grow(tmp_path, rich)
    assert found.account["cost"] == pytest.approx(0.025 * found.account["answered"])
    assert [row["id"] for _, row in corpus(tmp_path)] == [row["id"] for _, row in corpus(folder)]


def test_an_empty_purse_is_empty_whatever_the_sums_round_to():
    purse = asking.Purse(limit=1.0, spent=0.0)
    holds = [purse.hold(most) for most in (0.1, 0.2, 0.3)]
    for hold in holds:
        hold.__enter__()
    assert 0.1 + 0.2 + 0.3 - 0.1 - 0.2 - 0.3 > 0, "what was once taken for a request under way, for ever"
    for hold in holds:
        hold.__exit__(None, None, None)
    with pytest.raises(asking.Spent), purse.hold(2.0):
        pass


class InPieces:
    """A model on this machine that counts, as the engine does."""

    name = "in-pieces"

    def pieces(self, messages, *, sampling=None):
        text = made_up.respond(messages[0].content, sampling.seed, SEEDS)
        yield Piece(text=text[:50])
        yield Piece(text=text[50:], finish="stop", read=700, written=300)

    def complete(self, messages, *, sampling=None, n=1):
        raise AssertionError("its pieces are counted")

    def stream(self, messages, *, sampling=None):
        raise AssertionError("its pieces are counted")


def test_a_model_that_counts_is_believed(tmp_path):
    grow(tmp_path, small(), InPieces(), limit=2)
    lines = [line for line in ledger(tmp_path) if line.status == "answered"]
    assert {(line.prompt_tokens, line.completion_tokens, line.estimated, line.finish) for line in lines} == {
        (700, 300, False, "stop")
    }


def test_requests_keep_their_pace():
    pacer = asking.Pacer(per_minute=60 / 0.02, stop=threading.Event())
    start = time.monotonic()
    for _ in range(6):
        pacer.turn()
    assert time.monotonic() - start >= 0.1, "six requests, five gaps of 20 ms"


def test_everybody_waits_while_the_server_wants_a_rest():
    pacer = asking.Pacer(per_minute=0, stop=threading.Event())
    pacer.hold(0.05)
    start = time.monotonic()
    pacer.turn()
    assert time.monotonic() - start >= 0.045


def test_a_stopped_run_does_not_wait():
    stop = threading.Event()
    stop.set()
    with pytest.raises(asking.Stopped):
        asking.Pacer(per_minute=0, stop=stop).sleep(60)


def test_a_preview_pays_for_what_the_run_will_need(whole, tmp_path):
    folder, plan, _ = whole
    model = MadeUpModel()
    nursery = Nursery(CorpusFolder(tmp_path), plan, lambda name: model, quiet=True)
    shown = nursery.preview(3)
    assert [harvest.slot.id for harvest, _ in shown] == ["r1-00001", "r1-00002", "r1-00003"]
    assert all(checks for _, checks in shown)
    grow(tmp_path, plan, model)
    assert corpus(tmp_path) == corpus(folder)
    assert set(model.asked.values()) == {1}


class Chatter:
    """Says a sentence of its own for every turn of mode `turns`; sometimes something it should not."""

    name = "chatter"

    def complete(self, messages, *, sampling=None, n=1):
        draw = random.Random(sampling.seed)
        if draw.random() < 0.2:
            return [draw.choice(("", "As an AI language model, I cannot feel.", "AI (Clarification): "))]
        system = messages[0].content
        if system.startswith("Someone looks"):
            return [f"User: {made_up.good(draw, 'x')['description']}"]
        spoken = made_up.supporter(draw, 5) if "You are an AI" in system else made_up.seeker(draw, 3, 99)
        return [f'"{spoken}"']

    def stream(self, messages, *, sampling=None):
        yield self.complete(messages, sampling=sampling)[0]


def test_turn_by_turn_conversations_are_in_form_whatever_the_model_says(tmp_path):
    plan = small(mode="turns", rounds=(6,), surplus=2, limits={"concurrency": 3})
    found = grow(tmp_path, plan, Chatter())
    assert found.accepted == 6
    for accepted, row in corpus(tmp_path):
        talk = Conversation.model_validate(row["conversation"])
        speakers = [turn.speaker for turn in talk.turns]
        assert all(one is not other for one, other in pairwise(speakers))
        assert all(turn.strategy for _, turn in talk.supporter_turns())
        assert not any('"' in turn.text or "AI (" in turn.text for turn in talk.turns)
        if accepted:
            assert 8 <= len(talk.turns) <= 24
            assert talk.profile.situation
            assert {turn.speaker for turn in talk.turns} == {Role.SEEKER, Role.SUPPORTER}
    assert row["provenance"]["prompt"].startswith("turns@")
    assert found.account["answered"] == len([line for line in ledger(tmp_path) if line.status == "answered"])


STRAYED = "it speaks in the other's voice"


@pytest.mark.parametrize(
    ("text", "speaker", "why"),
    [
        ("I sold the van on Thursday.", Role.SEEKER, "it repeats an earlier turn"),
        ("I lost the key and my nerve.", Role.SEEKER, ""),
        (
            "Thank you, your courage inspires us and you are brave.",
            Role.SEEKER,
            "it speaks in the other's voice",
        ),
        ("I love that, and my day is good.", Role.SUPPORTER, "it speaks in the other's voice"),
        ("What did you tell her about it?", Role.SUPPORTER, ""),
        ("You clearly have severe depression.", Role.SUPPORTER, "the output screen would stop it"),
        (
            "As an AI language model, I am here for you, only you.",
            Role.SUPPORTER,
            "it speaks as an assistant",
        ),
    ],
)
def test_a_turn_that_strays_is_asked_for_again(text, speaker, why):
    said = [{"speaker": Role.SEEKER, "text": "I sold the van on Thursday."}]
    assert wrong_turn(text, said, speaker) == why


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('Supporter: "That was hard."', "That was hard."),
        ("AI (Clarification): Which part?\nUser: All.", "Which part?"),
        ("\n\n  One. Two. Three. Four.", "One. Two. Three."),
        ("It was late. And then she", "It was late."),
        ("", ""),
    ],
)
def test_a_turn_is_tidied(reply, found):
    assert tidy(reply) == found
    assert tidy("And then she", cut=True) == ""


def test_a_plan_survives_its_file(tmp_path):
    plan = small(
        prices={"prompt": 0.15, "completion": 0.6, "currency": "EUR"}, checks={"against": ("a b.jsonl",)}
    )
    write_plan(plan, tmp_path / "p.toml")
    assert load_plan(tmp_path / "p.toml") == plan


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ('modell = "x"', "unknown key 'modell'", "did you mean 'model'"),
        (
            '[quotas]\n"Breakup or Divorce" = 1',
            "unknown scenario 'Breakup or Divorce'",
            "did you mean 'Breakups or",
        ),
        ("attempts = 0", "greater than or equal to 1", ""),
    ],
)
def test_a_wrong_plan_is_refused_with_the_nearest_name(tmp_path, line, what, fix):
    (tmp_path / "p.toml").write_text(line, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        load_plan(tmp_path / "p.toml")
    assert what in error.value.what
    assert fix in error.value.fix
