"""Growing a corpus: rounds of slots, grown by several threads, judged in order, resumed exactly.

A round plans slots by the scenarios' quotas, grows them, judges them, and plans more for what was rejected,
until the quotas are full or the surplus is used up; those accepted are the next round's exemplars. Slots are
grown in any order but judged in the order of the plan, because being too near depends on what was accepted
before. So the corpus is a function of the plan and the replies: a process that was killed reads the ledger,
asks for what is missing and ends with the same files.

    $ hearten augment run plan.toml --out runs/grown
"""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from hearten.augment.asking import Asker, Gates, Pacer, Purse, Stopped
from hearten.augment.checks import Checker, local_scorer
from hearten.augment.growing import Grower, Harvest, Slot, by_strategy
from hearten.augment.ledger import Ledger
from hearten.augment.plan import Plan, apportion, load_plan, write_plan
from hearten.augment.prompting import prompt_mark
from hearten.augment.records import Check, CorpusFolder, Grown
from hearten.augment.resemblance import Index
from hearten.core.chat import ChatModel
from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError
from hearten.core.jsonl import Appender, cut_torn_line, read_records
from hearten.core.locks import alone
from hearten.core.places import seeds_file
from hearten.core.progress import Ticker, progress

TOGETHER = 32
"""Conversations judged at a time: the toxicity scorer likes many."""
AHEAD = 4
"""Slots grown for each thread before the first of them is judged: one slow reply then holds nobody up."""

OpenModel = Callable[[str], ChatModel]


