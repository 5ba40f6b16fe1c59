"""Where the episodes lie: v2.1 keeps a file per episode, v3.0 many in one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from takt.datasets.errors import CameraMismatchError, CorruptFileError, MissingDataError
from takt.datasets.metadata import DatasetMetadata, EpisodeRecord, Info, VideoSpan, read_info
from takt.datasets.parquet import read_table


def read_metadata(root: Path) -> DatasetMetadata:
    """Read everything about a dataset but its episodes' content."""
    info = read_info(root)
    if info.version == "v2.1":
        episodes, tasks = _episodes_v21(info), _tasks_v21(info)
    else:
        # In this order: a writer at work stores a task before the first episode that has it.
        episodes = _episodes_v30(info)
        tasks = _tasks_v30(info, recorded=bool(episodes))
    return DatasetMetadata(
        root=root,
        version=info.version,
        embodiment=info.embodiment,
        fps=info.fps,
        cameras=info.cameras,
        features=info.features,
        tasks=tasks,
        episodes=episodes,
        total_episodes=info.total_episodes,
    )


def _tasks_v21(info: Info) -> Mapping[int, str]:
    path = info.root / "meta" / "tasks.jsonl"
    return {
        int(_get(row, "task_index", path)): str(_get(row, "task", path)) for row in _lines(path)
    }


def _episodes_v21(info: Info) -> tuple[EpisodeRecord, ...]:
    path = info.root / "meta" / "episodes.jsonl"
    records: list[EpisodeRecord] = []
    first_row = 0
    for row in sorted(_lines(path), key=lambda row: int(_get(row, "episode_index", path))):
        index = int(_get(row, "episode_index", path))
        place = {"episode_chunk": index // info.chunks_size, "episode_index": index}
        records.append(
            EpisodeRecord(
                index=index,
                length=int(_get(row, "length", path)),
                tasks=tuple(row.get("tasks") or ()),
                data_path=info.file(info.data_path, **place),
                first_row=first_row,
                videos={
                    camera.name: VideoSpan(
                        path=info.file(info.video_path, video_key=camera.key, **place), start_s=0.0
                    )
                    for camera in info.video_cameras
                },
            )
        )
        first_row += records[-1].length
    return tuple(records)


def _tasks_v30(info: Info, *, recorded: bool) -> Mapping[int, str]:
    """The text's column is named by pandas' index: `task`, or `__index_level_0__`."""
    path = info.root / "meta" / "tasks.parquet"
    if not path.is_file() and not recorded:
        return {}  # a new dataset has none yet
    table = read_table(path)
    text = [name for name in table.column_names if name != "task_index"]
    if "task_index" not in table.column_names or not text:
        raise CorruptFileError(
            path,
            f"expected task_index and a text column, got {table.column_names}; copy the file again",
        )
    indices, texts = table.column("task_index").to_pylist(), table.column(text[0]).to_pylist()
    return {int(index): str(task) for index, task in zip(indices, texts, strict=True)}


def _episodes_v30(info: Info) -> tuple[EpisodeRecord, ...]:
    records: list[EpisodeRecord] = []
    for path in sorted((info.root / "meta" / "episodes").glob("*/*.parquet")):
        records += [_record_v30(row, info, path) for row in read_table(path).to_pylist()]
    return tuple(sorted(records, key=lambda record: record.index))


def _record_v30(row: dict[str, Any], info: Info, path: Path) -> EpisodeRecord:
    index = int(_get(row, "episode_index", path))
    videos: dict[str, VideoSpan] = {}
    for camera in info.video_cameras:
        prefix = f"videos/{camera.key}"
        if row.get(f"{prefix}/file_index") is None:
            raise CameraMismatchError(
                path,
                f"expected a video of camera {camera.name!r}, which info.json lists, got none; "
                "copy the dataset again, or take the camera out of info.json",
                index,
            )
        videos[camera.name] = VideoSpan(
            path=info.file(
                info.video_path,
                video_key=camera.key,
                chunk_index=int(_get(row, f"{prefix}/chunk_index", path)),
                file_index=int(row[f"{prefix}/file_index"]),
            ),
            start_s=float(_get(row, f"{prefix}/from_timestamp", path)),
        )
    return EpisodeRecord(
        index=index,
        length=int(_get(row, "length", path)),
        tasks=tuple(row.get("tasks") or ()),
        data_path=info.file(
            info.data_path,
            chunk_index=int(_get(row, "data/chunk_index", path)),
            file_index=int(_get(row, "data/file_index", path)),
        ),
        first_row=int(_get(row, "dataset_from_index", path)),
        videos=videos,
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise MissingDataError(
            path, "expected a metadata file here, found none; copy the dataset again"
        )
    try:
        rows = [
            json.loads(line)
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
    except (ValueError, OSError) as error:
        raise CorruptFileError(
            path, f"not readable as JSON lines ({error}); copy it again"
        ) from error
    if not all(isinstance(row, dict) for row in rows):
        raise CorruptFileError(path, "expected one JSON object a line; copy the file again")
    return rows


def _get(row: dict[str, Any], key: str, path: Path) -> Any:  # noqa: ANN401
    if row.get(key) is None:
        raise CorruptFileError(
            path, f"expected the field {key!r}, got {sorted(row)}; copy the dataset again"
        )
    return row[key]
