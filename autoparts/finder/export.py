"""The finder's network as ONNX, for programs without Python."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from autoparts.errors import FailedError, UserError, whole_file
from autoparts.finder.finder import Finder
from autoparts.models import Recogniser, photo_input

TRIED = 64  # photos that torch and ONNX have to agree on
LARGEST_DIFFERENCE = 1e-3  # of a logit or of an embedding's number


class FromStored(nn.Module):
    """A recogniser that takes photos as they are stored: (B, S, S[, 3]) uint8 to (B, D) and (B, C)."""

    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of length one, and logits of the categories."""
        unit = self.network(photo_input(photos))
        return unit, self.network.logits(unit)


def to_onnx(finder: Finder, path: Path) -> dict[str, float]:
    """Write a finder's network as ONNX, any number of photos at a time; scaling, views and centring are in the graph.

    Photos go in as `Finder.prepare` returns them, a square of `size` pixels; RGB, or grey for a finder without
    `colour`. The metadata holds these two as JSON, the categories' names, the `warning` that belongs to every answer,
    and by what a finder judges besides: it weighs logits by `by_head` and the cosines to the nearest photo of each
    category by `by_photo`, and refuses a sum below `threshold`, from which strange textures have taken first. Cosines
    and textures are not in the file: logits alone give names, but no calibrated confidence.

    ONNX Runtime has to agree with torch on photos of the gallery: returns the largest differences of embedding and
    logits. A UserError tells that the libraries for it are missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch needs it)
    except ImportError as error:
        raise UserError(f"{error.name} is missing; install it with: pip install 'autoparts[export]'") from None
    network, photos = FromStored(finder.network).eval(), gallery_photos(finder)
    batch = {"photos": {0: torch.export.Dim("batch", min=1)}}
    names = {"input_names": ["photos"], "output_names": ["embedding", "logits"]}
    program = torch.onnx.export(network, (photos[:2],), dynamic_shapes=batch, dynamo=True, verbose=False, **names)
    model = program.model_proto
    told = ("categories", "by_head", "by_photo", "threshold", "size", "colour", "warning")
    onnx.helper.set_model_props(model, {name: json.dumps(getattr(finder, name)) for name in told})
    session = onnxruntime.InferenceSession(content := model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"photos": photos.numpy()})
    with torch.inference_mode():
        expected = network(photos)
    pairs = zip(names["output_names"], expected, found, strict=True)
    differences = {name: float(np.abs(ours.numpy() - theirs).max()) for name, ours, theirs in pairs}
    if not max(differences.values()) <= LARGEST_DIFFERENCE:
        raise FailedError(f"ONNX Runtime and torch differ, by {differences}; {path} was not written")
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
    return differences


def gallery_photos(finder: Finder) -> Tensor:
    """Enlarge thumbnails from all over the gallery to photos as the network takes them: (M, S, S[, 3]) uint8."""
    places = np.linspace(0, len(finder.gallery) - 1, TRIED).astype(int)
    return torch.from_numpy(np.stack([finder.prepare(finder.thumbnails[place]) for place in places]))
