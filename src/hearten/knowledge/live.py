"""Knowledge for a conversation that is going on: what its system learned to read, asked as the turns come.

A system trained on annotated conversations would otherwise meet bare ones in a chat. Each text is asked once
and remembered in memory alone. The answerers are the ones `hearten annotate` takes unless told otherwise;
what is not on this machine is left out with a note, because a system answers without it too. Keywords are
weighed against a corpus and learned from, never read at the end, so a chat needs none.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from hearten.core.conversation import Conversation
from hearten.core.errors import HeartenError
from hearten.knowledge import kinds
from hearten.knowledge.emotion import open_detector
from hearten.knowledge.kinds import WHO, Annotations, Annotator, carried

KEPT = 4096
"""Texts whose answers are remembered, for each kind."""
SOURCES: dict[str, tuple[str, Callable[[], Annotator]]] = {
    "emotion": ("all", lambda: kinds.emotion(open_detector(), "live")),
    "commonsense": ("seeker", lambda: kinds.commonsense("events", "live")),
    "cause": ("seeker", lambda: kinds.cause(open_detector(), "live", None)),
    "distress": ("seeker", lambda: kinds.distress(None, "live")),
}
"""Kind → whose turns it stands on, and who answers."""


class Remembered:
    """An annotator that remembers what it answered last; may be used from several threads."""

    def __init__(self, annotator: Annotator, who: str) -> None:
        self.annotator, self.who = annotator, who
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Annotations] = OrderedDict()

    def on(self, conversation: Conversation) -> Conversation:
        """The conversation with this kind of knowledge on its turns."""
        asked = [turn.text for turn in conversation.turns if turn.speaker in WHO[self.who]]
        if self.annotator.situation and conversation.profile.situation:
            asked.append(conversation.profile.situation)
        with self._lock:
            known = {text: self._answers[text] for text in asked if text in self._answers}
        missing = [text for text in dict.fromkeys(asked) if text not in known]
        if missing:
            found = dict(zip(missing, self.annotator.answer(missing), strict=True))
            self._remember(found)
            known |= found
        return carried(conversation, self.annotator, known, self.who)

    def _remember(self, found: dict[str, Annotations]) -> None:
        with self._lock:
            self._answers.update(found)
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)


class LiveKnowledge:
    """Annotates conversations under way.

    Args:
        annotators: what is asked, in order.
    """

    def __init__(self, annotators: Sequence[Remembered]) -> None:
        self._annotators = tuple(annotators)

    def annotated(self, conversation: Conversation) -> Conversation:
        """The conversation with everything that is known of its turns."""
        for one in self._annotators:
            conversation = one.on(conversation)
        return conversation


def open_live(wanted: Iterable[str]) -> LiveKnowledge:
    """Whoever answers for the kinds `wanted` on this machine; what lacks its data is named and left out."""
    found = []
    for kind in sorted(set(wanted) & SOURCES.keys()):
        who, opened = SOURCES[kind]
        try:
            found.append(Remembered(opened(), who))
        except HeartenError as error:
            print(f"note: replies go without {kind}: {error.what}\n  to do: {error.fix}", file=sys.stderr)
    return LiveKnowledge(found)
