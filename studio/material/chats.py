"""The chat formats, by what a file holds."""

from types import ModuleType

from studio.material import discord, kakaotalk, mail, messenger, slack, telegram, whatsapp
from studio.material.parts import Part

FORMATS: tuple[ModuleType, ...] = (telegram, discord, messenger, slack, mail, whatsapp, kakaotalk)
"""Modules with `NAME`, `matches(part)` and `read(part)`; of text ones, the stricter stand first."""
IN_ORDER = (whatsapp, kakaotalk)
"""Formats whose order is kept: their times are those of a phone, to the minute, and a clock may be set back."""


def format_of(part: Part) -> ModuleType | None:
    """Return the module of a file's chat format; None for what is no chat export that is known."""
    return next((module for module in FORMATS if module.matches(part)), None)


def names() -> str:
    """Return the names of the formats, separated by commas."""
    return ", ".join(module.NAME for module in FORMATS)
