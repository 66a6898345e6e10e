"""Objects of a large JSON file, one at a time."""

from collections.abc import Iterator
from typing import Any

from studio.errors import DataError
from studio.material.parts import Part


def items(part: Part, prefix: str) -> Iterator[Any]:
    """Yield the values at a prefix of ijson; raises DataError where the file ends early or is no JSON."""
    import ijson

    try:
        with part.utf8() as file:
            yield from ijson.items(file, prefix, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise DataError("data.damaged", name=part.name, detail=str(error).splitlines()[0][:200]) from error
    except ValueError as error:
        raise DataError("data.damaged", name=part.name, detail=str(error)[:200]) from error


def text(value: Any) -> str:
    """Return a value that should be a text, empty where it is none; halves of a letter are replaced."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