@dataclass
class Summary:
    """What a corpus has come to."""

    wanted: int
    accepted: int = 0
    rejected: int = 0
    complete: bool = False
    """The rounds are over: the quotas are full, or the surplus is used up."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Check → conversations it rejected."""
    account: dict[str, float] = field(default_factory=dict)
    currency: str = "USD"
    short: dict[str, int] = field(default_factory=dict)
    """Scenario → conversations missing from its quota when the surplus was used up."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**self.__dict__, "reasons": dict(self.reasons.most_common())}


def seeds_of(plan: Plan) -> list[Conversation]:
    """The plan's seed conversations.

    Raises:
        UsageError: there is none.
    """
    path = Path(plan.seeds) if plan.seeds else seeds_file()
    found = list(read_records(path, Conversation))
    if not found:
        raise UsageError("the seed file holds no conversation", where=str(path))
    return found


class Nursery:
    """One corpus folder being grown.

    Args:
        folder: where everything lies.
        plan: what is to be grown.
        open_model: name → chat model.
        quiet: no progress bar.
    """

    def __init__(
        self, folder: CorpusFolder, plan: Plan, open_model: OpenModel, *, quiet: bool = False
    ) -> None:
        self.folder, self.plan, self._quiet = folder, plan, quiet
        self._seeds, self._mark = seeds_of(plan), prompt_mark(plan)
        self._stop = threading.Event()
        self._trouble: BaseException | None = None
        """What first went wrong in a thread."""
        self._open = open_model
        self._judged: dict[str, bool] = {}
        """Slot → whether it was accepted."""
        self._summary = Summary(wanted=plan.wanted, currency=plan.prices.currency)
        self._index = Index(self._seeds)
        for path in plan.checks.against:
            for conversation in read_records(Path(path), Conversation):
                self._index.add(conversation, f"{Path(path).name}:{conversation.id}")

    def grow(self, limit: int | None = None) -> Summary:
        """Grow until the plan is fulfilled, or `limit` more conversations were judged.

        Raises:
            UsageError: the folder holds another plan's corpus, or another process is at it.
            Unavailable, Spent: it ended early; what was done is kept, and running again goes on.
        """
        with self._prepared() as (grower, bar):
            budget = [limit if limit is not None else 10**12]
            for number in range(1, len(self.plan.rounds) + 1):
                if not self._round(number, grower, bar, budget):
                    break
            else:
                self._summary.complete = True
        return self._summary

    def preview(self, count: int) -> list[tuple[Harvest, list[Check]]]:
        """The first `count` conversations of the plan with their checks; only their requests are kept.

        A later run of the same plan into the same folder finds the replies there and pays nothing for them.
        """
        with self._prepared() as (grower, bar):
            slots = list(islice(self._slots(1, self._quotas(1), 0), count))
            found = []
            for slot in slots:
                harvest = grower.grow(slot)
                conversation, checks = self._own(harvest)
                found.append((harvest, [*checks, *self._toxicity([conversation]), *self._near(conversation)]))
                bar.advance()
            return found

    # --- preparing ----------------------------------------------------------------------------------------

    @contextmanager
    def _prepared(self) -> Iterator[tuple[Grower, Ticker]]:
        """Everything open; on the way out threads are told to stop and the account is closed."""
        claim(self.folder, self.plan)
        with ExitStack() as stack:
            stack.enter_context(alone(self.folder.path / ".lock", wait=False))
            self._recall()
            ledger = stack.enter_context(Ledger(self.folder.requests, lambda slot: slot not in self._judged))
            self._ledger = ledger
            grower = self._grower(ledger)
            self._accepted = stack.enter_context(Appender(self.folder.accepted))
            self._rejected = stack.enter_context(Appender(self.folder.rejected))
            self._checker = Checker(self.plan.checks, local_scorer())
            done = self._summary.accepted
            bar = stack.enter_context(progress("growing", self.plan.wanted, done=done, quiet=self._quiet))
            try:
                yield grower, bar
            finally:
                self._stop.set()
                self._summary.account = ledger.account.as_dict()

    def _recall(self) -> None:
        """What was judged before."""
        for path, accepted in ((self.folder.accepted, True), (self.folder.rejected, False)):
            cut_torn_line(path)
            for one in read_records(path, Grown) if path.is_file() else ():
                self._remember(one, accepted)

    def _remember(self, one: Grown, accepted: bool) -> None:
        self._judged[one.id] = accepted
        self._summary.reasons.update(check.check for check in one.failed)
        if accepted and one.conversation is not None:
            self._summary.accepted += 1
            self._index.add(one.conversation)
        else:
            self._summary.rejected += 1

    def _grower(self, ledger: Ledger) -> Grower:
        limits, account = self.plan.limits, ledger.account
        purse = Purse(limits.cost, account.cost + account.uncertain)
        gates = Gates(Pacer(limits.requests_per_minute, self._stop), purse)

        def asker(name: str) -> Asker:
            model = self._open(name)
            return Asker(model, ledger, limits, self.plan.prices, gates, stream=self.plan.stream)

        supporter = asker(self.plan.model)
        seeker = asker(self.plan.seeker) if self.plan.seeker else supporter
        return Grower(self.plan, supporter, seeker, by_strategy(self._seeds), self._mark)

    # --- planning -----------------------------------------------------------------------------------------

    def _round(self, number: int, grower: Grower, bar: Ticker, budget: list[int]) -> bool:
        """One round; returns whether it came to its end.

        What is needed is counted along the plan and not over the files, so that a run that goes on plans the
        slots it planned before.
        """
        size, need = self.plan.rounds[number - 1], Counter(self._quotas(number))
        tried, most = 0, round(size * self.plan.surplus)
        while True:
            slots = list(islice(self._slots(number, need, tried), most - tried))
            if not slots:
                self._summary.short.update(+need)
                return True
            tried += len(slots)
            fresh = [slot for slot in slots if slot.id not in self._judged]
            chosen = fresh[: budget[0]]
            self._grow_all(chosen, grower, bar)
            budget[0] -= len(chosen)
            if len(chosen) < len(fresh):
                return False
            need.subtract(slot.scenario for slot in slots if self._judged[slot.id])

    def _quotas(self, number: int) -> dict[str, int]:
        return apportion(self.plan.rounds[number - 1], self.plan.quotas)

    def _slots(self, number: int, need: Mapping[str, int], before: int) -> Iterator[Slot]:
        """Slots for what is needed, scenarios mixed; the same whenever it is asked for."""
        draw = random.Random(f"{self.plan.seed}/round {number}/after {before}")
        order = [name for name, count in need.items() for _ in range(count)]
        draw.shuffle(order)
        pools = self._pools(number, draw)
        for place, scenario in enumerate(order, before + 1):
            pool = pools.get(scenario) or self._seeds
            shown = tuple(pool[(place + k) % len(pool)] for k in range(min(self.plan.exemplars, len(pool))))
            yield Slot(f"r{number}-{place:05d}", number, scenario, shown, draw.choice(self._courses()))

    def _pools(self, number: int, draw: random.Random) -> dict[str, list[Conversation]]:
        """Scenario → conversations to be shown: the seeds, then what the round before accepted."""
        pools: dict[str, list[Conversation]] = {}
        for conversation in (*self._seeds, *self._grown_in(number - 1)):
            pools.setdefault(conversation.profile.scenario or "", []).append(conversation)
        for name, pool in pools.items():
            own = [one for one in pool if one.source == GROWN] or pool
            pools[name] = draw.sample(own, len(own))
        return pools

    def _grown_in(self, number: int) -> list[Conversation]:
        if number < 1:
            return []
        rows = read_records(self.folder.accepted, Grown)
        return [row.conversation for row in rows if row.provenance.round == number and row.conversation]

    def _courses(self) -> list[Conversation]:
        least, most = self.plan.turns.utterances
        fitting = [seed for seed in self._seeds if least <= len(seed.turns) <= most]
        return fitting or self._seeds

    # --- growing and judging ------------------------------------------------------------------------------

    def _grow_all(self, slots: Sequence[Slot], grower: Grower, bar: Ticker) -> None:
        """Grow with several threads, judge in order."""
        source = iter(slots)
        waiting: deque[Future[Grownup]] = deque()
        threads = self.plan.limits.concurrency
        with ThreadPoolExecutor(threads, thread_name_prefix="grow") as pool:
            try:
                while True:
                    for slot in islice(source, AHEAD * threads - len(waiting)):
                        waiting.append(pool.submit(self._one, grower, slot))
                    if not waiting:
                        return
                    self._judge(list(_ready(waiting)), bar)
            except BaseException as error:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise (self._trouble or error) from None

    def _one(self, grower: Grower, slot: Slot) -> "Grownup":
        """One slot, in a thread; what goes wrong in one stops all before they send anything more."""
        try:
            harvest = grower.grow(slot)
            return Grownup(harvest, *self._own(harvest))
        except Stopped:
            raise
        except BaseException as error:
            self._trouble = self._trouble or error
            self._stop.set()
            raise

    def _own(self, harvest: Harvest) -> tuple[Conversation | None, list[Check]]:
        """The record, and the checks that need nothing but it."""
        checks = list(self._checker.of_reading(harvest.reading, harvest.slot.scenario))
        conversation = harvest.conversation()
        if conversation is not None:
            checks += self._checker.of_conversation(conversation)
        return conversation, checks

    def _toxicity(self, talks: Sequence[Conversation | None]) -> list[Check]:
        return self._checker.toxicity([talk for talk in talks if talk is not None])

    def _near(self, conversation: Conversation | None) -> Iterator[Check]:
        if conversation is None or "near-duplicate" in self.plan.checks.switched_off:
            return
        near = self._index.nearest(conversation, self.plan.checks.near)
        told = f"{near.similarity:.2f} of its three-word runs are those of {near.id}" if near else ""
        yield Check(check="near-duplicate", passed=near is None, reason=told)

    def _judge(self, grown: Sequence["Grownup"], bar: Ticker) -> None:
        toxicity = iter(self._toxicity([one.conversation for one in grown]))
        for one in grown:
            checks = [*one.checks]
            if one.conversation is not None:
                checks += [next(toxicity), *self._near(one.conversation)]
            accepted = all(check.passed for check in checks)
            self._keep(one, checks, accepted)
            spent = self._ledger.account.cost
            cost = f", {spent:.2f} {self.plan.prices.currency}" if spent else ""
            bar.advance(1 if accepted else 0, note=f"{self._summary.rejected} rejected{cost}")

    def _keep(self, one: "Grownup", checks: list[Check], accepted: bool) -> None:
        record = Grown(
            id=one.harvest.slot.id,
            conversation=one.conversation,
            raw=None if one.conversation else one.harvest.raw or None,
            provenance=one.harvest.provenance(self.plan, self._mark),
            checks=tuple(checks),
        )
        (self._accepted if accepted else self._rejected).add(record)
        self._remember(record, accepted)
        self._ledger.forget(record.id)


GROWN = "hearten-augment"
"""`Conversation.source` of what was grown."""


@dataclass(frozen=True)
class Grownup:
    """A harvest with what can be said of it alone."""

    harvest: Harvest
    conversation: Conversation | None
    checks: list[Check]


def _ready(waiting: deque["Future[Grownup]"]) -> Iterator["Grownup"]:
    """The first one, waited for, and those after it that are done as well."""
    yield waiting.popleft().result()
    for _ in range(TOGETHER - 1):
        if not waiting or not waiting[0].done():
            return
        yield waiting.popleft().result()


def claim(folder: CorpusFolder, plan: Plan) -> None:
    """Give a folder its plan, or make sure that it holds this one's corpus.

    Raises:
        UsageError: it is another plan's; says which keys differ.
    """
    if folder.plan.is_file():
        other = load_plan(folder.plan).essence()
        differing = [key for key, value in plan.essence().items() if other[key] != value]
        if differing:
            raise UsageError(
                f"'{folder.path}' holds a corpus of another plan: {', '.join(differing)} differ",
                fix="choose another --out, or run without a plan to go on with the folder's own",
            )
    elif folder.requests.exists() or folder.accepted.exists():
        raise UsageError(f"'{folder.path}' holds requests but no plan", fix="put its plan.toml back")
    write_plan(plan, folder.plan)
