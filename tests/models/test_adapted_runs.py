"""A run whose adapter is no change of weights still chats: through torch, not through the engine."""

import pytest
import torch

from hearten.core.runfolder import Manifest, RunFolder
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
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
