"""What can be wrong with a dataset on disk: every error names the file to look at."""

from pathlib import Path

from takt.types import TaktError


class DatasetError(TaktError):
    """Base of the dataset errors: `reason` is what is wrong with the file or folder `path`.

    `episode` and `frame` are None where no single one is to blame.
    """

    def __init__(
        self, path: Path, message: str, episode: int | None = None, frame: int | None = None
    ) -> None:
        """Name the path, the episode and the frame in front of the message."""
        parts = {"episode": episode, "frame": frame}
        where = ", ".join(
            f"{name} {number}" for name, number in parts.items() if number is not None
        )
        super().__init__(f"{path}: {where}: {message}" if where else f"{path}: {message}")
        self.path = path
        self.reason = message
        self.episode = episode
        self.frame = frame


class NotADatasetError(DatasetError):
    """The folder holds no dataset of the expected format."""


class UnknownVersionError(DatasetError):
    """The dataset's format version is neither v2.1 nor v3.0."""


class CorruptFileError(DatasetError):
    """A file is truncated, unreadable or contradicts the metadata."""


class EpisodeError(CorruptFileError):
    """What an episode holds is damaged."""

    episode: int

    def __init__(self, path: Path, episode: int, message: str, frame: int | None = None) -> None:
        """Name the file, the episode and the frame in front of the message."""
        super().__init__(path, message, episode, frame)

    @classmethod
    def of(cls, error: DatasetError, episode: int) -> "EpisodeError":
        """`error`, which came up when that episode was read, with it named unless one is."""
        if isinstance(error, cls):
            return error
        number = episode if error.episode is None else error.episode
        return cls(error.path, number, error.reason, error.frame)


class BadEpisodeError(DatasetError):
    """An episode cannot be read, and bad ones are not to be skipped."""

    def __init__(self, error: EpisodeError) -> None:
        """Say what is wrong and how to go on."""
        message = str(error).removeprefix(f"{error.path}: ")
        advice = "mend it, or run again with --skip-bad to leave such episodes out"
        super().__init__(error.path, f"{message}; {advice}")


class MissingColumnError(CorruptFileError):
    """A parquet file lacks a column that the metadata names."""


class MissingDataError(DatasetError):
    """A parquet file named by the metadata is not there."""


class MissingVideoError(DatasetError):
    """A video file named by the metadata is not there."""


class CameraMismatchError(DatasetError):
    """A camera is missing, unknown or has another size than expected."""


class RateMismatchError(DatasetError):
    """Video frames or rows are not spaced by 1 / fps."""


class FeatureMismatchError(DatasetError):
    """An episode does not fit the dataset that it should be appended to."""


class CaptureTimeError(DatasetError):
    """A frame's capture time is not finite, or later than the tick that holds the frame."""


class WriterClosedError(DatasetError):
    """The writer was closed; another one may be at work."""


class DiskFullError(DatasetError):
    """No space left while writing; finished episodes are safe."""
