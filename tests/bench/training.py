"""The same fine-tuning by the studio and by what people use instead: job time, validation loss, useful share.

    python -m tests.bench.training [short|long] [ARM …] [FOLDER] [--processor]

Model, data, adapter, rows of a step and number of examples are the same for all; each arm is a process of its own,
timed from its start to its end, when the adapter is saved. The arms go in turn, and the validation loss of each adapter
is computed afterwards, in float32, by the same code. Writes a table to standard output and `training.md`, a picture to
`training.svg`, both beside this file.

Arms: `studio` with its automatic settings; `trl` as its defaults are; `padded`, on short rows, a loop that pads all to
512 tokens and computes all logits; `loop`, by hand, with rows of like length together and logits where there is loss
alone. What ends in `16` or `32` is the same in bfloat16 or float32. With a folder, what has been trained there already
is not trained again. With `--processor` there are fewer rows, one thread works, and its processor time is what the
share is taken of: other work on the machine hardly moves that.
"""

import json
import os
import platform
import random
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NAMES = ("studio", "trl", "padded", "loop")
ARMS = {
    "short": ("studio", "studio32", "trl", "padded", "loop", "loop16"),
    "long": ("studio", "studio32", "trl", "loop", "loop16"),
}
BATCH, RANK, ALPHA, RATE, SEED, LONGEST = 8, 16, 32, 2e-4, 42, 512
ROWS = {"short": (128, 24), "long": (64, 12)}
"""Rows to train and to validate on."""
PROCESSOR = "--processor" in sys.argv
if PROCESSOR:
    ROWS = {"short": (48, 24), "long": (24, 12)}


def make_rows(kind: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return training and validation rows: the captain's answers, or several in one long instruction."""
    text = (ROOT / "presets" / "data" / "captain.jsonl").read_text(encoding="utf-8")
    single = [json.loads(line) for line in text.splitlines()]
    chance = random.Random(SEED)
    chance.shuffle(single)
    train, held = ROWS[kind]
    if kind == "short":
        return single[:train], single[train : train + held]

    def joined(pool: list[dict[str, str]]) -> dict[str, str]:
        taken = chance.sample(pool, chance.randint(3, 8))
        questions = "\n".join(f"{number}. {row['instruction']}" for number, row in enumerate(taken, 1))
        answers = "\n".join(f"{number}. {row['output']}" for number, row in enumerate(taken, 1))
        return {"instruction": f"Answer each of these questions, one after the other.\n{questions}", "output": answers}

    return [joined(single[60:]) for _ in range(train)], [joined(single[:60]) for _ in range(held)]


def settings(data: Path) -> str:
    """Return the studio's settings, as YAML."""
    from studio.config import RunConfig

    config = RunConfig().with_settings(
        {
            "data.source": {"kind": "file", "name": str(data)},
            "data.validation": {"kind": "none"},
            "data.max_length": LONGEST,
            "lora.r": RANK,
            "lora.alpha": ALPHA,
            "train.epochs": 1,
            "train.learning_rate": RATE,
            "train.batch_size": BATCH,
            "train.seed": SEED,
            "samples.mode": "off",
        }
    )
    return config.to_yaml()


class Watch:
    """Counts the tokens that go through a model, and the seconds inside of steps."""

    def __init__(self) -> None:
        self.computed = self.real = self.needed = self.logits = 0
        self.inside = self.inside_processor = 0.0
        self.first: float | None = None

    def wrap(self, function):
        """Return a function whose time counts as inside of forward, backward or optimizer."""

        def timed(*args, **kwargs):
            self.first = self.first or time.time()
            began, processor = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.inside += time.perf_counter() - began
                self.inside_processor += time.process_time() - processor

        return timed

    def write(self, folder: Path) -> None:
        """Leave the counts for the bench."""
        (folder / "watch.json").write_text(json.dumps(vars(self)))


def base_folder() -> Path:
    """Return the folder of the built-in model."""
    from studio.model import builtin

    return builtin.folder()


def tokenized(rows: list[dict[str, str]], tokenizer) -> list[tuple[list[int], list[int]]]:
    """Return ids and labels of each row, as TRL makes them of prompt and completion."""
    found = []
    for row in rows:
        turn = [{"role": "user", "content": row["instruction"]}]
        prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=True, return_dict=False)
        turn.append({"role": "assistant", "content": row["output"]})
        ids = tokenizer.apply_chat_template(turn, tokenize=True, return_dict=False)
        found.append((ids[:LONGEST], ([-100] * len(prompt) + ids[len(prompt) :])[:LONGEST]))
    return found


