"""Systems that are trained from nothing; the frame they share.

The subclass says which model (`parts/scratch.py` or its own child of it) and which further losses. The
vocabulary is learned from the training examples before the system is built (`fitted`) and kept in the
system's settings, so a run folder holds all that is needed. Strategies are not used.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from hearten.core.errors import Failure
from hearten.core.records import Example, Reply
from hearten.core.taxonomy import LabelSet
from hearten.core.taxonomy import labels as plain_labels
from hearten.lm.backbone import Batch
from hearten.lm.decode import Decoding, StrategyPolicy, generate
from hearten.lm.render import Renderer
from hearten.models.parts.codebook import classified
from hearten.models.parts.scratch import (
    SPECIALS,
    Encoded,
    ScratchBackbone,
    ScratchConfig,
    ScratchModel,
    learn_tokenizer,
    place_vectors,
    smoothed,
)
from hearten.models.system import Likelihood, System, SystemConfig, reply_likelihoods

EMOTIONS = plain_labels("emotions").names[: plain_labels("emotions").paper]
"""The paper's seven; the released file's other four go to their nearest."""
MAIN = {"nervousness": "anxiety", "pain": "sadness", "guilt": "shame", "jealousy": "anger"}


class Scratch(System):
    """A system that is trained from nothing; the subclass says which model."""

    model_class: ClassVar[type[ScratchModel]] = ScratchModel
    uses_strategies: ClassVar[bool] = False
    config_class: ClassVar[type[SystemConfig]] = ScratchConfig
    config: ScratchConfig

    @classmethod
    def fitted(cls, config: SystemConfig, examples: Sequence[Example]) -> SystemConfig:
        """Learn the vocabulary from everything said in the training examples."""
        assert isinstance(config, ScratchConfig)
        if config.tokenizer:
            return config
        texts = {turn.text for one in examples for turn in one.context} | {one.response for one in examples}
        return config.model_copy(update={"tokenizer": learn_tokenizer(sorted(texts), config)})

    def open(self, config: SystemConfig, labels: LabelSet) -> ScratchBackbone:
        """The small Transformer with its vocabulary.

        Raises:
            Failure: the vocabulary has not been learned.
        """
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        assert isinstance(config, ScratchConfig)
        if not config.tokenizer:
            raise Failure("this system has no vocabulary yet", fix="build it with fitted(config, examples)")
        named = dict(zip(("unk_token", "pad_token", "eos_token", "bos_token"), SPECIALS, strict=False))
        tokenizer: Any = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(config.tokenizer),
            additional_special_tokens=list(SPECIALS[4:]),
            **named,
        )
        renderer = Renderer(tokenizer, None, style="tagged", situation=config.backbone.situation)
        roles = (tokenizer.convert_tokens_to_ids("<usr>"), tokenizer.convert_tokens_to_ids("<sys>"))
        model = self.model_class(config, len(tokenizer), roles)
        return ScratchBackbone(model, renderer, config.backbone)

    def prepare(self, examples: Sequence[Example]) -> None:
        """Start the embeddings from word vectors where some are named."""
        if self.config.vectors:
            place_vectors(Path(self.config.vectors), self.backbone.model.embedding, self.vocabulary())

    def vocabulary(self) -> dict[str, int]:
        """Word → id."""
        words: dict[str, int] = self.backbone.renderer.tokenizer.get_vocab()
        return words

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """`response`, with smoothed labels, and what else the model gives."""
        model = self.backbone.model
        gold = torch.tensor([self.emotion(one) for one in batch.examples], device=batch.ids.device)
        owner = batch.example_of.new_empty(len(batch.ids))
        owner[batch.target_rows] = batch.example_of  # one row an example
        encoded = model.encode(batch.source, batch.source_mask, gold[owner])
        states = self.spoken(encoded, batch)
        logits = self.backbone.logits(states[batch.target_rows, batch.target_places])
        losses = {"response": smoothed(logits, batch.target_ids, self.config.smoothing)}
        return losses | self.further(encoded, gold[owner], batch)

    def spoken(self, encoded: Encoded, batch: Batch) -> Tensor:
        """States (B, T, H) of the decoder over the gold replies."""
        states: Tensor = self.backbone.model.decode(encoded.memory, batch.source_mask, batch.ids)
        return states

    def further(self, encoded: Encoded, gold: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Other named losses; `gold` (B,) numbers the seeker's emotion, -1 where it is unknown."""
        return {}

    def emotion(self, example: Example) -> int:
        """The survey's emotion as a number, -1 where it is unknown."""
        name = MAIN.get(example.profile.emotion or "", example.profile.emotion)
        return EMOTIONS.index(name) if name in EMOTIONS else -1

    def emotion_loss(self, logits: Tensor, gold: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the emotion, meant over the examples that have one.

        `literal` divides it by the tokens of the batch: there the words' loss is a sum and this one a mean.
        """
        share = classified(logits, gold)
        return share / max(1, len(batch.target_ids)) if self.config.literal else share

    def likelihoods(self, batch: Batch) -> list[Likelihood]:
        """How probable each gold reply is, without smoothing."""
        logits = self.logits(batch)
        return reply_likelihoods(logits, batch, self.backbone.strategy_ids)

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
    ) -> list[list[Reply]]:
        """Replies; the policy has nothing to decide here."""
        return generate(self.backbone, examples, decoding, policy)
