"""Lists data files by pattern for records and proposals, with the same rules and error messages for all."""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError, first_line
from detection.files import is_special
from detection.paths import expand, hint


def list_files(pattern: str, field: str, remedy: str, excluded: tuple[str, ...] = ()) -> list[str]:
    """Lists the files that match a pattern (`detection.paths`), sorted.

    Args:
        pattern: a path or glob.
        field: where the pattern comes from, for messages.
        remedy: what else may help if no file matches, for the message.
        excluded: suffixes of files to omit, unless the pattern is such a file itself.

    Raises:
        ConfigError: no file matches, or a name cannot be opened by TensorFlow.
    """
    try:
        paths = expand(pattern)
        folders = [path for path in paths if tf.io.gfile.isdir(path)]
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        reason = (
            "a name is not valid UTF-8; rename the file" if isinstance(error, UnicodeEncodeError) else first_line(error)
        )
        raise ConfigError(f"{field} {pattern!r} cannot be listed: {reason}") from error
    matches = [path for path in paths if path not in folders and (path == pattern or not path.endswith(excluded))]
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