def studio(folder: Path, precision: str | None) -> None:
    """Train with the studio's command line, in this process; the sample timeline, which no other arm has, is off."""
    watch = Watch()
    os.environ["RESTYLE_HOME"] = str(folder / "home")

    def listen() -> None:
        from studio.train import packed_trainer

        step, score = packed_trainer.PackedTrainer.training_step, packed_trainer.ChunkedCrossEntropy.apply

        def stepping(trainer, model, inputs, count=None):
            watch.needed += int((inputs["shift_labels"] != -100).sum())
            watch.real += int(inputs["lengths"].sum())
            watch.computed += sum(part["input_ids"].numel() for part in inputs["parts"])
            return watch.wrap(step)(trainer, model, inputs, count)

        def scoring(hidden, *rest):
            watch.logits += len(hidden)
            return score(hidden, *rest)

        packed_trainer.PackedTrainer.training_step, packed_trainer.ChunkedCrossEntropy.apply = stepping, scoring
        time_optimizer(watch)

    from studio.train import trainer

    real, listening = trainer.build_trainer, []

    def building(*args, **kwargs):
        if not listening:
            listening.append(listen())
        return real(*args, **kwargs)

    trainer.build_trainer = building
    sys.argv = ["studio", "train", str(folder / "run.yaml")]
    if precision:
        sys.argv += ["--set", f"model.precision={precision}"]
    try:
        runpy.run_module("studio", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        watch.write(folder)
    (made,) = (folder / "home" / "runs").glob("*/adapter")
    made.rename(folder / "adapter")


def time_optimizer(watch: Watch) -> None:
    """Count what all optimizers take."""
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    began = []
    register_optimizer_step_pre_hook(lambda *_: began.append(time.perf_counter()))

    def add(*_) -> None:
        watch.inside += time.perf_counter() - began.pop()

    register_optimizer_step_post_hook(add)


def trl(folder: Path, precision: str | None) -> None:
    """Train with TRL as its documentation shows it; on a processor it must be told so."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    watch = Watch()
    step = SFTTrainer.training_step

    def stepping(trainer, model, inputs, count=None):
        watch.needed += int((inputs["labels"][:, 1:] != -100).sum())
        watch.real += int(inputs["attention_mask"].sum())
        watch.computed += inputs["input_ids"].numel()
        watch.logits += inputs["input_ids"][:, 1:].numel()
        return watch.wrap(step)(trainer, model, inputs, count)

    SFTTrainer.training_step = stepping
    time_optimizer(watch)
    rows = load_dataset("json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=str(folder / "cache"))
    rows = rows.map(
        lambda row: {
            "prompt": [{"role": "user", "content": row["instruction"]}],
            "completion": [{"role": "assistant", "content": row["output"]}],
        },
        remove_columns=rows.column_names,
    )
    arguments = {"bf16": False} if not torch.cuda.is_available() and precision != "bfloat16" else {}
    trainer = SFTTrainer(
        model=str(base_folder()),
        train_dataset=rows,
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
        args=SFTConfig(
            output_dir=str(folder / "out"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            seed=SEED,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            **arguments,
        ),
    )
    trainer.train()
    trainer.save_model(str(folder / "adapter"))
    watch.write(folder)


def loop(folder: Path, precision: str | None, *, padded: bool = False) -> None:
    """Train by hand: with care, or (`padded`) with random rows, padded to 512, and all logits."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, get_linear_schedule_with_warmup

    watch = Watch()
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(base_folder())
    rows = tokenized([json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()], tokenizer)
    base = AutoModelForCausalLM.from_pretrained(base_folder(), dtype=getattr(torch, precision or "float32"))
    where = "cuda" if torch.cuda.is_available() else "cpu"
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).to(where).train()
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    order = random.Random(SEED).sample(range(len(rows)), len(rows))
    if not padded:
        order.sort(key=lambda row: len(rows[row][0]))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    random.Random(SEED).shuffle(batches)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, len(batches))

    def step(batch: list[int]) -> None:
        wide = LONGEST if padded else max(len(rows[row][0]) for row in batch)
        ids = torch.full((len(batch), wide), tokenizer.pad_token_id)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for at, row in enumerate(batch):
            length = len(rows[row][0])
            ids[at, :length], labels[at, :length], mask[at, :length] = *map(torch.tensor, rows[row]), 1
        ids, labels, mask = ids.to(where), labels.to(where), mask.to(where)
        with torch.autocast(where, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            if padded:
                loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
                watch.logits += labels.numel()
            else:
                hidden = base.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
                wanted = labels[:, 1:] != -100
                logits = base.lm_head(hidden[wanted])
                loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted])
                watch.logits += len(logits)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        watch.needed += int((labels[:, 1:] != -100).sum())
        watch.real += int(mask.sum())
        watch.computed += ids.numel()

    for batch in batches:
        watch.wrap(step)(batch)
    model.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    watch.write(folder)


