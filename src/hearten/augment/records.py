"""What lies in a corpus folder that is being grown, and the fixed names under which it lies there.

`requests.jsonl` is the ledger: a line before a request goes out and a line when its answer is in, on the disk
before anything is done with it. Everything else follows from it: `accepted.jsonl` and
`rejected.jsonl` hold each conversation with where it came from and what every check said, `reviews.jsonl`
what people decided, in the order they decided it. Reviewers never change the first three files: a decision
is a line of its own, and `hearten augment export` joins them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hearten.core.conversation import Conversation, Record, Text
from hearten.core.errors import UsageError
from hearten.core.jsonl import read_records

Action = Literal["accept", "edit", "discard", "undo"]


class Request(Record):
    """One line of the ledger: a request as it goes out (`sent`), or what became of it.

    A request that only has a `sent` line was under way when the process died; whether it was charged, only
    the server knows.
    """

    id: str
    """Place in the plan: `r1-00042.s03.a1` is round 1, conversation 42, step 3, attempt 1."""
    key: str
    """sha256 over model, messages and sampling: equal requests have equal keys and are asked once."""
    status: Literal["sent", "answered", "failed", "refused"]
    """`failed` may work later (busy, cut, too slow) and is asked again; `refused` never will."""
    time: str
    model: str
    seed: int
    scenario: str
    exemplars: tuple[str, ...] = ()
    prompt: str = ""
    """First 12 hex digits of the sha256 of the prompt file."""
    raw: str | None = None
    """The reply, letter by letter."""
    reason: str | None = None
    """Why it failed or was refused."""
    finish: str | None = None
    """Why the model stopped, as the server puts it (`stop`, `length`, …)."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    """The tokens were estimated from the text because the model does not count them."""
    cost: float = 0.0
    """In the plan's currency. `sent` lines hold the most it can cost, `failed` ones what it may have cost."""
    seconds: float = 0.0


class Check(Record):
    """What one check says of one conversation."""

    check: str
    passed: bool
    reason: str = ""
    """Why not; or, of one that passed, what was mended or what a reviewer should look at."""


class Provenance(Record):
    """Where one conversation comes from."""

    model: str
    mode: Literal["conversation", "turns"]
    prompt: str
    """Name and hash of the prompt file, e.g. `extes@1f2e3d4c5b6a`."""
    scenario: str
    exemplars: tuple[str, ...]
    """Ids of the conversations shown to the model."""
    round: int
    seed: int
    requests: tuple[str, ...]
    """Ids in `requests.jsonl` that made it, in order: the raw replies are there."""
    cost: float = 0.0
    created: str = ""


class Grown(Record):
    """One line of `accepted.jsonl` or `rejected.jsonl`."""

    id: Text
    conversation: Conversation | None = None
    """None where no reply could be read as a conversation: `raw` then holds the last one."""
    raw: str | None = None
    provenance: Provenance
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that rejected it; none where it was accepted."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def noted(self) -> tuple[Check, ...]:
        """Checks that passed but have something to say (repairs, doubts)."""
        return tuple(check for check in self.checks if check.passed and check.reason)


class Review(Record):
    """One decision of one person about one conversation: the audit trail, never rewritten."""

    item: Text
    """`Grown.id`."""
    reviewer: Text
    time: str
    action: Action
    """`undo` takes back the same reviewer's last decision about the item; `edit` also accepts."""
    before: Conversation | None = None
    after: Conversation | None = None
    """What the conversation reads after the decision; None where it is discarded."""
    note: str | None = None
    adjudication: bool = False
    """It settles a disagreement of two reviewers."""


class CorpusFolder:
    """The fixed places inside one grown corpus."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.toml"
        self.requests = path / "requests.jsonl"
        self.accepted = path / "accepted.jsonl"
        self.rejected = path / "rejected.jsonl"
        self.reviews = path / "reviews.jsonl"

    @classmethod
    def open(cls, path: Path) -> "CorpusFolder":
        """An existing corpus folder.

        Raises:
            UsageError: there is no `plan.toml` in it.
        """
        folder = cls(path)
        if not folder.plan.is_file():
            raise UsageError(
                f"'{path}' is not a grown corpus (it has no plan.toml)", fix="hearten augment run makes one"
            )
        return folder

    def grown(self) -> Iterator[tuple[bool, Grown]]:
        """(whether the checks accepted it, conversation) of all that was judged, accepted ones first."""
        for accepted, path in ((True, self.accepted), (False, self.rejected)):
            if path.is_file():
                for one in read_records(path, Grown):
                    yield accepted, one

    def decisions(self) -> Iterator[Review]:
        """The audit trail in order; empty where nobody reviewed."""
        if self.reviews.is_file():
            yield from read_records(self.reviews, Review)
