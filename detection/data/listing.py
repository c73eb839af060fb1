"""Files of data by pattern, for everything that reads records or proposals: one reading of patterns, one wording of
what is wrong with them.
"""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError, first_line
from detection.files import is_special
from detection.paths import expand, hint


def list_files(pattern: str, field: str, remedy: str, beside: tuple[str, ...] = ()) -> list[str]:
    """Files that a pattern names (`detection.paths`), sorted, without those that end like `beside`, unless one is named
    itself.

    Raises:
        ConfigError: naming `field`: there are none, then `remedy` is what else may help; a name that TensorFlow cannot
            open.
    """
    try:
        found = expand(pattern)
        folders = [path for path in found if tf.io.gfile.isdir(path)]
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        reason = (
            "a name is not valid UTF-8; rename the file" if isinstance(error, UnicodeEncodeError) else first_line(error)
        )
        raise ConfigError(f"{field} {pattern!r} cannot be listed: {reason}") from error
    matches = [path for path in found if path not in folders and (path == pattern or not path.endswith(beside))]
    if not matches and folders:
        raise ConfigError(
            f"{field} {pattern!r} matches no file but {'a folder' if len(folders) == 1 else 'folders'}; name the files"
            " in it"
        )
    if not matches:
        raise ConfigError(
            f"{field} {pattern!r} matches no file; correct the path ({hint(pattern, field)}), or {remedy}"
        )
    special = next((path for path in matches if is_special(path)), None)
    if special is not None:
        raise ConfigError(f"{field} {pattern!r}: {special} is a device or pipe, not a file; name files")
    return matches
