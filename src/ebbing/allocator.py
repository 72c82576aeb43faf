"""A setting of the C library's allocator that spares training on a CPU its page faults."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep memory it frees instead of giving it back to the kernel, where the C library is glibc.

    Each training step frees and asks again for the same large blocks of activations. By default glibc unmaps them, and
    every step pays for page faults and zeroed pages. The process holds its peak of memory instead; results do not change.
    The command line calls this; the library leaves the allocator of somebody else's process alone.

    Returns:
        Whether the setting was taken.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER)) and bool(mallopt(_M_MMAP_THRESHOLD, _NEVER))
