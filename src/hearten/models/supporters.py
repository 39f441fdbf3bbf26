"""From a name to a `Supporter`: a trained run, or a chat model with a prompt.

A run of the LLaMA family is exported once to GGUF (beside its weights) and answers through the engine with
its strategy chosen first; any other run, and a system that fuses knowledge, answers through torch. A chat
model is asked in plain words, zero-shot or shown some exchanges and, when a strategy is forced, told its
definition.
"""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.chat import ChatModel, CountingModel, Message, Piece, Sampling
from hearten.core.conversation import Conversation, Profile, Role
from hearten.core.errors import UsageError
from hearten.core.protocol import open_example
from hearten.core.records import Reply
from hearten.core.runfolder import RunFolder
from hearten.core.supporter import StreamingSupporter, Supporter, Wishes
from hearten.core.taxonomy import Strategy, label_set
from hearten.knowledge.live import LiveKnowledge, open_live
from hearten.lm.chat import EngineChat, reseeded
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.lm.embedded import quiet_libraries
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.gguf_export import export_gguf, refusal
from hearten.lm.render import Renderer
from hearten.lm.spelling import Spellings
from hearten.models.planner.decoding import generate, plan
from hearten.models.system import SETTINGS, WEIGHTS, System, read_settings
from hearten.models.systems import SYSTEMS

FEW_SHOT = "few-shot:"
GGUF = "model.gguf"


def open_supporter(name: str, engine: EngineConfig | None = None) -> StreamingSupporter:
    """A run folder, or whatever `lm.chat.open_chat_model` knows, as a Supporter.

    `few-shot:N:MODEL` shows the chat model N of the project's own exchanges first.

    Args:
        engine: slots, context and threads, for what runs in the chat engine.

    Raises:
        UsageError: no such run or model, or N is no number from 1 to as many as there are.
    """
    if name.startswith(FEW_SHOT):
        return _few_shot(name, engine)
    run = RunFolder(Path(name))
    if run.manifest_file.is_file():
        return _open_run(run, engine)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise UsageError(
            f"'{name}' is neither a run folder nor a model folder", fix="hearten train makes a run"
        )
    from hearten.lm.chat import open_chat_model

    return PromptedSupporter(open_chat_model(name, engine))


def _few_shot(name: str, engine: EngineConfig | None) -> StreamingSupporter:
    count, _, model = name.removeprefix(FEW_SHOT).partition(":")
    most = len(exemplars())
    if not model or not count.isdigit() or not 1 <= int(count) <= most:
        raise UsageError(
            f"'{name}' says not how many examples to show", fix=f"few-shot:N:MODEL, N from 1 to {most}"
        )
    from hearten.lm.chat import open_chat_model

    return PromptedSupporter(open_chat_model(model, engine), shown=exemplars()[: int(count)])


def labels_of(name: str) -> str:
    """The label set a run was trained with; ESConv's for a chat model."""
    run = RunFolder(Path(name))
    return str(read_settings(run.model)["labels"]) if (run.model / SETTINGS).is_file() else "esconv"


def load_system(run: RunFolder, *, untrained: bool = False, learning: bool = False) -> System:
    """The trained system of a run.

    Args:
        run: where its weights are.
        untrained: leave it as it was before training.
        learning: keep the adapter apart, to learn on or to export the weights; else it is folded into them,
            which is quicker.

    Raises:
        UsageError: the run has no weights yet.
    """
    if not (run.model / SETTINGS).is_file():
        raise UsageError(f"'{run.path}' has no trained weights", fix="let its training reach a validation")
    settings = read_settings(run.model)
    chosen = SYSTEMS[settings["system"]]
    system = chosen(chosen.config_class.model_validate(settings["config"]), label_set(settings["labels"]))
    if not untrained:
        system.load(run.model)
    if not learning:
        system.fold()
    return system