def one_arm(arm: str, folder: Path) -> None:
    """Train in this process."""
    precision = {"16": "bfloat16", "32": "float32"}.get(arm[-2:])
    name = arm.removesuffix("16").removesuffix("32")
    if name == "padded":
        loop(folder, precision, padded=True)
    else:
        {"studio": studio, "trl": trl, "loop": loop}[name](folder, precision)


def validation_losses(folder: Path, arms: Sequence[str], held: list[dict[str, str]]) -> dict[str, float]:
    """Return the mean loss a trained token of each arm's adapter on the validation rows, in float32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(base_folder(), dtype=torch.float32)
    rows = tokenized(held, AutoTokenizer.from_pretrained(base_folder()))
    wrapped = None
    for arm in arms:
        if wrapped is None:
            wrapped = PeftModel.from_pretrained(base, folder / arm / "adapter", adapter_name=arm)
        else:
            wrapped.load_adapter(folder / arm / "adapter", arm)
    found = {}
    for arm in arms:
        wrapped.set_adapter(arm)
        losses, count = 0.0, 0
        for ids, labels in rows:
            with torch.no_grad():
                logits = wrapped(input_ids=torch.tensor([ids])).logits[0, :-1]
            losses += torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), reduction="sum").item()
            count += sum(label != -100 for label in labels[1:])
        found[arm] = losses / count
    return found


def timed(arm: str, folder: Path) -> dict[str, float]:
    """Train with an arm in a process of its own; return its seconds, and the processor's of all cores."""
    command = [sys.executable, "-m", "tests.bench.training", "--arm", arm, str(folder)]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    quiet["PYTHONDONTWRITEBYTECODE"] = ""  # a program that is started again has its modules compiled already
    if PROCESSOR:
        quiet |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        subprocess.run(command, cwd=ROOT, env=os.environ | quiet, stdout=log, stderr=log, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"began": began, "seconds": time.time() - began, "processor": processor}


def measure(kind: str, arms: Sequence[str], folder: Path) -> list[dict[str, float | str]]:
    """Run all arms on one data set, and return a line of the table for each."""
    train, held = make_rows(kind)
    times = {}
    for arm in arms:
        place = folder / arm
        known = place / "times.json"
        if not known.exists():
            place.mkdir(parents=True)
            lines = "".join(json.dumps(row) + "\n" for row in train)
            (place / "train.jsonl").write_text(lines, encoding="utf-8")
            (place / "run.yaml").write_text(settings(place / "train.jsonl"), encoding="utf-8")
            known.write_text(json.dumps(timed(arm, place)))
        times[arm] = json.loads(known.read_text())
        print(f"{kind} {arm}: {times[arm]['seconds']:.1f} s", flush=True)
    losses = validation_losses(folder, arms, held)
    found = []
    for arm in arms:
        watch = json.loads((folder / arm / "watch.json").read_text())
        found.append(
            {
                "rows": kind,
                "arm": arm,
                "seconds": times[arm]["seconds"],
                "processor": times[arm]["processor"],
                "loss": losses[arm],
                "real": watch["real"] / watch["computed"],
                "logits": watch["logits"] / watch["needed"],
                "outside": times[arm]["seconds"] - watch["inside"],
                "steps": watch["inside_processor"],
                "first": watch["first"] - times[arm]["began"],
            }
        )
    return found


