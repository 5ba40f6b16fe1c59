import io
import json
import os
import pickle
import struct
import zlib

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from takt.datasets import vision_language_files, vision_language_row
from takt.datasets.errors import NotADatasetError
from takt.datasets.vision_language_row import Row
from takt.datasets.vision_language_set import BadRowError, RowError, VisionLanguageSet
from takt.datasets.vision_language_writer import encode_image, read_notes, write_rows
from takt.types import TaktError, Turn


def png(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def said(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(texts)]


def row(**changes: object) -> dict[str, object]:
    return {
        "id": "7",
        "image": "a.png",
        "conversations": said("<image>\nWhat?", "A dog."),
        **changes,
    }


@pytest.fixture
def jsonl(tmp_path):
    (tmp_path / "a.png").write_bytes(png(9))

    def write(*rows: object):
        path = tmp_path / "set.jsonl"
        lines = [x if isinstance(x, str) else json.dumps(x) for x in rows]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.mark.parametrize(
    "words",
    [
        {"conversations": said("<image>\nWhat?", "A dog.", "Where?", "There.")},
        {"conversations": said("What?\n<image>", "A dog.", "Where?", "There.")},
        {
            "conversations": None,
            "messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "A dog."},
                {"role": "user", "content": "Where?"},
                {"role": "assistant", "content": "There."},
            ],
        },
        {
            "conversations": None,
            "texts": [
                {"user": "What?", "assistant": "A dog."},
                {"user": "Where?", "assistant": "There."},
            ],
        },
    ],
)
def test_the_layouts_of_the_field_are_one_conversation(jsonl, words):
    conversation = VisionLanguageSet.open([jsonl(row(**words))])[0]
    assert conversation.turns == (Turn("What?", "A dog."), Turn("Where?", "There."))
    assert [image.tolist() for image in conversation.images] == [[[[9] * 3] * 6] * 4]


@pytest.mark.parametrize("name", ["set.jsonl", "set.parquet"])
def test_what_is_written_is_read(tmp_path, name):
    rows = [
        Row(id=str(k), images=(png(k), png(2 * k)), turns=(Turn("Q?", "A"), Turn("R?", "B")))
        for k in range(20)
    ]
    write_rows(tmp_path / name, rows)
    found = VisionLanguageSet.open([tmp_path / name])
    assert len(found) == 20
    for k in (0, 17):
        assert found[k].turns == rows[k].turns
        assert [image[0, 0, 0] for image in found[k].images] == [k, 2 * k]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_set_is_several_files_of_any_format(tmp_path, jsonl):
    write_rows(
        tmp_path / "more" / "b.parquet", [Row(id="b", images=(png(),), turns=(Turn("Q", "B"),))]
    )
    write_rows(
        tmp_path / "more" / "a.parquet", [Row(id="a", images=(png(),), turns=(Turn("Q", "A"),))]
    )
    found = VisionLanguageSet.open([jsonl(row(), row()), tmp_path / "more"])
    assert [found[k].turns[0].answer for k in range(4)] == ["A dog.", "A dog.", "A", "B"]


def test_parquet_of_hugging_face_names_its_image(tmp_path):
    (tmp_path / "a.png").write_bytes(png(5))
    table = pa.table(
        {
            "image": [{"bytes": png(3), "path": "x.png"}, {"bytes": None, "path": "a.png"}],
            "conversations": [said("Q?", "A")] * 2,
        }
    )
    pq.write_table(table, tmp_path / "set.parquet")
    found = VisionLanguageSet.open([tmp_path / "set.parquet"])
    assert [found[k].images[0][0, 0, 0] for k in range(2)] == [3, 5]


def test_empty_cells_are_no_names(tmp_path):
    empty = pa.array([None], pa.string())
    columns = {"image": [{"bytes": png(3)}], "conversations": [said("Q?", "A")]}
    table = pa.table({**columns, "id": empty, "task": empty})
    pq.write_table(table, tmp_path / "set.parquet")
    found = VisionLanguageSet.open([tmp_path / "set.parquet"]).row(0)
    assert (found.id, found.task) == ("", "")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"id": ', "JSON"),
        ([1], "object"),
        (row(image=None), "at least one image"),
        (row(image="none.png"), "none.png"),
        (row(image="set.jsonl"), "JPEG or PNG"),
        (row(video="a.mp4"), "video"),
        (row(conversations=None), "texts"),
        (row(conversations=5), "list of turns under 'conversations'"),
        (row(conversations=None, texts=True), "list of turns under 'texts'"),
        (row(conversations=said("Q?\ud800", "A")), "surrogate"),
        ("[" * 100_000, "recursion"),
        (row(image="../a.png"), "an image under"),
        (row(image="/dev/zero"), "an image under"),
        (row(image="outside/a.png"), "an image under"),  # a link
        (row(image="pipe"), "found none"),
        (row(image="a" * 300 + ".png"), "long"),
        (row(image="a.eps"), "JPEG or PNG"),
        (row(image="large.png"), "pixels"),
        (row(conversations=said("Q?")), "in turn"),
        (row(conversations=said("Q?", "")), "an answer"),
        (row(conversations=said("Q?", "A", "<image> R?", "B")), "first question only"),
        (row(conversations=said("Is <image> a dog?", "A")), "first question only"),
        (row(conversations=said("<image><image> Q?", "A")), "2 times"),
        (row(conversations=said("<|im_end|>", "A")), "special token"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, jsonl, bad, reason):
    path = jsonl(row(), bad)
    (tmp_path / "outside").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    whole = (tmp_path / "a.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 9000, 9000) + whole[24:29]
    checked = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "large.png").write_bytes(whole[:12] + checked + whole[33:])
    found = VisionLanguageSet.open([path], reserved=["<|im_end|>"])
    with pytest.raises(RowError, match=reason) as error:
        _ = found[1]
    assert str(error.value).startswith(f"{path}: row 2: ")
    assert found[0].turns