class EngineSupporter:
    """A trained decoder-only system in the engine: strategy first, then words, with the prompt cache."""

    def __init__(
        self, name: str, engine: Engine, renderer: Renderer, decoding: Decoding, policy: StrategyPolicy
    ) -> None:
        self.name, self._engine, self._renderer = name, engine, renderer
        self._decoding, self._policy = decoding, policy
        self._spellings = Spellings(renderer.tokenizer, renderer.end_id)
        renderer.spelt = self._spellings.find
        self._avoid: tuple[str, ...] = ()
        self._chance = np.random.default_rng(decoding.seed)

    def warm(self) -> None:
        """Read what every prompt begins with, before the first person waits for it."""
        renderer = self._renderer
        self._engine.warm([*renderer.opening(Profile()), *renderer.open_turn(Role.SEEKER)])

    def wished(self, wishes: Wishes) -> "EngineSupporter":
        """The same run under a request's wishes; strategies to avoid are masked before one is chosen."""
        other = copy(self)
        other._decoding, other._avoid = wishes.sampling(self._decoding), wishes.avoid
        if wishes.seed is not None:
            other._chance = np.random.default_rng(wishes.seed)
        return other

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far."""
        return [list(self._pieces(conversation, strategy, number))[-1] for number in range(n)]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The strategy first (with an empty text), then the growing reply."""
        return self._pieces(conversation, strategy, 0)

    def _pieces(self, conversation: Conversation, strategy: Strategy | None, number: int) -> Iterator[Reply]:
        renderer, decoding = self._renderer, reseeded(self._decoding, number)
        context = self._engine.context
        limit = context - min(decoding.max_tokens, context // 2) - 1
        prompt = renderer.context(conversation.turns, conversation.profile, limit, stride=context // 4)
        chosen, beliefs = self._choose(conversation, prompt, strategy)
        if chosen is not None:
            prompt = [*prompt, renderer.strategy_id(chosen)]
        start = Reply(text="", strategy=chosen, probabilities=beliefs)
        yield start
        with closing(self._engine.pieces(prompt, decoding, banned=renderer.strategy_ids)) as pieces:
            yield from grown(start, self._spellings.listen(pieces))

    def _choose(
        self, conversation: Conversation, prompt: list[int], forced: Strategy | None
    ) -> tuple[Strategy | None, dict[str, float] | None]:
        labels = self._renderer.labels
        if labels is None:
            return None, None
        if forced is None and self._policy.kind == "planner":
            return plan(self._policy, conversation, avoid=self._avoid)
        open_ = [strategy for strategy in labels if strategy.name not in self._avoid]
        chances = self._engine.first_choice(prompt, [self._renderer.strategy_id(one) for one in open_])
        beliefs = {s.name: round(float(p), 4) for s, p in zip(open_, chances, strict=True)}
        if forced is not None:
            return labels.find(forced.name), beliefs
        if self._policy.kind == "argmax":
            return open_[int(chances.argmax())], beliefs
        sharpened = chances ** (1 / max(self._decoding.temperature, 1e-3))
        place = self._chance.choice(len(open_), p=sharpened / sharpened.sum())
        return open_[int(place)], beliefs


def grown(start: Reply, pieces: Iterable[Piece]) -> Iterator[Reply]:
    """Replies of growing text, each with what was written so far (a piece is a token, nearly always): a reply
    that is cut off is counted too. The last one knows exactly, and what was read and why it ended.
    """
    text, known = "", start.details or {}
    for written, piece in enumerate(pieces, 1):
        text += piece.text
        tokens = {"completion": piece.written or written, "prompt": piece.read, "cached": piece.cached}
        end = {"finish": piece.finish} if piece.finish else {}
        yield start.model_copy(update={"text": text.strip(), "details": {**known, "tokens": tokens, **end}})


class SystemSupporter:
    """A trained system of any architecture, through torch.

    Args:
        knowledge: puts on the turns what the system learned to read; None where it reads words alone.
    """

    def __init__(
        self,
        name: str,
        system: System,
        decoding: Decoding,
        policy: StrategyPolicy,
        knowledge: LiveKnowledge | None = None,
    ) -> None:
        self.name, self._system, self._decoding, self._policy = name, system, decoding, policy
        self._knowledge = knowledge

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far."""
        policy = self._policy if strategy is None else StrategyPolicy(kind="gold")
        if self._knowledge is not None:
            conversation = self._knowledge.annotated(conversation)
        asked = open_example(conversation, strategy or next(iter(self._system.labels)))
        return generate(self._system, [asked], self._decoding.model_copy(update={"n": n}), policy)[0]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The whole reply at once: torch decoding here has no pieces."""
        yield from self.reply(conversation, strategy=strategy)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One exchange that is shown to a chat model."""

    strategy: str
    seeker: str
    supporter: str


@cache
def exemplars() -> tuple[Exemplar, ...]:
    """The project's own exchanges, one for each of ESConv's strategies (`prompts/exemplars.toml`)."""
    text = (files("hearten.models") / "prompts" / "exemplars.toml").read_text(encoding="utf-8")
    return tuple(Exemplar(**row) for row in tomllib.loads(text)["exemplar"])


class PromptedSupporter:
    """A chat model asked, in plain words, to support; zero-shot, or shown some exchanges first.

    Args:
        model: who answers.
        sampling: how words are drawn.
        shown: exchanges for the prompt.
    """

    def __init__(
        self, model: ChatModel, sampling: Sampling | None = None, shown: Sequence[Exemplar] = ()
    ) -> None:
        self.name, self._model, self._shown = model.name, model, tuple(shown)
        self._sampling = sampling or Sampling(max_tokens=90)
        self._instructions = ""
        self._prompt = (
            (files("hearten.models") / "prompts" / "supporter.md").read_text(encoding="utf-8").strip()
        )

    def warm(self) -> None:
        """Read what every prompt begins with, where the model runs in the engine."""
        if isinstance(self._model, EngineChat):
            self._model.warm([Message(role="system", content=self._lead(""))])

    def wished(self, wishes: Wishes) -> "PromptedSupporter":
        """The same model under a request's wishes; further instructions follow its own."""
        other = copy(self)
        other._sampling, other._instructions = wishes.sampling(self._sampling), wishes.instructions
        return other

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far."""
        texts = self._model.complete(self._messages(conversation, strategy), sampling=self._sampling, n=n)
        return [Reply(text=text.strip(), strategy=strategy) for text in texts]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The growing reply."""
        messages, start = self._messages(conversation, strategy), Reply(text="", strategy=strategy)
        if isinstance(self._model, CountingModel):
            with closing(self._model.pieces(messages, sampling=self._sampling)) as counted:
                yield from grown(start, counted)
            return
        pieces = self._model.stream(messages, sampling=self._sampling)
        yield from grown(start, (Piece(text=piece) for piece in pieces))

    def _messages(self, conversation: Conversation, strategy: Strategy | None) -> list[Message]:
        """The prompt, what is known of the seeker, what was said, with a forced strategy in the last message.

        What changes from turn to turn stands at the end, so that a prompt cache stays good.
        """
        lead = self._lead(conversation.profile.situation or "")
        said = [
            Message(role="user" if turn.speaker is Role.SEEKER else "assistant", content=turn.text)
            for turn in conversation.turns
        ]
        messages = [Message(role="system", content=lead), *said]
        if strategy is not None:  # not a message of its own: many chat templates know one system message only
            wish = f"(In your next reply: {strategy.name}. {strategy.definition})"
            last = messages.pop()
            messages.append(Message(role=last.role, content=f"{last.content}\n\n{wish}"))
        return messages

    def _lead(self, situation: str) -> str:
        """The system's words: the prompt, examples, further instructions and what is known of the seeker."""
        told = f"Their situation: {situation}" if situation else ""
        return "\n\n".join(filter(None, [self._prompt, self._examples(), self._instructions, told]))

    def _examples(self) -> str:
        """The exchanges that are shown, as a part of the prompt; empty without any."""
        told = [f"They wrote: {one.seeker}\nYou answered: {one.supporter}" for one in self._shown]
        return "Some answers of yours, to show the tone:\n\n" + "\n\n".join(told) if told else ""


@cache
def _open_run_at(path: str, engine: EngineConfig | None) -> Supporter:
    run = RunFolder.open(Path(path))
    recipe: dict[str, Any] = run.manifest.recipe
    decoding, policy = Decoding.model_validate(recipe["decoding"]), _live_policy(recipe)
    settings = read_settings(run.model)
    gguf = run.model / GGUF
    if gguf.is_file() and gguf.stat().st_mtime >= (run.model / WEIGHTS).stat().st_mtime:
        renderer = _renderer(settings)
        return EngineSupporter(path, Engine(gguf, engine), renderer, decoding, policy)
    system = load_system(run, learning=True)  # its weights as they were learned, in full precision
    if not system.exportable or refusal(system.backbone.model):
        system.fold()
        needed = system.required(system.config)
        return SystemSupporter(path, system, decoding, policy, open_live(needed) if needed else None)
    export_gguf(system.backbone.model, system.backbone.renderer.tokenizer, gguf)
    return EngineSupporter(path, Engine(gguf, engine), system.backbone.renderer, decoding, policy)


def _live_policy(recipe: dict[str, Any]) -> StrategyPolicy:
    """Sampled, unless the run was made to follow a planner: nobody can tell a live chat the gold strategy."""
    wanted = StrategyPolicy.model_validate(recipe.get("policy", {}))
    return wanted if wanted.kind == "planner" else StrategyPolicy()


def _open_run(run: RunFolder, engine: EngineConfig | None) -> StreamingSupporter:
    supporter = _open_run_at(str(run.path), engine)
    assert isinstance(supporter, StreamingSupporter)
    return supporter


def _renderer(settings: dict[str, Any]) -> Renderer:
    """The renderer of a saved system, without loading its weights."""
    from transformers import AutoTokenizer

    from hearten.lm.backbone import BackboneConfig, model_folder

    quiet_libraries()
    config = BackboneConfig.model_validate(settings["config"]["backbone"])
    tokenizer: Any = AutoTokenizer.from_pretrained(model_folder(config.name), local_files_only=True)
    chosen = SYSTEMS[settings["system"]]
    labels = label_set(settings["labels"]) if chosen.uses_strategies and chosen.says_strategies else None
    return Renderer(tokenizer, labels, situation=config.situation)
