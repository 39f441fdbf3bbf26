"""From a name to a `Supporter`: a trained run, or a chat model with a prompt.

A run of the LLaMA family is exported once to GGUF (beside its weights) and answers through the engine with
its strategy chosen first; any other run, and a system that fuses knowledge, answers through torch. A chat
model is asked in plain words, zero-shot or shown some exchanges and, when a strategy is forced, told its
definition.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Conversation, Role
from hearten.core.errors import UsageError
from hearten.core.records import Example, Reply
from hearten.core.runfolder import RunFolder
from hearten.core.supporter import StreamingSupporter, Supporter
from hearten.core.taxonomy import Strategy, label_set
from hearten.lm.chat import reseeded
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.lm.embedded import quiet_libraries
from hearten.lm.engine import Engine
from hearten.lm.gguf_export import export_gguf
from hearten.lm.render import Renderer
from hearten.models.system import SETTINGS, WEIGHTS, System, read_settings
from hearten.models.systems import SYSTEMS

FEW_SHOT = "few-shot:"
GGUF = "model.gguf"
ROOM = 256
"""Ids kept free for a reply."""


def open_supporter(name: str) -> StreamingSupporter:
    """A run folder, or whatever `lm.chat.open_chat_model` knows, as a Supporter.

    `few-shot:N:MODEL` shows the chat model N of the project's own exchanges first.

    Raises:
        UsageError: no such run or model, or N is no number from 1 to as many as there are.
    """
    if name.startswith(FEW_SHOT):
        return _few_shot(name)
    run = RunFolder(Path(name))
    if run.manifest_file.is_file():
        return _open_run(run)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise UsageError(
            f"'{name}' is neither a run folder nor a model folder", fix="hearten train makes a run"
        )
    from hearten.lm.chat import open_chat_model

    return PromptedSupporter(open_chat_model(name))


def _few_shot(name: str) -> StreamingSupporter:
    count, _, model = name.removeprefix(FEW_SHOT).partition(":")
    most = len(exemplars())
    if not model or not count.isdigit() or not 1 <= int(count) <= most:
        raise UsageError(
            f"'{name}' says not how many examples to show", fix=f"few-shot:N:MODEL, N from 1 to {most}"
        )
    from hearten.lm.chat import open_chat_model

    return PromptedSupporter(open_chat_model(model), shown=exemplars()[: int(count)])


def labels_of(name: str) -> str:
    """The label set a run was trained with; ESConv's for a chat model."""
    run = RunFolder(Path(name))
    return str(read_settings(run.model)["labels"]) if (run.model / SETTINGS).is_file() else "esconv"


