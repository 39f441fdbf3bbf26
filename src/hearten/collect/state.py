"""What collect's routes reach: the studies, the hub of live rooms, the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from hearten.collect.attention import Attention
from hearten.collect.live import Hub
from hearten.collect.partner import Partners
from hearten.collect.study import Study
from hearten.collect.training import tutorial


@dataclass(frozen=True, slots=True)
class Collect:
    """The stage in one server process."""

    studies: Mapping[str, Study]
    hub: Hub
    partners: Partners


def collect(connection: HTTPConnection) -> Collect:
    """The `Collect` that serves this connection."""
    return cast(Collect, connection.app.state.collect)


def study_named(connection: HTTPConnection, name: str) -> Study:
    """The study of an address.

    Raises:
        HTTPException: 404.
    """
    study = collect(connection).studies.get(name)
    if study is None:
        raise HTTPException(404, "no such study")
    return study


@cache
def attention_to(content: str) -> Attention:
    """What is watched for under one tutorial."""
    return Attention(tutorial(content).sentences())
