"""The finder file: weights, names, and the gallery of training photos. Read with mistrust, for files can lie."""

import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoparts.finder.textures import textures
from autoparts.models import Recogniser
from autoparts.photos import PREPARATION_VERSION, shape_of

FORMAT = "autoparts finder 5"
TENSORS = {"gallery": torch.float16, "labels": torch.int64, "thumbnails": torch.uint8, "offsets": torch.int64}
TENSORS |= {"validation": torch.float16, "validation_labels": torch.int64}
TENSORS |= {"texture_means": torch.float32, "texture_whitening": torch.float32, "texture_labels": torch.int64}
VALUES = {"by_head": float, "by_photo": float, "threshold": float, "size": int, "categories": list, "facts": dict}
VALUES |= {"texture_cost": float}
FACTS = {"run": str, "data": str, "fingerprint": str, "seed": int, "generated": bool}
FIELDS = {"format", "preparation", "architecture", "weights", *TENSORS, *VALUES}
BUILT = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"}  # all that a finder file's pickle builds
BUILT |= {f"torch {kind}Storage" for kind in ("Float", "Half", "Long", "Byte")}
MOST_CATEGORIES, MOST_PHOTOS, LONGEST_TEXT, LARGEST_THUMBNAIL = 10_000, 1_000_000, 1_000, 1 << 16


