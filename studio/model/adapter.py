"""LoRA adapters: created for training, saved, and loaded next to each other for comparing."""

import difflib
import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.config import LoraSettings, ModelConfig
from studio.errors import CompareError, RunError, one_line
from studio.files import replace_file, replace_folder, sha256
from studio.model import libraries, limits, load, multi_adapter, probe, processes
from studio.model.adapter_files import BASE_RECORD, SETTINGS, WEIGHTS, SavedAdapter
from studio.model.hardware import is_device_lost, random_state, release_memory, set_random_state
from studio.model.load import Loaded, Located
from studio.model.weight_files import list_names

TUNED = "default"
"""PEFT's name of the adapter that is trained."""


class ModelHost:
    """Holds the one model on the device: a base, and the adapter that sits in it. Only the GPU thread may use it."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self.loaded: Loaded | None = None
        self.peft: Any = None
        self.adapter: str | None = None
        """What the adapter is: a run's id while it trains, the name of a saved one otherwise."""
        self.probe: probe.Probe | None = None
        """The base's logits before any adapter was loaded; None where nothing asks for them, or no process has the
        whole base."""
        self.whole: dict[str, Any] | None = None
        """The adapter's weights as they were last gathered, where each process has a part only."""
        self.base_bytes: dict[int, float] = {}
        """Bytes of the base by the card's number: free for a run that uses it, or puts another in its place."""
        self._forward: Any = None
        self._dropouts: dict[Any, float] = {}

    def base(self, config: ModelConfig, located: Located, *, probed: bool = True) -> Loaded:
        """Return the base model, loaded if it is not there; to be `probed`, one that was trained on is loaded anew."""
        import torch

        key = (located.path, config.precision, config.quantization, config.attention)
        probed = probed and not processes.sharded()
        if self.loaded is None or self._key != key or (probed and self.probe is None):
            libraries.require()
            if self.loaded is not None:
                self.release()
            self.loaded = load.load(config, located)
            rows = limits.embedding_rows(self.loaded.model)
            limits.require_embeddings(self.loaded.tokenizer, rows, located.id)
            self._forward = vars(self.loaded.model).get("forward")
            dropouts = (part for part in self.loaded.model.modules() if isinstance(part, torch.nn.Dropout))
            self._dropouts = {part: part.p for part in dropouts}
            if probed:
                self.probe = probe.record(self.loaded.model, self.loaded.tokenizer)
            self._key = key
            self.base_bytes = {}
            for part in self.loaded.model.parameters():
                card = part.device.index or 0
                self.base_bytes[card] = self.base_bytes.get(card, 0) + part.numel() * part.element_size()
        return self.loaded

    def gather(self) -> None:
        """Gather the adapter's weights where they are sharded over processes; a collective call."""
        if processes.sharded():
            trained = ((name, part) for name, part in self.peft.named_parameters() if part.requires_grad)
            self.whole = {n: part.full_tensor() if hasattr(part, "full_tensor") else part for n, part in trained}

    def load_adapter(self, saved: SavedAdapter, made_for: str) -> str:
        """Load a checked adapter, `made_for` a base, and return its name in the PEFT model; raises CompareError."""
        from peft import PeftModel

        folder = saved.folder
        name = f"{sha256(folder / WEIGHTS)[:16]}-{sha256(folder / SETTINGS)[:8]}"
        try:
            if self.peft is None:
                wrapped = PeftModel.from_pretrained(
                    self.loaded.model, folder, adapter_name=name, config=saved.lora_config(), use_safetensors=True
                )
                wrapped.eval()
                self.peft, self.adapter = wrapped, name
            elif name not in self.peft.peft_config:
                self.peft.add_adapter(name, saved.lora_config())
                self.peft.load_adapter(folder, name, torch_device=str(self.loaded.model.device), use_safetensors=True)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:  # what the shapes did not tell
            if self.peft is None:
                multi_adapter.unwrap(self.loaded.model)
                vars(self.loaded.model).pop("peft_config", None)
            else:
                multi_adapter.remove(self.peft, [name])
            named = {"folder": folder.name, "made_for": made_for, "loaded": self.loaded.located.id}
            raise CompareError("compare.does_not_fit", detail=one_line(error), **named) from error
        return name

    def remove_adapter(self) -> None:
        """Take the adapter out of the base, and undo what training did to the base."""
        if self.peft is None:
            return
        self.loaded.model = model = self.peft.unload()
        self.peft = self.adapter = self.whole = None
        vars(model).pop("forward", None)  # TRL puts its own forward on the instance
        if self._forward is not None:  # the one that carries activations between cards
            model.forward = self._forward
        if getattr(model, "is_activation_checkpointing", False):
            model.activation_checkpointing_disable()
            model.disable_input_require_grads()
        for part, share in self._dropouts.items():  # TRL's trainers of preferences train without
            part.p = share
        _return_router_logits(model, False)
        model.requires_grad_(False)
        model.eval()

    def release(self) -> None:
        """Free the device."""
        self.peft = self.adapter = self.whole = self.loaded = self.probe = self._key = self._forward = None
        self.base_bytes, self._dropouts = {}, {}
        release_memory()
        import torch

        if torch.cuda.is_available() and not is_device_lost():
            torch.cuda.empty_cache()