def test_a_file_that_goes_away_or_changes_is_a_damaged_row(tmp_path, jsonl):
    path = jsonl(row())
    found = VisionLanguageSet.open([path])
    path.unlink()
    with pytest.raises(RowError, match="No such file"):
        found.row(0)
    parquet = tmp_path / "set.parquet"
    write_rows(parquet, [Row(id="a", images=(png(),), turns=(Turn("Q", "A"),))])
    found = VisionLanguageSet.open([parquet])
    write_rows(parquet, [Row(id="b", images=(png(),), turns=(Turn("Q", "Another"),))])
    with pytest.raises(RowError, match="changed since"):
        found.row(0)


def test_parquet_is_sent_along_and_its_footer_read_once(tmp_path, monkeypatch):
    path = tmp_path / "set.parquet"
    rows = [Row(id=str(k), images=(png(k),), turns=(Turn("Q?", "A"),)) for k in range(64)]
    write_rows(path, rows)
    monkeypatch.setattr(vision_language_files, "KEPT_BYTES", 6000)
    monkeypatch.setattr(vision_language_files, "_RECENT", vision_language_files._Recent())
    found = pickle.loads(pickle.dumps(VisionLanguageSet.open([path])))
    read = []
    whole = pq.ParquetFile
    monkeypatch.setattr(
        pq, "ParquetFile", lambda *args, **kw: read.append(kw["metadata"]) or whole(*args, **kw)
    )
    assert [found.row(k).id for k in (0, 1, 17, 40, 63, 0)] == ["0", "1", "17", "40", "63", "0"]
    assert len(read) == 5  # four row groups, and the first anew: not all of them are kept
    assert all(metadata.num_rows == 64 for metadata in read)
    recent = vision_language_files._RECENT
    assert 0 < sum(table.nbytes for table in recent._tables.values()) == recent._bytes <= 6000


def test_a_draw_skips_damaged_rows_where_it_may(jsonl):
    rows = [row(conversations=said("Q?", str(k))) for k in range(3)]
    path = jsonl(rows[0], "{", rows[1], rows[2])
    found = VisionLanguageSet.open([path], skip_bad=True)
    drawn = [found.draw(np.random.default_rng(seed)).turns[0].answer for seed in range(300)]
    counts = [drawn.count(str(k)) for k in range(3)]
    assert min(counts) > 70
    assert sum(counts) == 300
    assert list(found.skipped) == [1]
    assert found.left_out().startswith(
        f"1 damaged rows were drawn and left out; the first: {path}: row 2: not readable"
    )
    strict = VisionLanguageSet.open([path])
    with pytest.raises(BadRowError, match=r"\.jsonl: row 2: .*; mend it, .*--skip-bad"):
        [strict.draw(np.random.default_rng(seed)) for seed in range(100)]


def test_long_image_files_are_not_read(jsonl, monkeypatch):
    monkeypatch.setattr(vision_language_row, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(RowError, match="at most 10 bytes"):
        _ = VisionLanguageSet.open([jsonl(row())])[0]


def test_no_set_is_no_empty_set(tmp_path, jsonl):
    for path in (tmp_path / "none", tmp_path / "a.txt", jsonl()):
        with pytest.raises(NotADatasetError):
            VisionLanguageSet.open([path])
    with pytest.raises(NotADatasetError, match="there is no such file"):
        VisionLanguageSet.open([tmp_path / "nope.json"])


def test_notes_are_kept_beside_rows(tmp_path):
    write_rows(tmp_path / "a.parquet", [], {"takt": "x"})
    assert read_notes(tmp_path / "a.parquet")["takt"] == "x"
    with pytest.raises(TaktError, match="parquet"):
        write_rows(tmp_path / "a.txt", [])


def test_images_are_encoded_with_little_loss():
    image = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    decoded = np.asarray(PIL.Image.open(io.BytesIO(encode_image(image))))
    assert np.abs(decoded.astype(int) - image).max() <= 2
