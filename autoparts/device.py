"""Where training runs, in which precision, and how its memory is kept."""

import ctypes

import torch


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to train on: with "auto" CUDA, else MPS, else the processor."""
    if device != "auto":
        return torch.device(device)
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
