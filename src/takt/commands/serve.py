"""`takt serve`: a policy for robots elsewhere."""

import ssl
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from takt.benchmarks.checkpoint import CheckpointChunking, packaged_checkpoint, read_chunking
from takt.benchmarks.player import HOLD, HoldPolicy
from takt.benchmarks.shift_config import Device, EightBit, Precision
from takt.embodiments import embodiment_spec
from takt.embodiments.reference import is_reference
from takt.embodiments.user_code import failures_named, make
from takt.extras import require_extra
from takt.runtime.named_policy import NamedBatchPolicy, as_policy, named_policy
from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OneForAll, OnePerRobot, Policies
from takt.runtime.signals import ending_by_signals
from takt.types import EmbodimentSpec, Policy, TaktError

LOOPBACK = ("127.0.0.1", "localhost")
LAST_PORT = 65535
ACCEPTED = "nano, hold, a checkpoint's folder, MODULE:NAME or FILE.py:NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Serve a policy to robots, ours and unmodified openpi clients; Ctrl-C ends it."""

    policy: str = "nano"
    """nano, hold, a checkpoint's folder, MODULE:NAME or FILE.py:NAME."""
    body: str = "nut-station"
    """The body that the robots have: by name, by its file, or MODULE:NAME or FILE.py:NAME."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every one of this machine."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    robots: int = 1
    """Robots at a time; each has a policy with its own memory and seed, all share the weights."""
    token_file: Path | None = None
    """File with the token that robots must show; openpi's clients as their api_key."""
    certificate: Path | None = None
    """Certificate for TLS (PEM), together with --key."""
    key: Path | None = None
    """Private key of the certificate (PEM)."""
    device: Device = "cpu"
    """Where a checkpoint runs."""
    dtype: Precision = "float32"
    """Of its weights and arithmetic."""
    quantise: EightBit | None = None
    """Its weights in 8 bits; w8a8: their inputs too."""
    threads: int = 1
    """CPU threads of a checkpoint's model."""

    def __post_init__(self) -> None:
        """Refuse what could not be served."""
        if self.robots < 1:
            raise TaktError(f"--robots: expected at least 1, got {self.robots}")
        if not 0 <= self.port <= LAST_PORT:
            raise TaktError(
                f"--port: expected 1 to {LAST_PORT}, or 0 for a free one, got {self.port}"
            )


def main(argv: list[str]) -> int:
    """Load, listen, serve until a signal comes."""
    import tyro

    config = tyro.cli(Config, args=argv, prog="takt serve")
    token, tls = _token(config), _tls(config)
    spec = _spec(config.body)
    if config.policy != "hold":
        print(f"takt serve: loading {config.policy}", file=sys.stderr, flush=True)
    policies, chunking = _policies(config, spec)
    with (
        ending_by_signals(),
        PolicyServer(
            policies,
            _facts(config, spec, chunking),
            spec,
            host=config.host,
            port=config.port,
            token=token,
            tls=tls,
        ) as server,
    ):
        if token is None and config.host not in LOOPBACK:
            said = "anyone who reaches this port may ask; --token-file protects it"
            print(f"takt serve: {said}", file=sys.stderr, flush=True)
        scheme, robots = "wss" if tls else "ws", "robot" if config.robots == 1 else "robots"
        print(
            f"takt serve: {config.policy} for {config.robots} {robots} {spec.name} on "
            f"{scheme}://{config.host}:{server.port}",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("takt serve: ended", flush=True)
    return 0


def _spec(body: str) -> EmbodimentSpec:
    with failures_named(f"--body {body}"):
        return embodiment_spec(body)


def _policies(config: Config, spec: EmbodimentSpec) -> tuple[Policies, CheckpointChunking | None]:
    """What thinks, and how it chains its plans if that is known.

    Raises:
        TaktError: There is no such policy, or it knows other bodies only.
    """
    learned = config.policy != "hold" and not is_reference(config.policy)
    if not learned and (config.device, config.dtype, config.quantise) != ("cpu", "float32", None):
        raise TaktError(
            f"--device, --dtype and --quantise are for checkpoints, and {config.policy!r} is none; "
            "leave them out"
        )
    if config.policy == "hold":
        return OnePerRobot(factory=lambda: HoldPolicy(spec), robots=config.robots), HOLD
    if learned:
        require_extra("train", "takt serve with a checkpoint")
        named = config.policy == "nano"
        folder = packaged_checkpoint("nano_station") if named else Path(config.policy)
        if not folder.is_dir():
            raise TaktError(f"--policy: expected {ACCEPTED}, got {config.policy!r}")
        chunking = read_chunking(folder, spec.name, ACCEPTED)
        factory = _from_checkpoint(folder, config)
        return OnePerRobot(factory=factory, robots=config.robots), chunking
    return _of_ones_own(config.policy, config.robots), None


def _of_ones_own(reference: str, robots: int) -> Policies:
    first = make(reference)
    if hasattr(first, "infer_batch"):
        return OneForAll(policy=NamedBatchPolicy(reference, first), robots=robots)
    ready = [as_policy(reference, first)]
    return OnePerRobot(
        factory=lambda: ready.pop() if ready else named_policy(reference), robots=robots
    )


def _from_checkpoint(folder: Path, config: Config) -> Callable[[], Policy]:
    """Policies that share the weights of the first one."""
    from takt.policies.xr0.policy import XR0Policy, load_policy

    # the arrays of a message are views of its bytes, and the policy only reads them
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    made: list[XR0Policy] = []

    def make() -> XR0Policy:
        if made:
            another = made[0].another()
            another.warm_up()
            return another
        made.append(
            load_policy(
                str(folder),
                config.body,
                config.threads,
                config.device,
                config.dtype,
                config.quantise,
            )
        )
        return made[0]

    return make


def _facts(
    config: Config, spec: EmbodimentSpec, chunking: CheckpointChunking | None
) -> ServerFacts:
    return ServerFacts(
        policy=config.policy,
        embodiment=spec.name,
        rate_hz=spec.rate_hz,
        cameras=tuple(camera.name for camera in spec.cameras),
        state=spec.state_names,
        actions=spec.action_space.names,
        max_message_bytes=MAX_MESSAGE_BYTES,
        horizon=chunking.horizon if chunking else 0,
        execute=chunking.execute if chunking else 0,
        max_prefix=chunking.max_prefix if chunking else 0,
        prefix_time=chunking.prefix_time if chunking else "chunk",
    )


def _token(config: Config) -> str | None:
    if config.token_file is None:
        return None
    token = config.token_file.read_text().strip()
    if not token:
        raise TaktError(f"expected a token in {config.token_file}, got nothing; write one into it")
    return token


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.certificate is None and config.key is None:
        return None
    if config.certificate is None or config.key is None:
        raise TaktError("expected --certificate and --key together, got one of them; add the other")
    for path in (config.certificate, config.key):
        if not path.is_file():
            raise TaktError(f"expected a file in PEM, found none at {path}; give its own path")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.certificate, config.key)
    except ssl.SSLError as error:
        raise TaktError(
            f"{config.certificate} and {config.key} are no certificate and its key ({error}); "
            "give both in PEM"
        ) from error
    return context
