"""One file per published system. `SYSTEMS` is the whole list; `hearten train --system` takes its names."""

from hearten.models.system import System
from hearten.models.systems.admisc import Admisc
from hearten.models.systems.fado import Fado
from hearten.models.systems.glhg import Glhg
from hearten.models.systems.joint import Joint
from hearten.models.systems.kemi import Kemi
from hearten.models.systems.mime import Mime
from hearten.models.systems.misc import Misc
from hearten.models.systems.moel import Moel
from hearten.models.systems.multiesc import Multiesc
from hearten.models.systems.transesc import Transesc
from hearten.models.systems.transformer import MultitaskTransformer, Transformer
from hearten.models.systems.vanilla import Vanilla

SYSTEMS: dict[str, type[System]] = {
    "vanilla": Vanilla,
    "joint": Joint,
    "transformer": Transformer,
    "mt-transformer": MultitaskTransformer,
    "moel": Moel,
    "mime": Mime,
    "misc": Misc,
    "multiesc": Multiesc,
    "glhg": Glhg,
    "fado": Fado,
    "kemi": Kemi,
    "transesc": Transesc,
    "admisc": Admisc,
}
"""Name → class; Oracle and Random are decoding policies of Joint (`models/catalogue.py`)."""
