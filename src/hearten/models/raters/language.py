"""A rater that is a language model: an instruction per facet, answers read by scoring the class names.

Low-rank adapters on the attention's query, key, value and output (Muffin, section 5.1) of any causal
backbone. What is shared is computed once: the instruction for as long as the rater lives, a context for all
its replies, a reply for all continuations of its class names (`lm/tree.py`, `lm/choices.py`). Training shares
in the same way: one row holds an instruction and as many labelled replies as fit.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import DynamicCache

from hearten.core.config import Config
from hearten.core.conversation import Role, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import read_json, write_json
from hearten.core.rater import Asked, Facet, facet, facets, verdict
from hearten.core.records import FacetVerdict
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, autocast, open_backbone
from hearten.lm.choices import Choices
from hearten.lm.tree import Branch, flatten, hidden_states
from hearten.models.system import write_tensors

WEIGHTS, SETTINGS = "rater.safetensors", "rater.json"
ANSWER = "\n\n### Response:\n"
"""What stands before the class name, as in the Alpaca frame of the released code."""
ROW = 768
"""Ids judged in one pass."""
NAMES = {Role.SEEKER: "Seeker", Role.SUPPORTER: "Supporter"}


class LanguageRaterConfig(Config):
    """Which backbone and adapter; rank, alpha and modules are the released code's."""

    backbone: BackboneConfig = BackboneConfig(
        adapter=AdapterConfig(rank=16, alpha=16, dropout=0.05, modules="attention")
    )
    facets: tuple[str, ...] = tuple(facets())
    reply_limit: int = 96
    """Ids of a reply that are read."""
    context_limit: int = 160
    """Last ids of the context that are read."""


class Question(NamedTuple):
    """Replies to one context that a facet is asked about."""

    context: tuple[Turn, ...]
    replies: tuple[str, ...]


