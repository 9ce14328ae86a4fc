"""What the machine refuses of a file, in words: no bug of riverrun, so no traceback."""

from __future__ import annotations

import errno
import os

from schemas.errors import ConfigError

FULL = "Make room there, or name another place."
DENIED = "Name another place, or have its permissions changed."
OTHER = "Name another place."
OF_THE_MACHINE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), DENIED),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST), OTHER),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO), OTHER),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Raise the limit: `ulimit -n`."),
    errno.EIO: "Look at that disk.",
}
"""The error numbers that a disk, a folder or a limit gives → what to do."""


def in_words(error: OSError) -> ConfigError:
    """Return the same as an expected failure.

    >>> str(in_words(OSError(errno.ENOSPC, "No space left on device", "a/b.csv")))
    'Cannot use a/b.csv: No space left on device. Make room there, or name another place.'
    >>> str(in_words(OSError(errno.ENOSPC, "No space left on device")))
    'Cannot write: No space left on device. Make room there, or name another place.'
    """
    assert error.errno is not None
    what = "write" if error.filename is None else f"use {os.fsdecode(error.filename)}"
    return ConfigError(f"Cannot {what}: {error.strerror}.", hint=OF_THE_MACHINE[error.errno])
