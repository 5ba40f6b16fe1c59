"""Small benchmark files in the layouts of Hugging Face's parquet and VLMEvalKit's TSV."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(grey: int) -> bytes:
    """A picture of noise around one grey, large enough not to be taken for a reference."""
    rng = np.random.default_rng(grey)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def stored(grey: int) -> dict[str, object]:
    """An image cell of parquet."""
    return {"bytes": png(grey), "path": None}


def written(grey: int) -> str:
    """An image cell of a TSV."""
    return base64.b64encode(png(grey)).decode()


def write_parquet(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def write_tsv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(dict(row) for row in rows)
    return path


def pope_rows(count: int) -> list[dict[str, object]]:
    """Rows of lmms-lab/POPE; every other answer is yes."""
    return [
        {
            "id": str(number),
            "question_id": str(number),
            "question": f"Is there a thing {number} in the image?",
            "answer": ("no", "yes")[number % 2],
            "image_source": "COCO",
            "image": stored(number),
            "category": ("adversarial", "random")[number % 2],
        }
        for number in range(count)
    ]
