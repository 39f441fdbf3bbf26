"""What one stage hands the next, each a line of a JSON Lines file.

`Example` trains and tests; `Reply` is what a supporter says; `Prediction` joins the two on disk;
`LikelihoodRow` is what perplexity needs of one reference;
`Candidate`, `FacetVerdict` and `Rating` are alignment's and the human studies'; `Score` is a number with
its signature, the only form in which a number leaves hearten.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from hearten.core.conversation import Profile, Record, Role, Stars, StrategyField, Survey, Text, Turn


class Hindsight(Record):
    """What is known of a supporter turn only after it was said: a target of training, never an input."""

    annotations: dict[str, Any] | None = None
    """Of the turn itself."""
    reaction: dict[str, Any] | None = None
    """Annotations of the seeker's next turn."""
    stars: Stars | None = None
    """The seeker's stars for this turn; a rating covers the last one or two supporter turns before it."""
    following: tuple[StrategyField | None, ...] = ()
    """Strategies of the supporter turns that come after, in order."""
    survey: Survey = Survey()


class Example(Record):
    """One turn to learn or to predict, the supporter's as a rule, with everything said before it."""

    conversation_id: str
    index: int
    """Position of the turn in the (merged) conversation, from 0."""
    turns_total: int
    """How many turns that conversation has: index / turns_total is its progress."""
    context: tuple[Turn, ...]
    profile: Profile
    response: Text
    strategy: StrategyField | None = None
    label_set: str = "esconv"
    hindsight: Hindsight | None = None
    speaker: Role = Role.SUPPORTER
    """The seeker only where whole sessions are learned; nobody is tested on a seeker's words."""


class Reply(Record):
    """What a supporter answers."""

    text: str
    strategy: StrategyField | None = None
    probabilities: dict[str, float] | None = None
    """The supporter's belief about the strategy, by canonical name."""
    score: float | None = None
    """Length-normalised log-probability of the text, where the supporter knows it."""
    details: dict[str, Any] | None = None

    def noted(self, link: str, seconds: float = 0.0, **details: Any) -> "Reply":
        """The reply with what one link of a chain found out, and what it took, in its `details`."""
        before = self.details or {}
        links = [*before.get("links", ()), {"name": link, "ms": round(1000 * seconds, 1)}]
        return self.model_copy(update={"details": {**before, **details, "links": links}})


class Prediction(Record):
    """A reply beside the gold turn it answers: one line of `predictions.jsonl`."""

    conversation_id: str
    index: int
    turns_total: int
    context: tuple[str, ...]
    """The last turns before the reply, as `role: text`."""
    reference: str
    hypothesis: str
    gold_strategy: str | None = None
    strategy: str | None = None
    probabilities: dict[str, float] | None = None


class LikelihoodRow(Record):
    """How likely a model in evaluation mode finds one gold reply: one line of `likelihoods.jsonl`."""

    conversation_id: str
    index: int
    nll: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Summed negative log-likelihood, in nats, of the reply's tokens and the end token."""
    tokens: Annotated[int, Field(ge=1)]
    """How many tokens `nll` sums over: the end token is counted, the strategy token is not."""
    words: Annotated[int, Field(ge=1)]
    """Whitespace-separated words of the reference."""
    strategy_nll: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Negative log-likelihood of the gold strategy token, where the system has one."""
    strategy_fed: Literal["gold", "predicted", "none"]
    """Which strategy the model was given before the reply's tokens were scored."""
    turns_total: int | None = None
    gold_strategy: str | None = None
    probabilities: dict[str, float] | None = None
    """The model's belief about the strategy, by canonical name: strategies are scored without a word."""
    tokenizer: str


class Candidate(Record):
    """One of several sampled replies to the same context."""

    conversation_id: str
    index: int
    rank: int
    text: str
    strategy: str | None = None
    logprob: float | None = None


class FacetVerdict(Record):
    """What a rater says of one candidate on one facet."""

    facet: str
    label: str | None = None
    """None when the rater's answer could not be read: unscored, never zero."""
    helpful: bool | None = None
    probabilities: dict[str, float] | None = None
    raw: str | None = None


class Rating(Record):
    """A person's (or judge's) answer to one question about one item."""

    item: str
    rater: str
    question: str
    value: str | Annotated[float, Field(allow_inf_nan=False)]


class Score(Record):
    """A number with the signature that makes it comparable."""

    name: str
    value: float | None
    """None when the metric is undefined on this input."""
    signature: str
    items: int
    interval: tuple[float, float] | None = None
    """95% interval, where one was computed."""
    note: str | None = None
