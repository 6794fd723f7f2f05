"""Where training runs, in which precision, and how its memory is kept."""

import ctypes

import torch

from autoparts.files import UserError


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to train on: with "auto" CUDA, else MPS, else the processor.

    Raises:
        UserError: for a device that this machine does not have.
    """
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            reason = str(error).partition("\n")[0]
            raise UserError(f"device {device!r} cannot be used ({reason}); leave it at auto, or choose cpu") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def half_precision(device: torch.device) -> torch.autocast:
    """Return the autocast context to bfloat16, switched off where the device would only emulate it."""
    fast = {"cuda": torch.cuda.is_bf16_supported, "cpu": torch.cpu._is_avx512_bf16_supported}
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type in fast and fast[device.type]())


def keep_memory() -> None:
    """Have glibc keep freed memory, so that each step does not fault its activations in anew (Linux only)."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, mmap_threshold = -1, -3  # the numbers of M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
    except (OSError, AttributeError):
        return
