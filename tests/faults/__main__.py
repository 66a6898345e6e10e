"""Kill training runs, half of the times in a save, runs on preferences, then a sweep.

python -m tests.faults --kills 200
"""

import argparse
import sys
import tempfile
from pathlib import Path

from studio.config import RunConfig
from tests.faults.killing import SAVE_STEPS, Killing, Result, make_settings
from tests.faults.sweeping import SETTINGS, kill_sweep


def main() -> int:
    """Carry it out, print what came of it, and return 1 unless every kill was survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--preference-kills", type=int, default=40, help="how many on preferences (default: 40)")
    parser.add_argument("--sweep-kills", type=int, default=20, help="how many of a sweep (default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restyle-kills-") as folder:
        result = Killing(Path(folder), options.seed).carry_out(options.kills)
        print("\n".join(summary(result)), flush=True)
        preferred = Killing(Path(folder) / "preferences", options.seed, preferences=True)
        liked = preferred.carry_out(options.preference_kills)
        print("on preferences:", *summary(liked), sep="\n", flush=True)
        steps = max(20, 6 * options.sweep_kills)  # of each of three runs: a kill comes after nine more at most
        base = RunConfig.from_yaml(make_settings(Path(folder))).with_settings(SETTINGS | {"train.max_steps": steps})
        swept = kill_sweep(Path(folder) / "sweep", base.to_yaml(), options.sweep_kills, options.seed)
    print(*swept.problems, sep="\n")
    print(f"kills of a sweep survived: {swept.kills}, runs resumed {swept.resumed}, problems {len(swept.problems)}")
    return 1 if result.problems or liked.problems or swept.problems else 0


def summary(result: Result) -> list[str]:
    """Return the result in lines."""
    survived = result.tried - len(result.problems)
    survived_in_saves = result.in_saves - len(result.problems_in_saves)
    moments, calls = (
        ", ".join(f"{words} {count}" for words, count in counted.most_common())
        for counted in (result.moments, result.calls)
    )
    return [
        *(f"kill {number} was not survived: {'; '.join(words)}" for number, words in result.problems.items()),
        f"killed in: {moments}",
        f"of them right at a call: {calls or 0}",
        f"kills survived / tried: {survived} / {result.tried}, inside a save: {survived_in_saves} / {result.in_saves}",
        f"steps lost: at most {max(result.lost)}, {sum(result.lost) / len(result.lost):.2f} on average; "
        f"saved every {SAVE_STEPS}",
        f"starts {result.started}, resumes {result.resumed}, runs finished after kills {result.finished}, "
        f"adapters equal byte for byte {result.equal_bytes} / {result.finished}",
        f"largest difference after resume: losses {result.loss_difference}, weights {result.weight_difference}",
        f"seconds: {result.seconds:.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
