"""Names of bases that the user has said to be the same model: mirrors, forks and copies that nothing else proves.

Kept in `<home>/vouched.json`, for each base (by the hash of its weights) the other names of it.
"""

import json
from collections.abc import Mapping

from studio import locks
from studio.files import home, replace_file

_FILE = "vouched.json"


def holds(name: str, base: Mapping[str, str | None]) -> bool:
    """Whether the user has said that `name` is another name of `base`."""
    return name.casefold() in _known().get(str(base["weights"]), [])


def remember(name: str, base: Mapping[str, str | None], *, same: bool = True) -> None:
    """Keep that the user says that `name` is another name of `base`, or no longer says so."""
    with locks.acquire(home() / f"{_FILE}.lock"):
        known = _known()
        names = {each for each in known.get(str(base["weights"]), []) if each != name.casefold()}
        known[str(base["weights"])] = sorted(names | {name.casefold()} if same else names)
        replace_file(home() / _FILE, json.dumps(known, ensure_ascii=False, indent=1))


def _known() -> dict[str, list[str]]:
    try:
        found = json.loads((home() / _FILE).read_bytes())
    except (OSError, ValueError):  # none yet, or damaged from outside: what nobody says is not taken for said
        return {}
    return found if isinstance(found, dict) else {}
