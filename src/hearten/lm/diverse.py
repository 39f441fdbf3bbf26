"""Diverse beam search (Vijayakumar et al. 2016), for decoder-only and encoder–decoder models alike.

The beams of a context are parted into groups. At every step a group searches as beam search does, but a word
that earlier groups chose at this step costs it `penalty` a time (Hamming diversity); no n-gram is said twice,
neither from the reply nor from the context; the end waits for `min_tokens`. A group is over when no open beam
can still beat its finished ones, and then costs nothing more. Several contexts are searched at once; prompts
are read once (`lm/decode.py`), and reordering beams copies no cache of a decoder-only model.

Sequences and scores are those of group beam search in transformers 4.x (it left the library in 5.x), held by
golden data. One difference: there a finished group goes on "saying" the padding token, which later groups
then avoid; where padding is the end token they end later for it. Here a finished group is silent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hearten.lm.backbone import Backbone
from hearten.lm.decode import DiverseDecoding, PairStepper, Stepper

NEVER = -1e9
"""Score of a beam that does not exist yet: at the first step all beams of a group are one."""

Grams = dict[tuple[int, ...], set[int]]
"""First ids of an n-gram → the ids that ended it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A reply that the search finished."""

    ids: tuple[int, ...]
    """Without the end token."""
    score: float
    """What the search ranked it by: sum of penalised log-probabilities / length^length_penalty."""
    logprob: float
    """Mean log-probability of its ids and its end token, where it ended."""
    group: int


@dataclass(slots=True)
class Beam:
    """A reply under way."""

    said: tuple[int, ...]
    score: float
    """Sum of penalised log-probabilities."""
    logprob: float
    row: int
    """Its row in the stepper."""


@dataclass(slots=True)
class Group:
    """Beams that search together, and the best they finished."""

    number: int
    beams: list[Beam]
    ended: list[Ending] = field(default_factory=list)
    done: bool = False

    def end(self, ids: tuple[int, ...], score: float, logprob: float, length: int, power: float) -> None:
        """Keep a finished reply if it is among the best; as many as there are beams are kept."""
        self.ended.append(Ending(ids, score / length**power, logprob / length, self.number))
        if len(self.ended) > len(self.beams):
            self.ended.remove(min(self.ended, key=lambda one: one.score))

    def settle(self, best: float, length: int, power: float) -> None:
        """The group is done when its worst finished reply is no worse than any open one could be now."""
        full = len(self.ended) >= len(self.beams)
        self.done = full and min(one.score for one in self.ended) >= best / length**power


@dataclass(frozen=True, slots=True)
class Past:
    """What a context forbids: its n-grams, and the ids right before the reply."""

    grams: Grams
    lead: tuple[int, ...]


def diverse_words(
    backbone: Backbone, stepper: Stepper, scores: Tensor, decoding: DiverseDecoding, strategies: Sequence[int]
) -> tuple[list[list[int]], list[float]]:
    """The replies of every context, best first, and their mean log-probabilities; one a row.

    Args:
        backbone: the model.
        stepper: has read `decoding.n` equal rows for each context, and their strategies.
        scores: of the first word, (contexts · n, V).
        decoding: the search.
        strategies: the strategy ids said before the first word, one a row; empty where there are none.
    """
    pasts = []
    for row in range(0, len(stepper.prompts), decoding.n):
        named = [strategies[row]] if strategies else []
        start = [int(stepper.start)] if isinstance(stepper, PairStepper) else []
        pasts.append(past_of(stepper.prompts[row], [*start, *named], decoding, causal=not start))
    found = Search(decoding, backbone.renderer.end_id, backbone.strategy_ids, pasts).run(stepper, scores)
    flat = [one for endings in found for one in endings]
    return [list(one.ids) for one in flat], [one.logprob for one in flat]


def past_of(prompt: Sequence[int], before: Sequence[int], decoding: DiverseDecoding, *, causal: bool) -> Past:
    """What may not be repeated: the context's n-grams (if asked), and those that cross into the reply."""
    size = decoding.no_repeat
    if not decoding.no_repeat_context:
        return Past({}, tuple(before))
    if causal:
        whole = [*prompt, *before]
        return Past(grams_of(whole, size), tuple(whole[-(size - 1) :] if size > 1 else ()))
    return Past(grams_of(prompt, size), tuple(before))


def grams_of(ids: Sequence[int], size: int) -> Grams:
    """Every n-gram of `ids`; none where `size` is 0."""
    grams: Grams = {}
    for end in range(size - 1, len(ids)) if size else ():
        grams.setdefault(tuple(ids[end - size + 1 : end]), set()).add(ids[end])
    return grams


