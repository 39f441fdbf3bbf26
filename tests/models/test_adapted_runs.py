"""Runs that the engine cannot hold still chat, through torch, and are told what they learned to read."""

import pytest
import torch

from hearten.core.conversation import Role
from hearten.core.records import Reply
from hearten.core.runfolder import Manifest, RunFolder
from hearten.core.taxonomy import label_set
from hearten.knowledge.kinds import Annotator
from hearten.knowledge.live import LiveKnowledge, Remembered
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models import supporters
from hearten.models.supporters import SystemSupporter, open_supporter
from hearten.models.systems.joint import Joint, JointConfig

pytestmark = pytest.mark.usefixtures("exact")


@pytest.mark.parametrize("kind", ["adapter-v1", "adapter-v2"])
def test_a_run_with_prompts_answers_through_torch(tiny_llama, tmp_path, conversations, kind):
    run = RunFolder(tmp_path / "run")
    torch.manual_seed(3)
    shape = BackboneConfig(name=str(tiny_llama), adapter=AdapterConfig(kind=kind))
    Joint(JointConfig(backbone=shape), label_set("esconv")).save(run.model)
    run.write_manifest(
        Manifest(
            system="joint",
            recipe={"decoding": {"max_tokens": 3, "min_tokens": 1}, "policy": {"kind": "argmax"}},
            seed=1,
            command="",
            created="",
            revision="",
            versions={},
            machine="",
            inputs={},
            protocol="seed13-910",
            split_hash="",
        )
    )
    supporter = open_supporter(str(run.path))
    assert isinstance(supporter, SystemSupporter)
    (reply,) = supporter.reply(conversations[0])
    assert reply.strategy in label_set("esconv")
    assert not list(run.model.glob("*.gguf"))


def test_what_a_system_reads_is_asked_before_it_answers(conversations, monkeypatch):
    met = []

    def generate(system, examples, decoding, policy):
        met.extend(examples)
        return [[Reply(text="I see.")]]

    monkeypatch.setattr(supporters, "generate", generate)
    letters = Annotator("letters", "", lambda texts: [{"letters": len(text)} for text in texts])
    knowledge = LiveKnowledge([Remembered(letters, "seeker")])

    class Bare:
        labels = label_set("esconv")

    supporter = SystemSupporter("bare", Bare(), Decoding(), StrategyPolicy(), knowledge)
    supporter.reply(conversations[0])
    (asked,) = met
    for turn in asked.context:
        expected = {"letters": len(turn.text)} if turn.speaker is Role.SEEKER else None
        assert turn.annotations == expected
