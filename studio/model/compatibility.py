"""Whether an adapter was made for a base: by the recorded hash, by the base's name, by the shapes.

All of it is known before anything is loaded. Only the first proves it: an adapter that the studio saved carries the
hash of its base's weights. Another's settings name an id or a path. The same id of the Hub is the same base; another
one is another base, whatever the shapes, unless the user confirms it. A path says nothing on another machine, and
the name of a mirror or of a quantized copy tells its original only by custom: there the shapes decide, and the
comparison says that it is not proven.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from studio import locks
from studio.errors import CompareError
from studio.files import home, read_json, replace_file
from studio.model import builtin, skeleton
from studio.model.adapter_files import SavedAdapter
from studio.model.load import Located
from studio.model.weight_files import list_names

Evidence = Literal["weights", "name", "shapes", "vouched"]
"""The hash of the weights, the same name, fitting shapes alone, or these and the user's confirmation."""
EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)
"""The strongest first."""

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SNAPSHOT = re.compile(r".*models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COPY = re.compile(
    r"(?i)([-_.](unsloth|bnb|gptq|awq|eetq|hqq|mlx|gguf|nf4|fp8|fp16|bf16|w\d+a\d+|int[48]|(4|8|16)-?bit|dynamic))+$"
)
"""The end of the names of quantized and converted copies: `-unsloth-bnb-4bit`, `-GPTQ-Int4`."""
_MIRRORS = ("unsloth/",)
"""Owners whose repositories have the names of their originals."""
UNNAMED = "–"
_CONFIRMED = "vouched.json"
"""File in the home: for each base, by the hash of its weights, the other names that the user has confirmed for it."""


@dataclass(frozen=True)
class Compatibility:
    """That an adapter may be put into a base, and how that is known."""

    saved: SavedAdapter | None
    """None for the adapter that is being trained, which is in no folder."""
    made_for: str
    """The base that it names."""
    known: Evidence


def check(
    saved: SavedAdapter, located: Located, made_for: Mapping[str, str | None] | None = None, *, same_base: bool = False
) -> Compatibility:
    """Return how it is known that an adapter fits a base; raises CompareError when it was made for another one.

    `made_for` is the base that it was made for, where its folder does not say so. With `same_base` the user confirms
    that it names this base by another name, as they may have done before (`confirm`).
    """
    named = made_for or saved.base
    evidence = compare_identities(named, located.identity, located.path)
    base_name = named["id"] or UNNAMED
    if evidence is None:
        may_be_confirmed = named["weights"] is None
        if not may_be_confirmed or not (same_base or is_confirmed(base_name, located.identity)):
            key = "compare.other_name" if may_be_confirmed else "compare.other_base"
            raise CompareError(key, made_for=base_name, loaded=located.id)
        evidence = "vouched"
    if evidence != "weights":
        _require_shapes(saved, located, base_name)
    return Compatibility(saved, base_name, evidence)


def compare_identities(
    made_for: Mapping[str, str | None], base: Mapping[str, str | None], place: Path | None = None
) -> Evidence | None:
    """Return the best evidence without the shapes, None for two bases; `place` is the folder of ours."""
    if made_for["weights"] is not None:
        return "weights" if made_for["weights"] == base["weights"] else None
    theirs, revision = str(made_for["id"] or ""), made_for.get("revision")
    if match := _SNAPSHOT.fullmatch(theirs):  # a path into the Hub's cache holds both
        theirs, revision = f"{match[1]}/{match[2]}", match[3]
    ours, is_folder = str(base["id"]), base["revision"] is None
    for each in (ours if is_folder else None, place):
        is_same = each and Path(theirs).is_absolute() and Path(theirs).resolve() == Path(each).resolve()
        if theirs and (is_same or theirs == str(each)):
            return "name"
    if not is_folder and theirs.casefold() == ours.casefold():
        commits = [bool(_COMMIT.fullmatch(each or "")) for each in (revision, base["revision"])]
        # the built-in model from its package has the id of the Hub's, and other weights
        is_another = base["revision"] == builtin.PACKAGE or (all(commits) and revision != base["revision"])
        return "shapes" if is_another else "name"
    if _HUB_ID.fullmatch(theirs) and not _may_be_copies(theirs, ours, is_folder):
        return None
    return "shapes"


def _may_be_copies(theirs: str, ours: str, is_folder: bool) -> bool:
    """Whether an id of the Hub may be of a copy of our base, or of its original, as such are named by custom."""
    copied = [bool(_COPY.search(name)) or name.casefold().startswith(_MIRRORS) for name in (theirs, ours)]
    if is_folder:
        return copied[0] or _last(theirs) == _last(ours)
    originals = {_COPY.sub("", _last(name)) for name in (theirs, ours)}
    return any(copied) and len(originals) == 1


def _last(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].casefold()


def _require_shapes(saved: SavedAdapter, located: Located, made_for: str) -> None:
    """Raise CompareError unless the base has the adapter's modules, in its sizes; both bases are named."""
    ours = skeleton.modules(located.path)
    names = {"folder": saved.folder.name, "made_for": made_for, "loaded": located.id}
    if missing := [path for path in saved.modules if path not in ours]:
        raise CompareError("compare.other_modules", modules=list_names(missing), **names)
    for path, theirs in saved.modules.items():
        if (theirs.inputs, theirs.outputs) != ours[path]:
            sizes = {"theirs": f"{theirs.inputs} × {theirs.outputs}", "ours": "{} × {}".format(*ours[path])}
            raise CompareError("compare.other_shapes", module=path, **sizes, **names)


def is_confirmed(name: str, base: Mapping[str, str | None]) -> bool:
    """Whether the user has confirmed that `name` is another name of `base`: a mirror, a fork or a copy."""
    return name.casefold() in read_json(home() / _CONFIRMED).get(str(base["weights"]), [])


def confirm(name: str, base: Mapping[str, str | None], *, same: bool = True) -> None:
    """Store that the user confirms that `name` is another name of `base`, or (not `same`) no longer does."""
    with locks.acquire(home() / f"{_CONFIRMED}.lock"):
        known = read_json(home() / _CONFIRMED)
        names = {each for each in known.get(str(base["weights"]), []) if each != name.casefold()}
        known[str(base["weights"])] = sorted(names | {name.casefold()} if same else names)
        replace_file(home() / _CONFIRMED, json.dumps(known, ensure_ascii=False, indent=1))
