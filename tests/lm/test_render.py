"""The renderer: what is learned stands exactly where it is predicted, whatever is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hearten.core.conversation import Conversation, Profile, Role
from hearten.core.errors import Failure
from hearten.core.protocol import Protocol, examples, protocol
from hearten.core.taxonomy import label_set
from hearten.lm.render import SYSTEM, Renderer, Row, Target, _cut, first_kept, micro_batches, padded

ESCONV = label_set("esconv")
ALL_TURNS = Protocol(name="all", source="here", fractions=(1, 0, 0), min_context=0)


def renderer(folder, labels=ESCONV, **options):
    return Renderer(AutoTokenizer.from_pretrained(folder), labels, **options)


@pytest.fixture(scope="module")
def chatml(tiny_llama):
    return renderer(tiny_llama)


def starts(row):
    """Example → place of its first target."""
    return {target.example: target.position for target in reversed(row.targets)}


def learned(row, number):
    return [row.ids[target.position] for target in row.targets if target.example == number]


def test_targets_are_the_strategy_the_words_and_the_end_of_each_reply(chatml, supporter_turns):
    rows = chatml.conversation_rows(supporter_turns, 1024, 256)
    for row in rows:
        for number in starts(row):
            example = supporter_turns[number]
            assert learned(row, number) == chatml.reply(example.response, example.strategy)
            names = [t.is_strategy for t in row.targets if t.example == number]
            assert names == [True] + [False] * (len(names) - 1)
    seen = [number for row in rows for number in starts(row)]
    assert sorted(seen) == list(range(len(supporter_turns))), "each supporter turn once"


def test_a_row_reads_like_the_chat_it_is(chatml, conversations):
    (row,) = chatml.conversation_rows(examples(conversations[0], ALL_TURNS), 1024, 256)
    turns = conversations[0].turns
    assert chatml.tokenizer.decode(row.ids) == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{turns[0].text}<|im_end|>\n"
        f"<|im_start|>assistant\n[Question]{turns[1].text}<|im_end|>\n"
        f"<|im_start|>user\n{turns[2].text}<|im_end|>\n"
        f"<|im_start|>assistant\n[Restatement or Paraphrasing]{turns[3].text}<|im_end|>"
    )


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
@pytest.mark.parametrize("labels", [ESCONV, None])
@pytest.mark.parametrize("situation", [True, False])
def test_a_prompt_is_a_prefix_of_the_row_it_was_learned_in(tiny, labels, situation, conversations):
    told = renderer(tiny, labels, situation=situation)
    talks = [conversations[3], conversations[3].model_copy(update={"turns": conversations[3].turns[1:]})]
    for talk in talks:  # the second begins with the supporter
        group = examples(talk, ALL_TURNS)
        (row,) = told.conversation_rows(group, 1024, 256)
        for number, start in starts(row).items():
            assert start > 0, "a target is predicted from the id before it"
            assert row.ids[:start] == told.context(group[number].context, group[number].profile)


def test_windowed_examples_keep_to_their_windows(chatml, conversations):
    group = examples(conversations[3], protocol("paper-622"))
    rows = chatml.conversation_rows(group, 1024, 256)
    assert len(rows) == len(group)
    for row, example in zip(rows, group, strict=True):
        assert row.ids[: starts(row)[group.index(example)]] == chatml.context(
            example.context, example.profile
        )


def test_strategies_stand_only_where_the_corpus_has_them(chatml, conversations):
    bare = [turn.model_copy(update={"strategy": None}) for turn in conversations[0].turns]
    labelled = [*bare[:3], conversations[0].turns[3]]
    named = set(chatml.strategy_ids)
    ids = chatml.context(labelled, Profile())
    assert [i for i in ids if i in named] == [chatml.strategy_id(labelled[3].strategy)]
    with pytest.raises(Failure, match="no strategy"):
        chatml.conversation_rows(examples(Conversation(id="x", turns=tuple(bare)), ALL_TURNS), 1024, 256)


def test_without_labels_no_strategy_is_ever_seen(tiny_llama, conversations):
    vanilla = renderer(tiny_llama, None)
    (row,) = vanilla.conversation_rows(examples(conversations[0], ALL_TURNS), 1024, 256)
    assert not any(target.is_strategy for target in row.targets)
    assert "[Question]" not in vanilla.tokenizer.decode(row.ids)
    assert vanilla.strategy_ids == []


def test_a_strategy_of_another_set_is_refused_by_name(chatml):
    with pytest.raises(Failure, match="'Clarification' in label set 'esconv'"):
        chatml.strategy_id(label_set("extes").find("Clarification"))


@pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
def test_strategy_tokens_are_one_id_each_at_the_end_of_the_vocabulary(tiny):
    told = renderer(tiny)
    assert told.strategy_ids == list(range(told.base_vocabulary, told.base_vocabulary + 8))
    for strategy, number in zip(ESCONV, told.strategy_ids, strict=True):
        assert told._ids(f"well {strategy.token} so").count(number) == 1


def test_a_long_prompt_loses_whole_turns_from_its_start(chatml, conversations):
    talk = conversations[3]
    whole = chatml.context(talk.turns, talk.profile)
    opening = chatml.opening(talk.profile)
    for limit in range(len(opening) + 40, len(whole) + 1, 7):
        cut = chatml.context(talk.turns, talk.profile, limit)
        kept = cut[len(opening) :]
        assert len(cut) <= limit
        assert cut[: len(opening)] == opening
        assert whole[len(whole) - len(kept) :] == kept
        openings = [chatml.open_turn(role) for role in Role]
        assert any(kept[: len(one)] == one for one in openings), "it begins with a whole turn"


@pytest.mark.parametrize("tiny", ["blenderbot", "bart"], indirect=True)
def test_an_encoder_decoder_row_is_the_end_of_the_context_and_the_reply(tiny, supporter_turns):
    told = renderer(tiny, style="eos")
    example = supporter_turns[2]
    long = told.pair_row(example, 5, 10_000, 10_000)
    turns = [told._ids(turn.text) for turn in example.context]
    end, start = told.tokenizer.eos_token_id, told.tokenizer.bos_token_id
    labels = [[told.strategy_id(turn.strategy)] if turn.strategy else [] for turn in example.context]
    assert long.source == [i for name, turn in zip(labels, turns, strict=True) for i in (*name, *turn, end)]
    assert long.ids == [start, told.strategy_id(example.strategy), *told._ids(example.response), end]
    assert [t.position for t in long.targets] == list(range(1, len(long.ids)))
    assert {t.example for t in long.targets} == {5}
    short = told.pair_row(example, 5, 12, 6)
    assert short.source == long.source[-12:]
    assert short.ids == long.ids[:7]


@st.composite
def long_rows(draw):
    """A row of replies with context between them."""
    ids, targets = draw(st.integers(1, 60)), []
    for example in range(draw(st.integers(1, 6))):
        length = draw(st.integers(1, 70))
        targets += [Target(ids + place, example, place == 0) for place in range(length)]
        ids += length + draw(st.integers(0, 60))
    return Row(list(range(targets[-1].position + 1)), targets)


@settings(max_examples=200, deadline=None)
@given(long_rows(), st.integers(2, 90).flatmap(lambda w: st.tuples(st.just(w), st.integers(1, w - 1))))
def test_pieces_hold_every_target_once_in_order_and_never_pass_the_window(row, sizes):
    window, overlap = sizes
    pieces = _cut(row, window, overlap)
    told = []
    for piece in pieces:
        assert len(piece.ids) <= window
        assert piece.ids == list(range(piece.ids[0], piece.ids[0] + len(piece.ids))), "one stretch of the row"
        for target in piece.targets:
            assert 1 <= target.position < len(piece.ids), "there is an id before it to predict it from"
            told.append((piece.ids[target.position], target.example, target.is_strategy))
    assert told == [(target.position, target.example, target.is_strategy) for target in row.targets]
    sizes_of = {t.example: sum(o.example == t.example for o in row.targets) for t in row.targets}
    for example, size in sizes_of.items():
        holding = sum(any(t.example == example for t in piece.targets) for piece in pieces)
        assert holding == 1 or size > window - overlap, "a reply that fits is not cut"


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=40), st.integers(1, 300)
)
def test_micro_batches_keep_order_and_budget(sizes, budget):
    rows = [Row([0] * ids, [], source=[0] * source) for ids, source in sizes]
    batches = micro_batches(rows, budget)
    assert [id(row) for batch in batches for row in batch] == [id(row) for row in rows]
    for batch in batches:
        cost = len(batch) * (max(len(r.ids) for r in batch) + max(len(r.source) for r in batch))
        assert padded(batch) == cost
        assert cost <= budget or len(batch) == 1


@pytest.mark.parametrize(
    ("lengths", "room", "stride", "first"),
    [
        ([10, 10, 10], 30, 1, 0),
        ([10, 10, 10], 29, 1, 1),
        ([10, 10, 10], 5, 1, 2),  # the last turn is kept whatever its length
        ([10] * 8, 75, 20, 2),  # 5 too many, rounded up to 20
        ([10] * 9, 75, 20, 2),  # 15 too many: the same turns go, so a prompt cache stays good
        ([10] * 10, 75, 20, 4),
        ([], 5, 1, 0),
    ],
)
def test_a_window_loses_whole_turns_from_the_start(lengths, room, stride, first):
    assert first_kept(lengths, room, stride) == first
