"""CALVIN's long-horizon evaluation: 1000 chains of five language instructions in scene D.

Protocol: mees/calvin, evaluate_policy.py (reference simulators.md, section 4). The environment is
calvin_env 797142c, which is not on PyPI.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

from takt.benchmarks.suites.assets import AssetTree, find_assets
from takt.benchmarks.suites.calvin_chains import read_chains
from takt.benchmarks.suites.calvin_scene import MAX_STEPS, SPEC, CalvinScene, Simulator
from takt.benchmarks.suites.calvin_sequences import LENGTH, PUBLISHED, Chain, generate
from takt.benchmarks.suites.checkout import checkout_of, commit_of
from takt.benchmarks.suites.suite import SuiteError, Trial

__all__ = ["SPEC", "Calvin", "check_source", "source_paths"]

TASK = "chain"
TREE = AssetTree(
    name="calvin_env",
    archive="calvin-env-data.tar.zst",
    proof="conf/config_data_collection.yaml",
)
_SCENE = ["cameras=static_and_gripper", "scene=calvin_scene_D"]
_ORACLE = "conf/tasks/new_playtable_tasks.yaml"
_SENTENCES = "new_playtable_validation.yaml"
_PACKAGES = ("pybullet", "numpy", "gym", "hydra-core", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calvin:
    """Chains of five subtasks.

    Attributes:
        split: What the policy was trained on, ABCD or ABC; a name for it: the scene is always D.
        chains: The first so many of the published 1000.
        renderer: `egl` is upstream's; `tiny` needs no OpenGL, and its pictures are others.
        seed: Of the policies' noise. How scenes begin is the protocol's.
        assets: Folder of calvin_env's data and conf, or of their archive; else $TAKT_ASSETS, else
            those of the installed checkout.
    """

    name: ClassVar[str] = "calvin"

    split: Literal["abcd", "abc"] = "abcd"
    chains: int = PUBLISHED
    renderer: Literal["egl", "tiny"] = "egl"
    seed: int = 0
    assets: str = ""

    def __post_init__(self) -> None:
        """Refuse chains that are not there."""
        if not 1 <= self.chains <= PUBLISHED:
            raise SuiteError(
                f"calvin chains: expected 1 to {PUBLISHED}, got {self.chains}; choose fewer"
            )

    @property
    def label(self) -> str:
        """`calvin` is the whole protocol, rendered as upstream does."""
        tiny = "-tiny" if self.renderer == "tiny" else ""
        part = "" if self.chains == PUBLISHED else f"-n{self.chains}"
        return f"calvin{tiny}{part}"

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the figures must know."""
        looks = "OpenGL by EGL" if self.renderer == "egl" else "TinyRenderer: not comparable"
        return (
            f"{self.split.upper()}->D: trained on {self.split.upper()} by the user's word, "
            "played in scene D",
            f"the first {self.chains} of {PUBLISHED} chains, {MAX_STEPS} steps a subtask, no reset "
            "between; initial states by FNV-1 from basis 0, as pyhash",
            f"{looks}; images 200 and 84 pixels as rendered; a checkpoint's crop of .95, its "
            "replanning after 10 steps and its full stop are the policy's",
            "actions are clipped to [-1, 1], the range of recorded ones; the gripper's sign counts",
        )

    @property
    def longest_chain(self) -> int:
        """Five subtasks."""
        return LENGTH

    def trials(self) -> Sequence[Trial]:
        """One a chain, in the published order."""
        return [
            Trial(task=TASK, index=n, seed=self.seed + n, configuration=f"chain-{n}")
            for n in range(self.chains)
        ]

    def groups(self) -> Mapping[str, Sequence[str]]:
        """None: chains are not averaged by group."""
        return {}

    def open(self, task: str) -> CalvinScene:
        """Build the table.

        Raises:
            SuiteError: calvin_env, its data or OpenGL is missing.
        """
        root = _root(self.assets, checkout_of("calvin_env", "calvin"))
        return CalvinScene(_build(root, self.renderer), published_chains(root))

    def versions(self) -> Mapping[str, str]:
        """Packages, the commit of calvin_env, and what renders."""
        found = {package: version(package) for package in _PACKAGES}
        return {
            **found,
            "calvin_env": commit_of(checkout_of("calvin_env", "calvin")),
            "renderer": self.renderer,
        }


def published_chains(root: Path) -> list[Chain]:
    """The 1000 chains: from `eval_sequences.json` in `root`, else generated (half a minute)."""
    path = root / "eval_sequences.json"
    return read_chains(path) if path.exists() else generate()