COLUMNS = {
    "Rows": "{rows}",
    "Arm": "{arm}",
    "Seconds": "{seconds:.1f}",
    "Processor seconds": "{processor:.1f}",
    "Studio's share of them": "{share:.2f}",
    "Processor seconds in steps": "{steps:.1f}",
    "Validation loss": "{loss:.3f}",
    "Real tokens of all computed": "{real:.1%}",
    "Logits computed a trained token": "{logits:.2f}",
    "Seconds outside of steps": "{outside:.1f}",
    "Before the first step": "{first:.1f}",
}


def table(lines: list[dict[str, float | str]]) -> str:
    """Return the lines as Markdown."""
    counted = "processor" if PROCESSOR else "seconds"
    ours = {line["rows"]: line[counted] for line in lines if line["arm"] == "studio"}
    told = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for line in lines:
        share = ours.get(line["rows"], float("nan")) / line[counted]
        told.append([form.format(share=share, **line) for form in COLUMNS.values()])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in told)


def picture(lines: list[dict[str, float | str]]) -> str:
    """Return the seconds as bars, in SVG."""
    longest = max(line["seconds"] for line in lines)
    bars, y = [], 10
    for kind in dict.fromkeys(line["rows"] for line in lines):
        bars.append(f'<text x="10" y="{y + 14}" font-weight="bold">{kind} rows, seconds</text>')
        y += 24
        for line in (one for one in lines if one["rows"] == kind):
            wide = 420 * line["seconds"] / longest
            colour = "#2563eb" if line["arm"].startswith("studio") else "#94a3b8"
            bars.append(f'<text x="10" y="{y + 13}">{line["arm"]}</text>')
            bars.append(f'<rect x="90" y="{y}" width="{wide:.1f}" height="16" fill="{colour}"/>')
            bars.append(f'<text x="{96 + wide:.1f}" y="{y + 13}">{line["seconds"]:.0f}</text>')
            y += 22
        y += 12
    body = "\n".join(bars)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 570 {y}" font-family="sans-serif" font-size="13">'
    return f'{opening}\n<rect width="570" height="{y}" fill="#ffffff"/>\n{body}\n</svg>\n'


def machine() -> str:
    """Return what the figures were made on."""
    from importlib.metadata import version

    names = ("torch", "transformers", "trl", "peft")
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    day = time.strftime("%Y-%m-%d")
    return f"{processor}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}; {day}"


def main() -> None:
    """Measure, and write table and picture."""
    if sys.argv[1:2] == ["--arm"]:
        one_arm(sys.argv[2], Path(sys.argv[3]))
        return
    named = [name for name in sys.argv[1:] if name != "--processor"]
    kept = next((Path(name) for name in named if "/" in name), None)
    kinds = [name for name in named if name in ROWS] or list(ROWS)
    asked = [name for name in named if name.removesuffix("16").removesuffix("32") in NAMES]
    with tempfile.TemporaryDirectory() as folder:
        lines = [line for kind in kinds for line in measure(kind, asked or ARMS[kind], (kept or Path(folder)) / kind)]
    told = f"{machine()}\n\n{table(lines)}"
    print(told)
    if not asked and len(kinds) == len(ROWS) and not PROCESSOR:
        (Path(__file__).parent / "training.md").write_text(told, encoding="utf-8")
        (Path(__file__).parent / "training.svg").write_text(picture(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