class LanguageRater(nn.Module):
    """Scores the class names of every facet.

    Args:
        config: backbone, adapter and facets.

    Raises:
        UsageError: two class names of a facet do not tokenise apart.
    """

    def __init__(self, config: LanguageRaterConfig, name: str = "language") -> None:
        super().__init__()
        self.name, self.config, self.facets = name, config, config.facets
        self.backbone = open_backbone(config.backbone, None)
        tokenizer = self.backbone.renderer.tokenizer
        self.choices = {one: Choices(tokenizer, facet(one).classes) for one in self.facets}
        self._instructions = {one: self._ids(instruction(one)) for one in self.facets}
        self._answer = self._ids(ANSWER)
        self._caches: dict[str, Any] = {}

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.renderer.tokenizer(text, add_special_tokens=False).input_ids)

    def context_ids(self, chosen: Facet, context: Sequence[Turn]) -> list[int]:
        """The turns a facet looks at, cut to their last ids."""
        shown = context[-chosen.turns :] if chosen.turns else ()
        said = "".join(f"{NAMES[turn.speaker]}: {turn.text}\n" for turn in shown)
        return self._ids(said)[-self.config.context_limit :]

    def reply_ids(self, reply: str) -> list[int]:
        """A reply and what stands before the answer."""
        return [*self._ids(f"Reply: {reply}")[: self.config.reply_limit], *self._answer]

    def tree(self, name: str, questions: Sequence[Question]) -> tuple[list[Branch], list[int]]:
        """Branches of one facet's questions, and which of them end where an answer begins."""
        branches: list[Branch] = []
        answers: list[int] = []
        for question in questions:
            shown = self.context_ids(facet(name), question.context)
            parent = len(branches) if shown else None
            if shown:
                branches.append(Branch(shown))
            for reply in question.replies:
                answers.append(len(branches))
                branches.append(Branch(self.reply_ids(reply), parent))
        return branches, answers

    def node_scores(self, states: Tensor, name: str, node: tuple[int, ...]) -> Tensor:
        """Log P of each child of a trie node (N, C), from the hidden states there (N, H)."""
        table = self.backbone.model.get_output_embeddings().weight[self.choices[name].nodes[node]]
        with torch.autocast(states.device.type, enabled=False):  # a few numbers: fp32 costs nothing here
            scores: Tensor = (states.float() @ table.float().T).log_softmax(-1)
        return scores

    @torch.no_grad()
    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply, one verdict per facet with the probability of each class."""
        if not replies:
            return []
        self.eval()
        asked = Question(tuple(context), tuple(replies))
        with autocast(self.backbone.device):
            columns = [self.probabilities(name, [asked]) for name in self.facets]
        return [
            tuple(verdict(name, found[row]) for name, found in zip(self.facets, columns, strict=True))
            for row in range(len(replies))
        ]

    def judge(self, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
        """The verdict on one facet for every reply in its own context."""
        self.eval()
        questions = [Question(tuple(context), (reply,)) for context, reply in asked]
        found: list[dict[str, float]] = []
        for row in rows_of(self, name, questions, ROW):
            with autocast(self.backbone.device):
                found += self.probabilities(name, [questions[number] for number in row])
        return [verdict(name, one) for one in found]

    @torch.no_grad()
    def probabilities(self, name: str, questions: Sequence[Question]) -> list[dict[str, float]]:
        """The probability of each class of facet `name`, for every reply of `questions` in order."""
        choices = self.choices[name]
        branches, answers = self.tree(name, questions)
        inner = choices.inner
        branches += [Branch(node, answer) for answer in answers for node in inner]
        flat = flatten(branches)
        cache, before = self._prefix(name)
        states = hidden_states(self.backbone.model, flat, cache, before)
        ends = flat.ends(branches)
        tails = ends[len(branches) - len(answers) * len(inner) :]
        places: dict[tuple[int, ...], list[int]] = {(): [ends[answer] for answer in answers]}
        places |= {node: tails[number :: len(inner)] for number, node in enumerate(inner)}
        scores = {node: self.node_scores(states[where], name, node).exp() for node, where in places.items()}
        return [
            {
                label: float(
                    torch.stack([scores[node][row, place] for node, place in choices.steps(k)]).prod()
                )
                for k, label in enumerate(choices.names)
            }
            for row in range(len(answers))
        ]

    def _prefix(self, name: str) -> tuple[Any, int]:
        """The cache of a facet's instruction, computed once."""
        ids = self._instructions[name]
        if name not in self._caches:
            known = torch.tensor([ids], device=self.backbone.device)
            cache = DynamicCache()
            self.backbone.model.base_model(input_ids=known, past_key_values=cache, use_cache=True)
            self._caches[name] = cache
        return self._caches[name], len(ids)

    def train(self, mode: bool = True) -> "LanguageRater":
        """Training changes the weights, so what was cached of the instructions is dropped."""
        self._caches.clear()
        super().train(mode)
        return self

    def loglikelihoods(self, name: str, questions: Sequence[Question], classes: Sequence[int]) -> Tensor:
        """Log P of the given class of every reply of `questions`, (N,); with gradients."""
        choices = self.choices[name]
        branches, answers = self.tree(name, questions)
        shifted = [Branch(one.ids, 0 if one.parent is None else one.parent + 1) for one in branches]
        branches = [Branch(self._instructions[name]), *shifted]
        wanted: list[tuple[int, tuple[int, ...], int, int]] = []  # reply, node, place, branch
        for row, (answer, label) in enumerate(zip(answers, classes, strict=True)):
            for node, place in choices.steps(label):
                if node:
                    branches.append(Branch(node, answer + 1))
                wanted.append((row, node, place, len(branches) - 1 if node else answer + 1))
        flat = flatten(branches)
        states, ends = hidden_states(self.backbone.model, flat), flat.ends(branches)
        total = torch.zeros(len(answers), device=states.device)
        for node in {node for _, node, _, _ in wanted}:
            rows = [one for one in wanted if one[1] == node]
            scores = self.node_scores(states[[ends[one[3]] for one in rows]], name, node)
            gained = scores[range(len(rows)), [one[2] for one in rows]]
            total = total.index_add(0, torch.tensor([one[0] for one in rows], device=total.device), gained)
        return total

    def cost(self, name: str, question: Question) -> int:
        """Ids that a question adds to its row."""
        return sum(len(branch.ids) for branch in self.tree(name, [question])[0])

    def trainable(self) -> dict[str, nn.Parameter]:
        """The adapter's parameters, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def save(self, folder: Path) -> None:
        """Write the adapter and what is needed to build the rest again."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS, dict(self.trainable()))
        write_json(folder / SETTINGS, {"kind": "language", "config": self.config.model_dump()})

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            Failure: the file holds other parameters than this rater trains.
        """
        state, mine = load_file(folder / WEIGHTS), self.trainable()
        if set(state) != set(mine):
            strange = sorted(set(state) ^ set(mine))[0]
            raise Failure(f"weights do not fit this rater: '{strange}'", where=str(folder / WEIGHTS))
        for name, value in state.items():
            mine[name].copy_(value)
        self._caches.clear()


def open_language_rater(folder: Path) -> LanguageRater:
    """The rater that `save` wrote into `folder`, its adapter folded into its weights."""
    config = LanguageRaterConfig.model_validate(read_json(folder / SETTINGS)["config"])
    rater = LanguageRater(config, name=str(folder))
    rater.load(folder)
    rater.backbone.fold()
    return rater


def instruction(name: str) -> str:
    """What a rater of facet `name` is told."""
    return (files("hearten.models") / "prompts" / "facets" / f"{name}.md").read_text(encoding="utf-8")


def rows_of(
    rater: LanguageRater, name: str, questions: Sequence[Question], limit: int
) -> Iterator[list[int]]:
    """Numbers of `questions`, in order, in rows of at most `limit` ids each."""
    row: list[int] = []
    size = 0
    for number, question in enumerate(questions):
        cost = rater.cost(name, question)
        if row and size + cost > limit:
            yield row
            row, size = [], 0
        row.append(number)
        size += cost
    if row:
        yield row
