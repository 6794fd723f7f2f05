"""Files can lie: what is not as it should be is refused with one message, and takes no memory."""

import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch

import autoparts
from autoparts import models
from autoparts.errors import UserError
from autoparts.finder import file
from autoparts.finder.finder import embed

pytest_plugins = "finder_files"
NAN = float("nan")


class Calls:
    """Pickled, it is a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def rewritten(path, tmp_path, change):
    """Write a copy of a finder file with other content."""
    torch.save(change(torch.load(path, weights_only=True)), tmp_path / "file.pt", pickle_protocol=2)
    return tmp_path / "file.pt"


def refused(path, message):
    with pytest.raises(UserError, match=message) as found:
        autoparts.load_finder(path)
    told = str(found.value)
    assert str(path) in told and "\n" not in told and len(told) < 400 + len(str(path))


def test_code_in_a_file_is_refused_and_never_run(path, tmp_path):
    trace = tmp_path / "it-ran"
    hostile = Calls(exec, f"open({str(trace)!r}, 'w')")
    refused(rewritten(path, tmp_path, lambda state: state | {"facts": {"x": hostile}}), r"file\.pt is no finder file")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(hostile, protocol=2))
    refused(tmp_path / "plain.pt", r"plain\.pt is no finder file")
    assert not trace.exists()


def test_damaged_and_other_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for content in (b"", b"a photo", whole[:1000], whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "file.pt").write_bytes(content)
        refused(tmp_path / "file.pt", r"file\.pt is no finder file: it is damaged")
    refused(rewritten(path, tmp_path, lambda _: [1, 2]), "its format is not")
    with pytest.raises(UserError, match=r"there is no finder file .*\\x1b\[2J\.pt"):
        autoparts.load_finder(tmp_path / "\x1b[2J.pt")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "autoparts finder 4", "its format is not 'autoparts finder 5'.*notebook 07"),
        ("more", 1, "fields"),
        ("preparation", 0, "prepared by another version"),
        ("gallery", lambda old: old.float(), "gallery is not torch.float16"),
        ("gallery", lambda old: old[:, :-1].clone(), "gallery"),
        ("gallery", lambda old: old * NAN, "gallery is not unit"),
        ("gallery", lambda old: old * 1.1, "gallery is not unit"),
        ("labels", lambda old: old + 1, "labels"),
        ("validation_labels", lambda old: old + 9, "labels"),
        ("validation", lambda old: old[1:].clone(), "labels do not fit"),
        ("validation", lambda old: old[:, 1:].clone(), "do not fit"),
        ("validation", lambda old: old * 2, "not unit"),
        ("labels", 3, "finder file"),
        ("offsets", lambda old: old.flip(0), "offsets"),
        ("thumbnails", lambda old: old[1:].clone(), "thumbnails"),
        ("categories", lambda old: old[1:], "labels do not fit"),
        ("categories", lambda old: [*old, "more"], "weights are not those"),
        ("categories", lambda old: [1] * len(old), "not names"),
        ("categories", lambda old: ["x" * 2000] * len(old), "not names"),
        ("categories", ["x"] * 20_000, "no photos, or too many"),
        ("size", 100_000, "size is absurd"),
        ("by_head", NAN, "weights of a score are absurd"),
        ("by_photo", float("inf"), "weights of a score are absurd"),
        ("by_photo", "much", "by_photo is no float"),
        ("threshold", NAN, "threshold is absurd"),
        ("threshold", 1e300, "threshold is absurd"),
        ("texture_cost", NAN, "textures are absurd"),
        ("texture_means", lambda old: old * NAN, "textures are not finite"),
        ("texture_means", lambda old: old[:, 1:].clone(), "textures are not those of"),
        ("texture_means", lambda old: old[1:].clone(), "textures and their labels"),
        ("texture_labels", lambda old: old + 9, "textures and their labels"),
        ("facts", lambda old: old | {"generated": "no"}, "generated is no bool"),
        ("facts", lambda old: old | {"size": 1}, "facts"),
        ("facts", lambda old: old | {"seed": -1}, "seed is absurd"),
        ("architecture", lambda old: old | {"embedding_size": 10**9}, "widths"),
        ("architecture", lambda old: old | {"filters": [1024] * 7}, "weights are not"),
        ("architecture", 3, "finder file"),
        ("architecture", lambda old: old | {"filters": []}, "finder file"),
        ("architecture", lambda old: old | {"views": [1e9]}, "views are absurd"),
        ("architecture", lambda old: old | {"views": [1.0] * 10**6}, "views or channels"),
        ("architecture", lambda old: old | {"channels": 10**9}, "views or channels"),
        ("architecture", lambda old: old | {"backbone": "hf-hub:a/b"}, "timm has no model"),
        ("weights", lambda old: old | {"standard": torch.zeros(2, 3)}, "standardise to nothing"),
        ("architecture", lambda old: old | {"backbone": "no_such_net"}, "no_such_net"),
        ("weights", {}, "weights are not those"),
        ("weights", lambda old: {n: w.double() for n, w in old.items()}, "finder file"),
        ("weights", lambda old: {n: w * NAN for n, w in old.items()}, "finder file"),
        ("weights", lambda old: {n: -w for n, w in old.items()}, "negative variances"),
    ],
)
def test_a_file_whose_content_does_not_fit_is_refused(path, tmp_path, field, value, message):
    """Each value is one of a field, or makes one of the old value."""
    other = rewritten(path, tmp_path, lambda state: state | {field: value(state[field]) if callable(value) else value})
    refused(other, message)


def claiming(count, *shape):
    """A tensor whose file holds `count` numbers, and which claims to have more."""
    held = torch.ones(count, dtype=torch.float16).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=held, dtype=torch.float16, _internal=True)
    strides = torch.empty(shape, device="meta").stride()
    return Calls(torch._utils._rebuild_tensor_v2, storage, 0, shape, strides, False, OrderedDict())


def one_number(tensors):
    return {name: tensor.flatten()[0].expand(tensor.shape) for name, tensor in tensors.items()}


LIES = {
    "stride": lambda state: state | {"gallery": state["gallery"][:1].expand(900_000, -1)},
    "weights": lambda state: state | {"weights": one_number(state["weights"])},
    "view": lambda state: state | {"labels": torch.zeros(1, dtype=torch.int64).expand(1 << 30)},
    "overlap": lambda state: state | {"thumbnails": torch.zeros(13, dtype=torch.uint8).as_strided((9, 5), (1, 1))},
    "grown": lambda state: state | {"gallery": claiming(10, 1 << 20, 1 << 10)},
    "bytes": lambda state: state | {"categories": Calls(bytearray, 1 << 31)},
    "zeros": lambda state: state | {"thumbnails": Calls(torch.Tensor, 1 << 29)},
}


def test_files_that_claim_more_than_they_hold_take_no_memory(path, tmp_path):
    for name, lie in LIES.items():
        rewritten(path, tmp_path, lie).rename(tmp_path / f"{name}.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed, zipfile.ZipFile(path) as plain:
        for entry in plain.namelist():
            largest = entry.endswith("/0")
            packed.writestr(entry, bytes(1 << 28) if largest else plain.read(entry))
    code = (
        "import autoparts, resource, sys\n"
        "autoparts.load_finder(sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[2:]:\n"
        "    try:\n"
        "        autoparts.load_finder(path)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)"
    )
    lies = sorted(map(str, tmp_path.glob("*.pt")))
    command = [sys.executable, "-c", code, str(path), *lies]
    *told, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(told) == len(lies) and all("finder file" in line for line in told)
    assert int(grown) < 64  # MiB


def test_what_a_backbone_makes_itself_and_keeps_in_no_file_is_made_again():
    network = models.initialised(0, models.Recogniser, 2, "resnetblur18", 3, views=(1.0,)).eval()
    assert {name for name, _ in network.named_buffers()} - network.state_dict().keys()  # the filters that blur
    there = file._network(2, network.state_dict(), **network.architecture)
    photos = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert embed(there, photos).equal(embed(network, photos))
