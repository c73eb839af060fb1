"""The only exceptions a user sees: one clear line each, with a documented exit code.

| code | meaning |
|---|---|
| 0 | done |
| 1 | internal error (a bug: the traceback is shown) |
| 2 | usage or config |
| 3 | bad data |
| 4 | training diverged (non-finite loss) |
| 5 | model_dir is in use by another process |
| 143 | stopped by SIGTERM, with a checkpoint saved |
"""


class DetectionError(Exception):
    """Base of every error that is the input's fault. The message is one line: where, what value, what to do."""

    exit_code = 1

    def __str__(self) -> str:
        """One line, also where the message quotes something that has several."""
        return " ".join(super().__str__().splitlines())


class ConfigError(DetectionError):
    """A config, flag or checkpoint that cannot be used."""

    exit_code = 2


class DataError(DetectionError):
    """An image, annotation, record or label map that cannot be used."""

    exit_code = 3


class DivergedError(DetectionError):
    """The loss became NaN or infinite."""

    exit_code = 4


class ModelDirInUseError(DetectionError):
    """Another process holds the model_dir."""

    exit_code = 5