class Search:
    """One search over several contexts.

    Args:
        decoding: beams, groups, penalties and lengths.
        end: the end token.
        forbidden: ids that may never be said (strategy tokens), (K,).
        pasts: one a context.
    """

    def __init__(self, decoding: DiverseDecoding, end: int, forbidden: Tensor, pasts: Sequence[Past]) -> None:
        self.decoding, self.end, self.forbidden, self.pasts = decoding, end, forbidden, pasts
        self.width = decoding.n // decoding.groups
        self.groups = [
            [self._group(context, number) for number in range(decoding.groups)]
            for context in range(len(pasts))
        ]

    def _group(self, context: int, number: int) -> Group:
        first = context * self.decoding.n + number * self.width
        beams = [Beam((), 0.0 if k == 0 else NEVER, 0.0, first + k) for k in range(self.width)]
        return Group(number, beams)

    def run(self, stepper: Stepper, scores: Tensor) -> list[list[Ending]]:
        """The finished replies of every context, best first, `decoding.n` each."""
        for length in range(self.decoding.max_tokens):
            if length:
                beams = [beam for group in self._open() for beam in group.beams]
                if not beams:
                    break
                stepper.keep(torch.tensor([beam.row for beam in beams], device=scores.device))
                scores = stepper.next(torch.tensor([beam.said[-1] for beam in beams], device=scores.device))
                for row, beam in enumerate(beams):
                    beam.row = row
            self._step(scores, length)
        for group in self._open():
            for beam in list(group.beams):
                said = len(beam.said)
                group.end(beam.said, beam.score, beam.logprob, said, self.decoding.length_penalty)
        return [self._ranked(groups) for groups in self.groups]

    def _open(self) -> Iterator[Group]:
        return (group for groups in self.groups for group in groups if not group.done)

    def _ranked(self, groups: Sequence[Group]) -> list[Ending]:
        ended = [one for group in groups for one in group.ended]
        return sorted(ended, key=lambda one: one.score)[::-1]

    def _step(self, scores: Tensor, length: int) -> None:
        """One word for every open beam, group after group."""
        logprobs = scores.float().index_fill(-1, self.forbidden, float("-inf")).log_softmax(-1)
        chosen: list[list[int]] = [[] for _ in self.groups]  # words said at this step, by context
        for number in range(self.decoding.groups):
            contexts = [c for c, groups in enumerate(self.groups) if not groups[number].done]
            if contexts:
                self._group_step(number, contexts, logprobs, chosen, length)

    def _group_step(
        self, number: int, contexts: list[int], logprobs: Tensor, chosen: list[list[int]], length: int
    ) -> None:
        beams = [beam for context in contexts for beam in self.groups[context][number].beams]
        plain = logprobs[[beam.row for beam in beams]]  # (contexts · width, V)
        owners = [context for context in contexts for _ in range(self.width)]
        allowed = self._penalised(plain.clone(), beams, owners, chosen, length)
        allowed += torch.tensor([beam.score for beam in beams], device=allowed.device)[:, None]
        size = allowed.shape[-1]
        best, places = allowed.view(len(contexts), -1).topk(2 * self.width, dim=-1)
        for row, context in enumerate(contexts):
            group = self.groups[context][number]
            options = [
                (score, *divmod(place, size))
                for score, place in zip(best[row].tolist(), places[row].tolist(), strict=True)
            ]
            gains = [float(plain[row * self.width + parent, token]) for _, parent, token in options]
            self._grow(group, options, gains, length)
            chosen[context] += [beam.said[-1] for beam in group.beams]

    def _penalised(
        self,
        scores: Tensor,
        beams: Sequence[Beam],
        owners: Sequence[int],
        chosen: list[list[int]],
        length: int,
    ) -> Tensor:
        """`scores` less what diversity costs, without what may not be said."""
        for row, (beam, owner) in enumerate(zip(beams, owners, strict=True)):
            for token in chosen[owner]:
                scores[row, token] -= self.decoding.penalty
            banned = self._banned(beam, self.pasts[owner])
            if banned:
                scores[row, list(banned)] = float("-inf")
        if length < self.decoding.min_tokens:
            scores[:, self.end] = float("-inf")
        return scores

    def _banned(self, beam: Beam, past: Past) -> set[int]:
        """Words that would end an n-gram said before."""
        size = self.decoding.no_repeat
        said = (*past.lead, *beam.said)
        if not size or len(said) < size - 1:
            return set()
        tail = said[len(said) - size + 1 :]
        return past.grams.get(tail, set()) | grams_of(said, size).get(tail, set())

    def _grow(
        self, group: Group, options: Sequence[tuple[float, int, int]], gains: Sequence[float], length: int
    ) -> None:
        """Turn the best (score, parent, word) of a group into its next beams and endings."""
        power, grown = self.decoding.length_penalty, []
        for rank, ((score, parent, token), gain) in enumerate(zip(options, gains, strict=True)):
            beam = group.beams[parent]
            if token == self.end:
                if rank < self.width:
                    group.end(beam.said, score, beam.logprob + gain, length + 1, power)
                continue
            grown.append(Beam((*beam.said, token), score, beam.logprob + gain, beam.row))
            if len(grown) == self.width:
                break
        group.beams = grown
        group.settle(options[0][0], length + 1, power)
