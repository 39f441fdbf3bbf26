"""The chat page, where people talk in a browser."""

from fastapi import APIRouter

router = APIRouter()