def read(path: Path) -> Any:
    """Read a file of tensors and plain values; it is never run as code, and takes no more memory than it has bytes.

    Exceptions of many kinds tell that it is anything else.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _expect(all(entry.compress_type == zipfile.ZIP_STORED for entry in entries), "it is compressed")
        _expect(sum(entry.file_size for entry in entries) <= path.stat().st_size, "its entries overlap")
        (pickled,) = (archive.read(entry) for entry in entries if entry.filename.endswith("/data.pkl"))
    # What torch's careful unpickler still allows could take any memory: bytearray(10**10) is 17 bytes long.
    built = {argument for code, argument, _ in pickletools.genops(pickled) if "GLOBAL" in code.name}
    _expect(built <= BUILT, "it builds something else")
    return torch.load(path, map_location="cpu", weights_only=True)


def checked(state: Any, most: int) -> tuple[Recogniser, dict[str, Any]]:
    """Check a file's content, before anything of it is copied: it has to be as `calibration.build` makes it.

    Takes what was read, and the bytes of the file, since its tensors cannot hold more. Returns the network with its
    weights, and `TENSORS` and `VALUES`. If a name, kind, shape or value is another, it raises a TypeError, ValueError,
    KeyError, AttributeError or RuntimeError.
    """
    _expect(isinstance(state, dict) and state.get("format") == FORMAT, f"its format is not {FORMAT!r}")
    _expect(state.keys() == FIELDS, "its fields are others")
    _expect(state["facts"].keys() == FACTS.keys(), "its facts are others")
    _expect(state["preparation"] == PREPARATION_VERSION, "its photos were prepared by another version")
    for name, kind in (VALUES | FACTS).items():
        _expect(type((state["facts"] | state)[name]) is kind, f"{name} is no {kind.__name__}")
    fields = {name: state[name] for name in (*TENSORS, *VALUES)}
    _check_storage([*state["weights"].values(), *(fields[name] for name in TENSORS)], most)
    _check_values(fields)
    network = _network(len(fields["categories"]), state["weights"], **state["architecture"])
    _expect(fields["gallery"].shape[1] == network.head.in_features, "gallery and head do not fit")
    blank = torch.zeros(1, *shape_of(32, network.architecture["channels"] == 3), dtype=torch.uint8)
    width = textures(network, blank).shape[1]
    shapes = fields["texture_means"].shape[1:], fields["texture_whitening"].shape
    _expect(shapes == ((width,), (width, width)), "its textures are not those of its network")
    return network, fields


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _check_storage(tensors: list[Tensor], most: int) -> None:
    """Expect of each tensor that the file holds every value which its shape claims."""
    for tensor in tensors:
        whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
        _expect(whole, "a tensor claims values that the file does not hold")
    _expect(sum(tensor.nbytes for tensor in tensors) <= most, "its tensors overlap")


def _check_values(fields: dict[str, Any]) -> None:
    """Expect shapes that fit each other, and numbers that make sense (comparisons with NaN are false)."""
    for name, dtype in TENSORS.items():
        _expect(fields[name].dtype == dtype, f"{name} is not {dtype}")
    gallery, labels, thumbnails, offsets, validation, truth, means, whitening, of = (fields[name] for name in TENSORS)
    categories, facts, photos = fields["categories"], fields["facts"], len(gallery)
    texts = [*categories, *(facts[name] for name, kind in FACTS.items() if kind is str)]
    _expect(0 < len(categories) <= MOST_CATEGORIES and 0 < photos <= MOST_PHOTOS, "no photos, or too many")
    _expect(all(type(text) is str and len(text) <= LONGEST_TEXT for text in texts), "categories are not names")
    _expect(0 <= facts["seed"] < 2**63, "seed is absurd")
    _expect(labels.shape == (photos,) and truth.shape == (len(validation),), "labels do not fit")
    both = torch.cat([labels, truth])
    _expect(0 <= both.min() <= both.max() < len(categories), "labels do not fit")
    _expect(offsets.shape == (photos + 1,) and offsets[0] == 0, "offsets do not fit")
    lengths = offsets.diff()
    _expect(thumbnails.shape == (offsets[-1],), "thumbnails do not fit")
    _expect(0 < lengths.min() <= lengths.max() <= LARGEST_THUMBNAIL, "offsets do not fit")
    _expect(
        gallery.dim() == 2 and validation.shape[1:] == gallery.shape[1:], "gallery and validation photos do not fit"
    )
    unit = torch.cat([gallery, validation]).float().norm(dim=1)
    _expect(bool((unit - 1).abs().max() < 0.01), "gallery is not unit, or validation photos are not")
    _expect(32 <= fields["size"] <= 512, "size is absurd")
    _expect(all(0 <= fields[name] <= 1e4 for name in ("by_head", "by_photo")), "the weights of a score are absurd")
    _expect(abs(fields["threshold"]) <= 1e6, "threshold is absurd")
    _expect(bool(means.isfinite().all() and whitening.isfinite().all()), "textures are not finite")
    _expect(of.shape == means.shape[:1] and of[:1].tolist() == [-1], "textures and their labels do not fit")
    _expect(bool((of >= -1).all() and (of < len(categories)).all()), "textures and their labels do not fit")
    _expect(0 < fields["texture_cost"] <= 1e9, "textures are absurd")


def _network(categories: int, weights: dict[str, Tensor], **architecture: Any) -> Recogniser:
    widths = (architecture["embedding_size"], *architecture["filters"])
    _expect(all(type(width) is int and 0 < width <= 1024 for width in widths) and len(widths) < 9, "widths are absurd")
    views, channels = architecture["views"], architecture["channels"]
    _expect(all(type(scale) is float and 0.25 <= scale <= 4 for scale in views), "views are absurd")
    _expect(0 < len(views) < 9 and channels in (1, 3), "views or channels are absurd")
    with torch.device("meta"):  # takes no memory for weights that the file may not hold
        network = Recogniser(categories, **architecture)
    expected = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in weights.items()}
    _expect(found == expected, "its weights are not those of its network")
    _expect(all(bool(value.isfinite().all()) for value in weights.values()), "its weights are not finite")
    spread = [value for name, value in weights.items() if name.endswith("running_var")]
    _expect(all(bool((value >= 0).all()) for value in spread), "its weights have negative variances")
    _expect(bool((weights["standard"][1] != 0).all()), "its weights standardise to nothing")
    network.load_state_dict(weights, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # of timm's making, and in no file
        network = Recogniser(categories, **architecture)
        network.load_state_dict(weights)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
