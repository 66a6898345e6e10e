"""A rendered text in pieces: which of them are trained, and where they spell special tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studio.data.special_tokens import Span


@dataclass(frozen=True)
class Segment:
    """A piece of text that is trained as a whole, or not at all."""

    text: str
    trained: bool
    withheld: bool = False
    """Whether it is not to be trained on even where prompts are."""
    plain: tuple[Span, ...] = ()
    """Where the text spells special tokens that are ordinary text, in order."""


@dataclass(frozen=True)
class Rendering:
    """A row as text."""

    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    """Kinds of problems that the row has although it is used, by their names in the catalogues under `problems`."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True)
class Part:
    """A part of a text that is trained, or withheld from training, from `start` to `end`."""

    start: int
    end: int
    trained: bool = True


def cut(text: str, parts: Iterable[Part], plain: Sequence[Span] = ()) -> tuple[Segment, ...]:
    """Cut a text at its parts; what is between them is context. Empty pieces are left out."""
    segments: list[Segment] = []

    def add(start: int, end: int, trained: bool, withheld: bool) -> None:
        if start < end:
            inside = tuple((a - start, b - start) for a, b in plain if start <= a and b <= end)
            segments.append(Segment(text[start:end], trained, withheld, inside))

    done = 0
    for part in parts:
        start, end = max(part.start, done), max(part.end, done)
        add(done, start, trained=False, withheld=False)
        add(start, end, part.trained, not part.trained)
        done = end
    add(done, len(text), trained=False, withheld=False)
    return tuple(segments)
