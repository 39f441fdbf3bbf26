"""Every format hearten knows, by name; the first that recognises a file reads it."""

from hearten.data.formats.alpaca import ALPACA
from hearten.data.formats.chat import CHAT
from hearten.data.formats.conversations import CONVERSATIONS
from hearten.data.formats.convokit import CONVOKIT
from hearten.data.formats.draft import Format
from hearten.data.formats.empathetic import CSV, LINES
from hearten.data.formats.esconv import ESCONV, FAILED
from hearten.data.formats.esconv_tsv import TSV
from hearten.data.formats.extes import EXTES
from hearten.data.formats.turns_csv import TURNS_CSV

FORMATS: dict[str, Format] = {
    "esconv": ESCONV,
    "esconv-failed": FAILED,
    "esconv-tsv": TSV,
    "extes": EXTES,
    "empatheticdialogues": LINES,
    "empatheticdialogues-csv": CSV,
    "convokit": CONVOKIT,
    "chat": CHAT,
    "csv": TURNS_CSV,
    "alpaca": ALPACA,
    "conversations": CONVERSATIONS,
}

__all__ = ["FORMATS", "Format"]