def lora_config(settings: LoraSettings, model: Any) -> Any:
    """Return PEFT's configuration; raises RunError for a module that does not exist, of which PEFT says nothing."""
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    if layers is None:  # BLT has an encoder, a decoder and a model between them
        raise RunError("run.no_layers", model=model.config.model_type)
    known = linear_modules(model)
    if not known:
        raise RunError("run.no_linear", model=model.config.model_type)
    targets = known if settings.target_modules == "all-linear" else list(settings.target_modules)
    for target in targets:
        if target not in known:
            near = difflib.get_close_matches(target, known, n=len(known), cutoff=0.0)
            raise RunError("run.target", target=target, modules=", ".join(near))
    chosen = [part for part, name in linear_parts(model).items() if own_name(name) in targets]
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        layers_to_transform=list(range(layers // 2, layers)) if settings.layers == "upper-half" else None,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        init_lora_weights=True if settings.init == "default" else settings.init,
        fan_in_fan_out=all(isinstance(part, Conv1D) for part in chosen),
        task_type="CAUSAL_LM",
    )


def linear_modules(model: Any) -> list[str]:
    """Return the names of the linear modules that can have an adapter (`q_proj`, …), each once; not the output layer's.

    Mamba's output projections cannot: their weights are used by a fused kernel that leaves the adapter out. Nor can
    routers and the like, which are linear modules by their class and return something else.
    """
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    parts = linear_parts(model)
    excluded = {own_name(path) for part, path in parts.items() if not _returns_projection(part)}
    if model.config.model_type in _MAMBA:
        excluded.add("out_proj")
    names = [name for name in dict.fromkeys(map(own_name, parts.values())) if name not in excluded]
    # PEFT takes some names for a mixture's experts: an adapter of their one tensor would be as large as they are many
    settings = LoraConfig(target_modules=list(names))
    convert_peft_config_for_transformers(settings, model, None)
    return [name for name in names if name in settings.target_modules]


def _returns_projection(part: Any) -> bool:
    """Whether a linear module returns its input times its weights, as LoRA expects of it."""
    import torch

    kind = type(part)
    if kind.forward is torch.nn.Linear.forward or not kind.__module__.startswith("transformers.models."):
        return True
    weights = {name: torch.empty_like(each, device="meta") for name, each in part.named_parameters()}
    try:
        output = torch.func.functional_call(part, weights, torch.empty(1, 3, part.in_features, device="meta"))
    except Exception:  # what a forward of another kind does with such an input is not known
        return False
    return isinstance(output, torch.Tensor) and output.shape == (1, 3, part.out_features)


_MAMBA = (
    *("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"),  # PEFT refuses it in these
    *("bamba", "granitemoehybrid", "zamba2"),  # and does not know these
)
"""Model types in which the fused kernel takes the weights of `out_proj`."""


def wrap_model(model: Any, settings: Any, **more: Any) -> Any:
    """Put a new adapter into a model and return PEFT's model around it; raises RunError where PEFT refuses."""
    from peft import get_peft_model

    try:
        return get_peft_model(model, settings, **more)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise RunError("run.peft_refuses", model=model.config.model_type, detail=one_line(error)) from error


def load_weights(peft_model: Any, weights: Path, name: str) -> None:
    """Put saved weights into the trained adapter; raises RunError with `name` for other names or shapes."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    state = load_file(weights)
    own = get_peft_model_state_dict(peft_model, adapter_name=TUNED)
    unlike = sorted(k for k in state.keys() | own.keys() if k not in state or k not in own)
    unlike += sorted(k for k in state.keys() & own.keys() if state[k].shape != own[k].shape)
    if unlike:
        raise RunError("run.start_shape", adapter=name, detail=list_names(unlike))
    set_peft_model_state_dict(peft_model, state, adapter_name=TUNED)


def linear_parts(model: Any) -> dict[Any, str]:
    """Return the linear modules in a model's layers (GPT-2's `Conv1D` too) with their paths; not the output layer."""
    import torch
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()  # quantized linear modules are torch.nn.Linear too
    kinds = torch.nn.Linear, Conv1D
    return {p: name for name, p in model.named_modules() if isinstance(p, kinds) and p is not output}


def linear_modules_with_adapter(peft_model: Any) -> list[str]:
    """Return the names of the modules that an adapter sits in, each once."""
    paths = (name.split(".lora_A.")[0] for name, _ in peft_model.named_parameters() if ".lora_A." in name)
    return list(dict.fromkeys(map(own_name, paths)))


def own_name(path: str) -> str:
    """Return a module's own name; with its parent's where it is a number (`ffn.0`), which a layer may be called too."""
    *parents, own = path.split(".")
    return f"{parents[-1]}.{own}" if own.isdigit() and parents else own


def save(
    peft_model: Any, tokenizer: Any, folder: Path, base: dict[str, Any], whole: dict[str, Any] | None = None
) -> None:
    """Save an adapter whole or not at all, with its tokenizer; `whole` are its weights where the model has a part."""

    def fill(draft: Path) -> None:
        peft_model.save_pretrained(draft, selected_adapters=[TUNED], safe_serialization=True, state_dict=whole)
        tokenizer.save_pretrained(draft)
        replace_file(draft / BASE_RECORD, json.dumps({"base": base}, indent=1))

    replace_folder(folder, fill)


def save_from_checkpoint(checkpoint: Path, folder: Path, base: dict[str, Any]) -> None:
    """Save the adapter of a checkpoint as `save` would have done then."""

    def fill(draft: Path) -> None:
        ignore = shutil.ignore_patterns("*.pt", "*.pth", "trainer_state.json", "complete.json", ".*")
        shutil.copytree(checkpoint, draft, ignore=ignore, dirs_exist_ok=True)
        replace_file(draft / BASE_RECORD, json.dumps({"base": base}, indent=1))

    replace_folder(folder, fill)


def _return_router_logits(model: Any, wanted: bool | None) -> bool | None:
    """Set whether a mixture of experts returns its router's logits, as TRL does for its loss; return what was set."""
    config = model.config.get_text_config()
    before = getattr(config, "output_router_logits", None)
    if before is not None and wanted is not None:
        config.output_router_logits = wanted
    return before


@contextmanager
def preserve_state(model: Any):
    """Restore what answering may change: random state, train or eval mode, what is trained, which adapter is active."""
    import torch

    state = random_state()
    modes = {module: module.training for module in model.modules()}
    trained = [(weights, weights.requires_grad) for weights in model.parameters()]
    tuner, use_cache = getattr(model, "base_model", None), getattr(model.config, "use_cache", None)
    names = [(part, part.active_adapter) for part in (model, tuner) if hasattr(part, "peft_config")]
    layers = multi_adapter.active_state(model)
    router = _return_router_logits(model, False)
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for weights, requires_grad in trained:
            weights.requires_grad_(requires_grad)
        for part, active in names:
            part.active_adapter = active
        multi_adapter.restore(layers)
        model.config.use_cache = use_cache
        _return_router_logits(model, router)
        set_random_state(state)
