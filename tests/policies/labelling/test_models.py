"""Detectors, masks and describers from folders on disk; tiny, with random weights."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Sam2Config,
    Sam2Model,
)

from takt.datasets.labelling.config import LabelConfig
from takt.policies.labelling.describer import QwenDescriber, load_describer
from takt.policies.labelling.folder import token_id
from takt.policies.labelling.grounding_dino import GroundingDino
from takt.policies.labelling.sam2 import Sam2, mask_box
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.recipes.label_models import ModelFolders
from takt.types import TaktError

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
PHRASES = ("red cup", "nut", "red nut cup")
DINO = {
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 10,
    "num_feature_levels": 4,
    "max_text_len": 8,
    "backbone_config": {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 16,
        "depths": [1] * 4,
        "num_heads": [2] * 4,
        "window_size": 4,
        "out_features": ["stage2", "stage3", "stage4"],
        "out_indices": [2, 3, 4],
    },
    "text_config": {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 1100,
    },
}


def bert_tokenizer():
    """Ids of BERT's that the model knows by number: [CLS] 101, [SEP] 102, full stop 1012."""
    words = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012}
    words |= {"red": 200, "cup": 201, "nut": 202}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.fixture(scope="module")
def dinos(tmp_path_factory):
    torch.manual_seed(0)
    folders = []
    for model in (
        GroundingDinoForObjectDetection(GroundingDinoConfig(**DINO)),
        MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(**DINO)),
    ):
        folder = tmp_path_factory.mktemp("dino")
        model.save_pretrained(folder)
        bert_tokenizer().save(str(folder / "tokenizer.json"))
        size = {"shortest_edge": 64, "longest_edge": 96}
        GroundingDinoImageProcessorPil(size=size).save_pretrained(folder)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def sam2(tmp_path_factory):
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 1, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    }
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    )
    folder = tmp_path_factory.mktemp("sam2")
    Sam2Model(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("number", [0, 1])
def test_a_detector_boxes_each_phrase(dinos, number):
    detector = GroundingDino.load(dinos[number], 0.0, "cpu")
    found = detector.detect(IMAGE, PHRASES)
    assert len(found) == 3
    for each in found:
        assert 0 < len(each) <= 10
        assert (np.diff(each.scores) <= 0).all()
        assert (each.boxes >= 0).all()
        assert (each.boxes <= [64, 48, 64, 48]).all()
    assert [len(x) for x in GroundingDino.load(dinos[number], 1.0, "cpu").detect(IMAGE, "a")] == [0]


def test_phrases_beyond_the_models_room_take_passes_of_their_own(dinos):
    detector = GroundingDino.load(dinos[0], 0.0, "cpu")
    prompts = list(detector._prompts(PHRASES))
    assert [ids for ids, _ in prompts] == [
        [101, 200, 201, 1012, 202, 1012, 102],
        [101, 200, 202, 201, 1012, 102],
    ]
    assert [[ids[span] for span in spans] for ids, spans in prompts] == [
        [[200, 201], [202]],
        [[200, 202, 201]],
    ]
    alone = detector.detect(IMAGE, PHRASES[2:])[0]
    np.testing.assert_allclose(alone.boxes, detector.detect(IMAGE, PHRASES)[2].boxes, rtol=1e-5)
    for bad in ("", "a. b", "red " * 9):
        assert not detector.reads(bad)
        with pytest.raises(TaktError, match="phrase"):
            detector.detect(IMAGE, [bad])


def test_scores_are_those_of_transformers_own(dinos):
    """Its post-processing scores a query by its best token of all."""
    detector = GroundingDino.load(dinos[0], 0.0, "cpu")
    (found,) = detector.detect(IMAGE, ["red cup"])
    model, processor = detector._model, detector._processor
    ids = torch.tensor([[101, 200, 201, 1012, 102]])
    with torch.inference_mode():
        output = model(**processor(images=IMAGE, return_tensors="pt"), input_ids=ids)
    best = output.logits[0, :, 1:3].sigmoid().max(-1).values
    np.testing.assert_allclose(found.scores[0], float(best.max()), rtol=1e-5)
    x, y, width, height = output.pred_boxes[0, int(best.argmax())].tolist()
    expected = np.clip([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 0, 1)
    np.testing.assert_allclose(found.boxes[0], expected * [64, 48, 64, 48], rtol=1e-4)


def test_a_mask_gives_its_own_box(sam2):
    sam = Sam2.load(sam2, "cpu")
    box = np.array([(10.0, 5.0, 40.0, 30.0)])
    masks = sam._masks(IMAGE, box)
    assert masks.shape == (1, 48, 64)
    assert masks.any()
    assert sam.mask_boxes(IMAGE, box.repeat(2, 0)).tolist() == [list(mask_box(masks[0]))] * 2


def test_a_masks_box_holds_its_pixels():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 5] = True
    mask[3, 6] = True
    assert mask_box(mask) == (5, 2, 7, 4)
    assert mask_box(np.zeros((6, 8), bool)) == (0, 0, 0, 0)


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "initializer_range": 0.5,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    },
}
VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 32,
    "patch_size": 16,
    "deepstack_visual_indexes": [0, 1],
}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    image, video, begin, end = (token_id(tokenizer, f"<|{name}|>") for name in names)
    config = Qwen3VLConfig(
        text_config={**TEXT, "vocab_size": tokenizer.get_vocab_size()},
        vision_config=VISION,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=begin,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    folder = tmp_path_factory.mktemp("qwen")
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    settings = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_stock_qwen_answers_alike(qwen):
    describer = load_describer(qwen, 5, "cpu")
    assert isinstance(describer, QwenDescriber)
    assert describer.answer([IMAGE], "What?") is None  # no stop token within 5
    vocabulary = describer._tokenizer.get_vocab_size()
    tokens = describer._generate([IMAGE, IMAGE[:32]], "What?")
    assert len(tokens) == 5
    assert max(tokens) < vocabulary
    describer._stops = [tokens[-1]]
    first = describer.answer([IMAGE, IMAGE[:32]], "What?")
    assert first == describer.answer([IMAGE, IMAGE[:32]], "What?")
    assert first


@pytest.mark.parametrize("missing", [None, "{}"])
def test_images_are_not_prepared_by_guess(qwen, tmp_path, missing):
    for path in qwen.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = tmp_path / "preprocessor_config.json"
    nested = {"image_processor": json.loads(settings.read_text())}
    settings.unlink()
    if missing is not None:
        (tmp_path / "processor_config.json").write_text(missing)
    with pytest.raises(TaktError, match="preprocessor_config.json"):
        load_describer(tmp_path, 5, "cpu")
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    load_describer(tmp_path, 5, "cpu")
    nested["image_processor"]["patch_size"] = 14
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    with pytest.raises(TaktError, match="patch_size 16, .*got 14"):
        load_describer(tmp_path, 5, "cpu")


def test_folders_become_voters(dinos, sam2, qwen):
    folders = ModelFolders(detectors=tuple(dinos), sam2=sam2, vlm=qwen, device="cpu", max_tokens=4)
    models = folders.load(LabelConfig())
    assert len(models.detectors) == 2
    assert models.segmenter is not None
    assert models.describer is not None
    for voter in models.detectors:
        assert len(voter.detect(IMAGE, ["cup"])) == 1


def test_what_is_wrong_with_a_folder_is_said(tmp_path, dinos, sam2):
    with pytest.raises(TaktError, match="config.json"):
        GroundingDino.load(tmp_path, 0.3, "cpu")
    with pytest.raises(TaktError, match="grounding-dino or mm-grounding-dino, got 'sam2'"):
        GroundingDino.load(sam2, 0.3, "cpu")
    (tmp_path / "config.json").write_text((dinos[0] / "config.json").read_text())
    with pytest.raises(TaktError, match="safetensors"):
        GroundingDino.load(tmp_path, 0.3, "cpu")
