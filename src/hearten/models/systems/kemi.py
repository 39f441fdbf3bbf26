"""KEMI (Deng et al. 2023): Joint, told in words what the seeker's turn implies and what helped in a like
case.

The seeker's turn is followed by commonsense (five relations) and by the expectations, feelings and responses
of a related stressor from a graph of distress, each behind its marker; then strategy and reply as in Joint.
No new layer. An encoder–decoder is told so of the seeker's last turn, as published; a decoder-only model
learns a whole conversation in one pass, so every seeker turn carries its own and keeps it.

KEMI places the knowledge after the turn it belongs to and cuts it, so that the dialogue keeps its room.
"""

from typing import ClassVar

from hearten.core.conversation import Role, Turn
from hearten.core.taxonomy import LabelSet
from hearten.models.parts.phrases import annotation, usable
from hearten.models.system import Paper, SystemConfig
from hearten.models.systems.joint import Joint, JointConfig

KEMI = Paper(
    citation="Deng et al. 2023",
    title="Knowledge-enhanced Mixed-initiative Dialogue System for Emotional Support Conversations",
    backbone="blenderbot-small",
    training={"epochs": 5, "learning_rate": 3e-5, "weight_decay": 0.01},
    decoding={"temperature": 0.7, "top_k": 30, "top_p": 0.3, "min_tokens": 15},
)
RELATIONS = ("xReact", "xIntent", "xNeed", "xWant", "xEffect")
"""Five of the nine (recalled from the paper)."""
GRAPH = {"expectation": "expectations", "affective state": "affects", "response": "responses"}
"""Marker → field of a `distress` annotation."""


class KemiConfig(JointConfig):
    """KEMI's options."""

    tails: int = 1
    """Commonsense phrases a relation."""
    knowledge_words: int = 64
    """Words of knowledge a turn may carry."""


class Kemi(Joint):
    """Joint on turns that carry their knowledge as words."""

    name: ClassVar[str] = "kemi"
    paper: ClassVar[Paper] = KEMI
    needs: ClassVar[frozenset[str]] = frozenset({"commonsense", "distress"})
    exportable: ClassVar[bool] = False
    config_class: ClassVar[type[SystemConfig]] = KemiConfig
    config: KemiConfig

    def __init__(self, config: KemiConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        self.backbone.renderer.words = self.told

    def told(self, turn: Turn, last: bool) -> str:
        """A turn's words, and after a seeker's what is known of it."""
        if turn.speaker is Role.SUPPORTER or not last:
            return turn.text
        known = knowledge(turn, self.config.tails).split()[: self.config.knowledge_words]
        return " ".join([turn.text, *known])


def knowledge(turn: Turn, tails: int) -> str:
    """What commonsense and the distress graph say of a turn, each piece behind its marker in brackets."""
    sensed = annotation(turn, "commonsense") or {}
    related = annotation(turn, "distress") or {}
    pieces = [(r, [tail for tail in sensed.get(r, []) if usable(tail)][:tails]) for r in RELATIONS]
    pieces += [(marker, list(related.get(field, []))[:1]) for marker, field in GRAPH.items()]
    return " ".join(f"[{marker}] {'; '.join(said)}" for marker, said in pieces if said)
