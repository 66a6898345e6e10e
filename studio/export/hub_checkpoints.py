"""Keeps the checkpoints and the adapter of a training script in a private repository of the Hub, and resumes from it.

A copy of this file stands beside the exported script; it imports no other module of the studio.
"""

import json
import shutil
import time
from pathlib import Path

from huggingface_hub import HfApi
from transformers import TrainerCallback

CHECKPOINTS, ADAPTER = "checkpoints", "adapter"
LAST_SECONDS = 600.0
"""How long the last upload is tried."""
_STATE = "trainer_state.json"


class HubCheckpoints(TrainerCallback):
    """Uploads what a trainer saves. Needs a token that may write: HF_TOKEN, or a login."""

    def __init__(self, repository, out):
        """Make the private `repository` (OWNER/NAME) where it is missing; `out` is the folder of checkpoints/."""
        self.api, self.repository, self.folder = HfApi(), repository, Path(out) / CHECKPOINTS
        self.is_behind = False
        self.api.create_repo(repository, private=True, exist_ok=True)
        if not self.api.repo_info(repository).private:
            raise SystemExit(f"{repository} is public, so nothing is pushed to it. Make it private, or name another.")

    def save_every(self, arguments, steps):
        """Let the trainer save every so many steps, unless it saves already to keep the best."""
        if arguments.save_strategy == "no":
            arguments.save_strategy, arguments.save_steps, arguments.save_total_limit = "steps", steps, 1

    def fetch(self):
        """Return the newest whole checkpoint, of the repository or of this machine; None where there is none."""
        self.api.snapshot_download(self.repository, local_dir=self.folder.parent, allow_patterns=f"{CHECKPOINTS}/*")
        for checkpoint in sorted(self.folder.glob("checkpoint-*"), key=_step, reverse=True):
            if _is_whole(checkpoint, self.folder):
                print(f"resumes at step {_step(checkpoint)}", flush=True)
                return str(checkpoint)
            shutil.rmtree(checkpoint)  # a kill came while it was written
        return None

    def on_save(self, args, state, control, **settings):
        """Upload the checkpoints; where that fails, the next save does it."""
        try:
            self._upload(self.folder, CHECKPOINTS, "checkpoint-*", f"step {state.global_step}")
            self.is_behind = False
        except Exception as error:
            self.is_behind = True
            print(f"step {state.global_step} was not pushed: {type(error).__name__}", flush=True)

    def push_adapter(self, folder):
        """Upload the adapter, and checkpoints that were not pushed; try again while the network is gone."""
        end, wait = time.monotonic() + LAST_SECONDS, 1.0
        while True:
            try:
                if self.is_behind:
                    self._upload(self.folder, CHECKPOINTS, "checkpoint-*", "last checkpoint")
                    self.is_behind = False
                self._upload(folder, ADAPTER, None, "adapter")
            except Exception as error:
                if isinstance(error, ValueError) or time.monotonic() > end:
                    raise
                print(f"the adapter is not pushed yet: {type(error).__name__}: {error}", flush=True)
                time.sleep(wait)
                wait = min(wait * 2, 60.0)
            else:
                print(f"the adapter is in {self.repository}", flush=True)
                return

    def _upload(self, folder, path, pattern, message):
        patterns = {"allow_patterns": pattern, "delete_patterns": "*"}
        patterns["ignore_patterns"] = "*README.md"  # PEFT's names the base by its folder, which the Hub refuses
        about = {"repo_id": self.repository, "path_in_repo": path, "commit_message": message}
        self.api.upload_folder(folder_path=folder, **about, **patterns)


def _step(checkpoint):
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint, folder):
    """Whether a checkpoint has the file that is written last; the best one that it names is looked for in `folder`."""
    path = checkpoint / _STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if best := state.get("best_model_checkpoint"):
        state["best_model_checkpoint"] = str(folder / Path(best).name)
        path.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    return True
