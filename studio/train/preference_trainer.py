"""Training on preferences: TRL's `DPOTrainer` and `KTOTrainer` on rows that are token ids already.

The adapter as it is at the start is the reference. What it makes of the rows is computed once, before the first step,
and kept with the run: a resumed run compares with the same numbers, and no step needs a second model.

DPO: Rafailov et al. 2023, arXiv 2305.18290. Single answers are learned with KTO's loss (Ethayarajh et al. 2024, arXiv
2402.01306) without its estimate of the divergence, which in steps of a few rows would be noise (`apo_zero_unpaired`,
D'Oosterlinck et al. 2024, arXiv 2408.06266).

Of the studio, this file needs `packed_trainer.py` alone: an exported script has copies of both beside it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer
from trl import DPOTrainer, KTOTrainer
from typing_extensions import override

from studio.train.packed_trainer import IGNORE_INDEX, micro_batches, patch_adapter_forward

REFERENCE = "ref"
"""TRL's name of the copy of the adapter at the start."""


class PreferenceCollator:
    """Makes the micro-batches of a step from its rows; a pair counts with both answers, padded to the longer one."""

    def __init__(self, most: int, pad: int):
        """`most` is the size of a micro-batch in tokens, padding included."""
        self._most, self._pad = most, pad

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the number of each row (from it, transformers takes how many there are), and the micro-batches."""
        answers = 2 if "rejected_ids" in rows[0] else 1
        lengths = [max(len(row["input_ids"]), len(row.get("rejected_ids", ()))) for row in rows]
        parts = micro_batches(lengths, self._most // answers, padded=True)
        return {"rows": torch.arange(len(rows)), "parts": [self._part(rows, numbers) for numbers in parts]}

    def _part(self, rows: Sequence[dict[str, Any]], numbers: list[int]) -> dict[str, Any]:
        chosen = [rows[number] for number in numbers]
        sides = [(row["input_ids"], row["labels"]) for row in chosen]
        sides += [(row["rejected_ids"], row["rejected_labels"]) for row in chosen if "rejected_ids" in row]
        ids = [torch.tensor(ids) for ids, _ in sides]
        masks = [(torch.tensor(labels) != IGNORE_INDEX).long() for _, labels in sides]
        part = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self._pad),
            "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
            "completion_mask": pad_sequence(masks, batch_first=True),
            "numbers": numbers,
        }
        if "good" in chosen[0]:
            part["label"] = torch.tensor([row["good"] for row in chosen])
        references = [name for name in chosen[0] if name.startswith("ref_")]
        return {**part, **{name: torch.tensor([row[name] for row in chosen]) for name in references}}


class PreferenceTrainer(Trainer):
    """What both trainers of preferences share: steps that are cut into micro-batches, and the reference."""

    columns: tuple[str, ...]
    """TRL's names of the reference's log-probabilities of a row's answers."""
    packed = scored = router_loss_fails = False

    def __init__(self, most_tokens: int, **settings: Any):
        super().__init__(**settings)
        self.data_collator = PreferenceCollator(most_tokens, self.processing_class.pad_token_id)
        self.loss_is_scaled_for_ga = True  # by `_weight`
        self._weight = 1.0
        self._sums: dict[str, list[float]] = {}

    def _prepare_dataset(self, dataset: Any, *args: Any, **settings: Any) -> Any:
        return dataset  # it is tokenized

    @override
    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # transformers would estimate them for its log

    def prepare_reference(self, keep: Callable[[str, Callable[[], Any]], Any] | None = None) -> None:
        """Add to each row what the adapter at the start makes of its answers, and let go of TRL's copy of that adapter.

        `keep(name, compute)` returns what it has kept for the `train` or `validation` rows, or keeps what it computes.
        Callbacks take each forward pass for a substep.
        """
        for name, attribute in (("train", "train_dataset"), ("validation", "eval_dataset")):
            if (rows := getattr(self, attribute)) is None:
                continue
            compute = functools.partial(self._reference, rows)
            numbers = keep(name, compute) if keep else compute()
            rows = rows.with_format("arrow")[:]
            for column, values in zip(self.columns, numbers, strict=True):
                rows = rows.append_column(column, [values])
            setattr(self, attribute, Dataset(rows))
        self.model.delete_adapter(REFERENCE)
        self.precompute_ref_logps = True
        patch_adapter_forward(self.model, self.model.active_adapter)

    def _reference(self, rows: Any) -> Any:
        """Return the log-probabilities of all answers under the reference, of the shape (answers of a row, rows)."""
        result = numpy.zeros((len(self.columns), len(rows)), dtype=numpy.float32)
        size = self.args.per_device_train_batch_size
        self.model.eval()
        for start in range(0, len(rows), size):
            chosen = [rows[number] for number in range(start, min(start + size, len(rows)))]
            for part in self.data_collator(chosen)["parts"]:
                numbers = [start + number for number in part.pop("numbers")]
                logps = self.compute_ref_log_probs(self.model, self._prepare_inputs(part))
                for place in range(len(self.columns)):
                    result[place, numbers] = logps[place].float().cpu().numpy()
                self.control = self.callback_handler.on_substep_end(self.args, self.state, self.control)
        return result

    @override
    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=self.args.device)
        for number, part in enumerate(parts := inputs["parts"], 1):
            self._weight = len(part.pop("numbers")) / len(inputs["rows"])
            total += super().training_step(model, part).to(total)
            if number < len(parts):
                self.control = self.callback_handler.on_substep_end(self.args, self.state, self.control)
        return total

    @override
    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[torch.Tensor, None, None]:
        """Return the mean loss of the rows of a batch, of which transformers takes the mean by their number."""
        total = torch.zeros((), dtype=torch.float32, device=self.args.device)
        for part in inputs["parts"]:
            self._weight = len(part.pop("numbers")) / len(inputs["rows"])
            with torch.no_grad(), self.compute_loss_context_manager():
                total += self.compute_loss(model, self._prepare_inputs(part)).to(total)
        return total, None, None

    @override
    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **settings: Any) -> Any:
        loss = super().compute_loss(model, inputs)
        for name, (value, weight) in self._judged(inputs).items():
            known = self._sums.setdefault(name, [0.0, 0.0])
            known[0] += value * weight
            known[1] += weight
        return loss * self._weight

    def _judged(self, inputs: dict[str, Any]) -> dict[str, tuple[float, int]]:
        """Return what TRL has measured of a micro-batch, each with the number of rows that it is the mean of."""
        raise NotImplementedError

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the reward margin, and the share of pairs whose better answer has the higher reward, as means of rows."""
        prefix = "" if self.model.training else "eval_"
        means = {name: total / weight for name, (total, weight) in self._sums.items() if weight}
        if {"good", "bad"} <= means.keys():
            means["margin"] = means["good"] - means["bad"]
        logs |= {f"{prefix}{name}": means[name] for name in ("margin", "accuracy") if name in means}
        self._sums.clear()
        super().log(logs, start_time)

    @override
    def evaluate(self, *args: Any, **settings: Any) -> dict[str, float]:
        """Score the validation rows; what training has measured since its last log stays apart."""
        training, self._sums = self._sums, {}
        try:
            return super().evaluate(*args, **settings)
        finally:
            self._sums = training


class PairTrainer(PreferenceTrainer, DPOTrainer):
    """Learns which of two answers is better."""

    columns = ("ref_chosen_logps", "ref_rejected_logps")

    @override
    def _judged(self, inputs: dict[str, Any]) -> dict[str, tuple[float, int]]:
        measured = self._metrics["train" if self.model.training else "eval"]
        pairs = len(inputs["input_ids"]) // 2
        names = {"margin": "rewards/margins", "accuracy": "rewards/accuracies"}
        return {name: (measured[key][-1], pairs) for name, key in names.items()}


class VerdictTrainer(PreferenceTrainer, KTOTrainer):
    """Learns from answers that are good or bad."""

    columns = ("ref_logps",)

    @override
    def _judged(self, inputs: dict[str, Any]) -> dict[str, tuple[float, int]]:
        measured = self._metrics["train" if self.model.training else "eval"]
        good = int(inputs["label"].sum())
        counts = {"good": ("rewards/chosen", good), "bad": ("rewards/rejected", len(inputs["label"]) - good)}
        return {name: (measured[key][-1], count) for name, (key, count) in counts.items() if count}


def own_arguments(method: str, beta: float, rows: Any) -> dict[str, Any]:
    """Return what TRL's arguments of a training with `dpo` or `kto` on these rows have that others do not.

    Good and bad answers count so that both have the same part in the loss (KTO's equation 8).
    """
    result: dict[str, Any] = {"beta": beta, "remove_unused_columns": False, "disable_dropout": True}
    if method == "dpo":
        return result
    good = sum(rows["good"])
    bad = len(rows) - good
    most = max(good, bad)
    weights = {"desirable_weight": most / good if good else 1.0, "undesirable_weight": most / bad if bad else 1.0}
    return {**result, **weights, "loss_type": "apo_zero_unpaired"}
