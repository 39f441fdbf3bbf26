"""From a chat request to a conversation, and what the request wishes.

System messages become instructions (a prompted model heeds them, a trained one knows its task); the rest are
turns. The strategies of our own earlier replies are filled in from memory, and the notices that we put before
replies are taken out again, so that the model reads what it said and nothing else.
"""

from dataclasses import dataclass

from hearten.core.conversation import Conversation, Profile, Role, Turn
from hearten.core.errors import HeartenError
from hearten.core.supporter import Wishes
from hearten.core.taxonomy import Strategy, label_set
from hearten.safety import notice
from hearten.serve.recall import Recall
from hearten.serve.refusals import Refusal
from hearten.serve.settings import ServeSettings
from hearten.serve.wire import ChatMessage, ChatRequest
from hearten.web.guard import clean

ROLES = {"user": Role.SEEKER, "assistant": Role.SUPPORTER}
REMIND_EVERY = 30
"""Seeker messages between two reminders that this is an AI; the API is stateless and knows no hours."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request understood."""

    conversation: Conversation
    strategy: Strategy | None
    wishes: Wishes
    notice: str
    """What must be told before the reply; may be empty."""


def understand(request: ChatRequest, settings: ServeSettings, recall: Recall) -> Asked:
    """The conversation, strategy and wishes of a request.

    Raises:
        Refusal: 400, with the field.
    """
    if request.unsupported:
        raise Refusal(400, "not supported here", param=request.unsupported, code="unsupported_parameter")
    labels = settings.labels
    turns = recall.fill(_turns(request.messages, settings), label_set(labels))
    if not any(turn.speaker is Role.SEEKER for turn in turns):
        raise Refusal(
            400, "at least one message of the user is needed", param="messages", code="invalid_value"
        )
    return Asked(
        conversation=Conversation(
            id="api",
            source="hearten-api",
            label_set=labels,
            profile=Profile(situation=clean(request.situation or "").strip() or None),
            turns=turns,
        ),
        strategy=_strategy(request.strategy, labels),
        wishes=_wishes(request),
        notice=_notice(turns, settings) if settings.notices else "",
    )


def _turns(messages: list[ChatMessage], settings: ServeSettings) -> list[Turn]:
    if len(messages) > settings.most_messages:
        raise Refusal(400, f"more than {settings.most_messages} messages", param="messages", code="too_many")
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        text, where = clean(message.text).strip(), f"messages.{number}.content"
        if len(text) > settings.longest_message:
            raise Refusal(
                400, f"longer than {settings.longest_message} characters", param=where, code="too_long"
            )
        if message.role not in ROLES:
            continue
        if ROLES[message.role] is Role.SUPPORTER:
            text = _without_notice(text, settings)
        elif not text:
            raise Refusal(400, "a message without words", param=where, code="invalid_value")
        if text:
            turns.append(Turn(speaker=ROLES[message.role], text=text))
    return turns


def _strategy(name: str | None, labels: str) -> Strategy | None:
    if name is None:
        return None
    try:
        return label_set(labels).find(name)
    except HeartenError as error:
        raise Refusal(400, f"{error.what}: {error.fix}", param="strategy", code="invalid_value") from None


def _wishes(request: ChatRequest) -> Wishes:
    told = [clean(message.text).strip() for message in request.messages if message.role not in ROLES]
    return Wishes(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=None if request.seed is None else request.seed % 2**32,
        stop=request.stops,
        instructions="\n\n".join(filter(None, told)),
        refine=request.refine,
    )


def _notice(turns: tuple[Turn, ...], settings: ServeSettings) -> str:
    """The start's before the first reply, the reminder from time to time."""
    if not any(turn.speaker is Role.SUPPORTER for turn in turns):
        return _start(settings)
    asked = sum(turn.speaker is Role.SEEKER for turn in turns)
    return notice.reminder(minor=settings.links.minor) if asked % REMIND_EVERY == 0 else ""


def _start(settings: ServeSettings) -> str:
    region = {} if settings.links.region is None else {"region_code": settings.links.region}
    return notice.start(**region, minor=settings.links.minor)


def _without_notice(text: str, settings: ServeSettings) -> str:
    for told in (_start(settings), notice.reminder(minor=settings.links.minor)):
        text = text.removeprefix(told).strip()
    return text
