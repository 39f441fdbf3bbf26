"""x."""
from typing import Literal
from hearten.core.config import Config
StrategyPolicy = Literal["sampled","argmax","gold","random"]
class Decoding(Config):
    """x."""
def generate(*a, **k):
    """x."""