def check_source(folder: Path | None) -> list[str]:
    """What `folder`, a checkout of calvin_env or of calvin, lacks, each with what to do."""
    if folder is None:
        return [
            "CALVIN's environment, which is not on PyPI: `git clone "
            "https://github.com/mees/calvin_env`, `git checkout 797142c` in it, and name it with "
            "--source"
        ]
    checkouts = source_paths(folder)
    if not checkouts:
        return [
            f"calvin_env/envs/play_table_env.py in {folder}: name a checkout of mees/calvin_env, "
            "or of mees/calvin with its submodules (`git submodule update --init`)"
        ]
    root = _root("", checkouts[0])
    wanted = {
        TREE.proof: "it is part of mees/calvin_env",
        _ORACLE: "it is part of mees/calvin_env",
        "data/calvin_table_D/urdf/calvin_table_D.urdf": "it is part of mees/calvin_env",
    }
    missing = [
        f"{root / name}: {how}" for name, how in wanted.items() if not (root / name).exists()
    ]
    return missing if _sentences(root) else [*missing, _no_sentences(root)]


def _root(assets: str, checkout: Path) -> Path:
    """A folder with conf and data: the named one, else one in $TAKT_ASSETS, else the checkout."""
    try:
        return find_assets(TREE, assets) or checkout
    except SuiteError:
        if assets:
            raise
        return checkout  # TAKT_ASSETS may be about other suites only


def source_paths(folder: Path) -> list[Path]:
    """What must be on the environment's path to import calvin_env from the checkout `folder`."""
    return [place for place in (folder, folder / "calvin_env") if _is_checkout(place)][:1]


def _is_checkout(folder: Path) -> bool:
    return (folder / "calvin_env" / "envs" / "play_table_env.py").exists()


def _sentences(root: Path) -> Path | None:
    """The validation annotations: beside the data, or in the checkout of mees/calvin around it."""
    places = (root / "annotations", root.parent / "calvin_models" / "conf" / "annotations")
    return next((place / _SENTENCES for place in places if (place / _SENTENCES).exists()), None)


def _no_sentences(root: Path) -> str:
    return (
        f"annotations/{_SENTENCES} in {root}: copy it there from mees/calvin, "
        "calvin_models/conf/annotations"
    )


def _build(root: Path, renderer: str) -> Simulator:
    """Table and oracle as `root`'s configuration has them."""
    sentences = _sentences(root)
    if sentences is None:
        raise SuiteError(f"calvin: missing {_no_sentences(root)}")
    hydra, conf, environments = _import_simulator()
    with hydra.initialize_config_dir(str(root.resolve() / "conf"), version_base=None):
        config = hydra.compose("config_data_collection", overrides=_SCENE)
    config.data_path = str(root.resolve() / "data")
    environments.get_git_commit_hash = lambda *_: "unknown"  # a checkout need not have a .git
    fixed = {"show_gui": False, "use_vr": False, "use_scene_info": True}
    try:
        table = hydra.utils.instantiate(config.env, **fixed, use_egl=renderer == "egl")
    except SystemExit as error:  # how calvin_env says that the plugin did not load
        raise SuiteError(
            "expected Bullet's EGL renderer, got an exit of calvin_env; install libegl1 and "
            "libgl1-mesa-dri, or play with --renderer tiny, which is labelled calvin-tiny"
        ) from error
    oracle = hydra.utils.instantiate(conf.OmegaConf.load(root / _ORACLE))
    said = conf.OmegaConf.load(sentences)
    return Simulator(
        table=table, oracle=oracle, instructions={name: str(said[name][0]) for name in said}
    )


def _import_simulator() -> tuple[Any, Any, Any]:
    """Hydra, OmegaConf and the module of the table."""
    import numpy as np

    if not hasattr(np, "product"):  # calvin_env is older than NumPy 2
        np.product = np.prod  # pyright: ignore[reportAttributeAccessIssue]
    checkout_of("calvin_env", "calvin")
    try:
        modules = ("hydra", "omegaconf", "calvin_env.envs.play_table_env")
        hydra, conf, environments = (import_module(name) for name in modules)
    except ImportError as error:
        raise SuiteError(
            f"expected the simulator of calvin in {sys.prefix}, got {error}; make its environment "
            "with `takt bench setup calvin --source DIR`"
        ) from error
    return hydra, conf, environments