def load_system(run: RunFolder, *, untrained: bool = False) -> System:
    """The trained system of a run; `untrained` leaves it as it was before training.

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
    return system


class EngineSupporter:
    """A trained decoder-only system in the engine: strategy first, then words, with the prompt cache."""

    def __init__(
        self, name: str, engine: Engine, renderer: Renderer, decoding: Decoding, policy: StrategyPolicy
    ) -> None:
        self.name, self._engine, self._renderer = name, engine, renderer
        self._decoding, self._policy = decoding, policy
        self._chance = np.random.default_rng(decoding.seed)

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
        prompt = renderer.context(conversation.turns, conversation.profile, self._engine.context - ROOM)
        chosen, beliefs = self._choose(prompt, strategy)
        if chosen is not None:
            prompt = [*prompt, renderer.strategy_id(chosen)]
        text = ""
        yield Reply(text=text, strategy=chosen, probabilities=beliefs)
        for piece in self._engine.stream(prompt, decoding, banned=renderer.strategy_ids):
            text += piece
            yield Reply(text=text.strip(), strategy=chosen, probabilities=beliefs)

    def _choose(
        self, prompt: list[int], forced: Strategy | None
    ) -> tuple[Strategy | None, dict[str, float] | None]:
        labels = self._renderer.labels
        if labels is None:
            return None, None
        chances = self._engine.first_choice(prompt, self._renderer.strategy_ids)
        beliefs = {s.name: round(float(p), 4) for s, p in zip(labels, chances, strict=True)}
        if forced is not None:
            return labels.find(forced.name), beliefs
        if self._policy.kind == "argmax":
            return labels.strategies[int(chances.argmax())], beliefs
        sharpened = chances ** (1 / max(self._decoding.temperature, 1e-3))
        place = self._chance.choice(len(labels), p=sharpened / sharpened.sum())
        return labels.strategies[int(place)], beliefs


class SystemSupporter:
    """A trained system of any architecture, through torch."""

    def __init__(self, name: str, system: System, decoding: Decoding, policy: StrategyPolicy) -> None:
        self.name, self._system, self._decoding, self._policy = name, system, decoding, policy

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far."""
        policy = self._policy if strategy is None else StrategyPolicy(kind="gold")
        asked = _open_example(conversation, strategy or next(iter(self._system.labels)))
        return self._system.generate([asked], self._decoding.model_copy(update={"n": n}), policy)[0]

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
        shown: exchanges for the prompt; those of a forced strategy come first.
    """

    def __init__(
        self, model: ChatModel, sampling: Sampling | None = None, shown: Sequence[Exemplar] = ()
    ) -> None:
        self.name, self._model, self._shown = model.name, model, tuple(shown)
        self._sampling = sampling or Sampling(max_tokens=90)
        self._prompt = (
            (files("hearten.models") / "prompts" / "supporter.md").read_text(encoding="utf-8").strip()
        )

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far."""
        texts = self._model.complete(self._messages(conversation, strategy), sampling=self._sampling, n=n)
        return [Reply(text=text.strip(), strategy=strategy) for text in texts]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The growing reply."""
        text = ""
        for piece in self._model.stream(self._messages(conversation, strategy), sampling=self._sampling):
            text += piece
            yield Reply(text=text.strip(), strategy=strategy)

    def _messages(self, conversation: Conversation, strategy: Strategy | None) -> list[Message]:
        wish = f"\n\nIn your next reply: {strategy.name}. {strategy.definition}" if strategy else ""
        said = [
            Message(role="user" if turn.speaker is Role.SEEKER else "assistant", content=turn.text)
            for turn in conversation.turns
        ]
        return [Message(role="system", content=self._prompt + self._examples(strategy) + wish), *said]

    def _examples(self, strategy: Strategy | None) -> str:
        """The exchanges as a part of the prompt; empty without any."""
        fitting = sorted(self._shown, key=lambda one: strategy is None or one.strategy != strategy.name)
        told = [f"They wrote: {one.seeker}\nYou answered: {one.supporter}" for one in fitting]
        return "\n\nSome answers of yours, to show the tone:\n\n" + "\n\n".join(told) if told else ""


@cache
def _open_run_at(path: str) -> Supporter:
    run = RunFolder.open(Path(path))
    recipe: dict[str, Any] = run.manifest.recipe
    decoding, policy = Decoding.model_validate(recipe["decoding"]), StrategyPolicy()
    settings = read_settings(run.model)
    gguf = run.model / GGUF
    if gguf.is_file() and gguf.stat().st_mtime >= (run.model / WEIGHTS).stat().st_mtime:
        renderer = _renderer(settings)
        return EngineSupporter(path, Engine(gguf), renderer, decoding, policy)
    system = load_system(run)
    if not system.exportable or system.backbone.model.config.model_type != "llama":
        return SystemSupporter(path, system, decoding, policy)
    export_gguf(system.backbone.model, system.backbone.renderer.tokenizer, gguf)
    return EngineSupporter(path, Engine(gguf), system.backbone.renderer, decoding, policy)


def _open_run(run: RunFolder) -> StreamingSupporter:
    supporter = _open_run_at(str(run.path))
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


def _open_example(conversation: Conversation, strategy: Strategy) -> Example:
    """The turn to be answered; response and strategy are placeholders that decoding never reads."""
    turns = conversation.turns
    return Example.model_construct(
        conversation_id=conversation.id,
        index=len(turns),
        turns_total=len(turns) + 1,
        context=turns,
        profile=conversation.profile,
        response="…",
        strategy=strategy,
        label_set=conversation.label_set,
    )
