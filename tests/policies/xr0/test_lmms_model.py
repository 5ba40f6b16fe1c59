"""The plug-in for lmms-eval: alone against a stand-in, and inside the real one where there is."""

import importlib
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vl_files import pope_rows, write_parquet

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.types import TaktError

ROOT = Path(__file__).parents[3]
NAME = "takt.policies.xr0.lmms_model"
TASK = """
task: tiny_pope
dataset_path: parquet
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: "{{{{question}}}} Yes or no?"
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 3, until: ["\\n\\n"]}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""

VISUAL = """
import io
import PIL.Image
def visual(doc):
    return [PIL.Image.open(io.BytesIO(doc["image"]["bytes"]))]
"""


@dataclass(frozen=True)
class Manifest:
    model_id: str
    simple_class_path: str


class Model:
    def __init__(self):
        self.task_dict: dict[str, Any] = {}


class Echo:
    """Answers with the number of images, the prompt and the limit."""

    def prompt(self, images, question):
        assert all(image.shape == (4, 6, 3) and image.dtype == np.uint8 for image in images)
        return len(images), question

    def answer(self, prompt, tokens):
        yield from (f"{prompt[0]} ", prompt[1], f" {tokens}", "\n\nHuman: more")


@pytest.fixture
def plugin(monkeypatch):
    """The module beside a stand-in for lmms-eval."""
    names = {
        "lmms_eval.api.instance": {"Instance": SimpleNamespace},
        "lmms_eval.api.model": {"lmms": Model},
        "lmms_eval.models.registry_v2": {"ModelManifest": Manifest},
    }
    for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, content in names.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield importlib.import_module(NAME)
    sys.modules.pop(NAME, None)


def test_requests_are_answered_as_tasks_ask(plugin, monkeypatch):
    monkeypatch.setattr("takt.policies.xr0.chat.Chat.load", lambda folder: Echo())
    model = plugin.TaktXR0(checkpoint="somewhere", batch_size="1", device="cpu")
    model.task_dict = {"pope": {"test": [{"image": Image.new("L", (6, 4))}]}}

    def request(**options):
        visual = lambda doc: [doc["image"]] * 2  # noqa: E731
        return SimpleNamespace(args=("Is it?", options, visual, 0, "pope", "test"))

    asked = [request(max_new_tokens=7, until=["\n\n"]), request(until="Human")]
    replies = ["2 Is it? 7\n\nHuman: more", "2 Is it? 128\n\n"]  # an empty line ends nothing
    assert model.generate_until(asked) == replies
    with pytest.raises(TaktError, match="generate_until only"):
        model.loglikelihood(asked)


def test_the_entry_point_leads_to_the_class(plugin):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (target,) = project["entry-points"]["lmms_eval.models"].values()
    module, function = target.split(":")
    assert module == NAME
    found = getattr(plugin, function)()
    name, attribute = found.simple_class_path.rsplit(".", 1)
    assert issubclass(getattr(importlib.import_module(name), attribute), Model)


@pytest.mark.skipif(find_spec("lmms_eval") is None, reason="lmms-eval is not installed")
def test_lmms_eval_scores_a_checkpoint(tmp_path):
    from lmms_eval.evaluator import simple_evaluate  # pyright: ignore[reportMissingImports]
    from lmms_eval.models import MODEL_REGISTRY_V2  # pyright: ignore
    from lmms_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]

    data = write_parquet(tmp_path / "pope.parquet", pope_rows(4))
    (tmp_path / "tiny_pope.yaml").write_text(TASK.format(data=data))
    (tmp_path / "utils.py").write_text(VISUAL)
    plugin = importlib.import_module(NAME)
    MODEL_REGISTRY_V2.register_manifest(plugin.manifest(), overwrite=True)
    found = simple_evaluate(
        model="takt_xr0",
        model_args=f"checkpoint={packaged_checkpoint('nano_station')}",
        tasks=["tiny_pope"],
        batch_size=1,
        device="cpu",
        task_manager=TaskManager(
            include_path=str(tmp_path), include_defaults=False, model_name="takt_xr0"
        ),
    )
    scores = found["results"]["tiny_pope"]
    assert any(name.startswith("exact_match") for name in scores)
    assert len(found["samples"]["tiny_pope"]) == 4
