"""What serving counts: numbers of requests, replies, tokens, seconds and safety events, never a word of them.

`/metrics` shows them in Prometheus' format. The safety events are the chain's own counts; how often the care
path was opened is what some laws ask to be reported once a year.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

FIRST_WORDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 30)
WHOLE_REPLY = (0.2, 0.5, 1, 2, 3, 5, 10, 20, 60)
"""Upper bounds of the histograms' buckets, in seconds."""


class Meters:
    """The counts of one server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter("hearten_requests", "API requests by status", ["status"], registry=registry)
        self.replies = Counter("hearten_replies", "Replies by how they ended", ["end"], registry=registry)
        self.tokens = Counter("hearten_tokens", "Tokens by kind", ["kind"], registry=registry)
        self.first = Histogram(
            "hearten_first_words_seconds", "Until the first words", buckets=FIRST_WORDS, registry=registry
        )
        self.whole = Histogram(
            "hearten_reply_seconds", "Until the reply was whole", buckets=WHOLE_REPLY, registry=registry
        )

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A gauge that asks `value` when it is read."""
        Gauge(name, what, registry=self.registry).set_function(value)

    def count_safety(self, counts: Mapping[str, int]) -> None:
        """Show the chain's counts, as they are when read."""
        self.registry.register(_Safety(counts))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Safety(Collector):
    """A `kind:value` count for each thing that the screens and the care path did."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("hearten_safety_events", "What the safety chain did", labels=["event"])
        for event, number in sorted(dict(self._counts).items()):
            family.add_metric([event], number)
        yield family
