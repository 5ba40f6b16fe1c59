"""A body made of a driver: its sensors aligned, its commands checked, its stop insistent."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self

import numpy as np

from takt.embodiments.driver import Driver, DriverError
from takt.embodiments.user_code import told
from takt.runtime.closing import Closing
from takt.runtime.synchroniser import Patience, SensorTiming, Synchroniser
from takt.types import EmbodimentSpec, Observation, Seconds, TaktError

STOP_ATTEMPTS = 3
STOP_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 3.0  # for each device


class StopFailedError(TaktError):
    """The body did not take its stop."""


class CloseFailedError(DriverError):
    """The body was stopped, but a device was not released."""


class Robot(Closing):
    """An `Embodiment` on the wall clock; use it in a `with` block.

    `stop` and `close` never wait for ever: a driver that hangs in them is left behind in a thread
    that ends with the process.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        patience: Patience | None = None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        """Nothing is opened before `connect`."""
        self._driver, self._patience, self._clock = driver, patience, clock
        self._synchroniser: Synchroniser | None = None

    def __enter__(self) -> Self:
        """Connect."""
        try:
            self.connect()
        except BaseException:
            with suppress(CloseFailedError):  # no wonder, and what could not be opened is the news
                self.close()
            raise
        return self

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self._driver.spec

    def connect(self) -> None:
        """Open the devices and wait for the first sample of every sensor.

        Raises:
            DriverError: a device cannot be opened.
            SensorLostError: one did not begin in time.
        """
        try:
            self._driver.connect()
        except TaktError:
            raise
        except Exception as error:
            raise DriverError(
                f"{self.spec.name}: expected connect() to open the devices, got "
                f"{told(error)}; are they plugged in, and may you use them?"
            ) from error
        self._synchroniser = Synchroniser(
            self.spec,
            self._driver.read,
            self._driver.cameras,
            patience=self._patience,
            clock=self._clock,
        )
        self._synchroniser.start()

    def observe(self) -> Observation:
        """The samples of this instant; never waits. A `SensorLostError` if one is too old."""
        return self._connected().observation(self._clock())

    def act(self, action: np.ndarray) -> None:
        """Command one tick.

        Raises:
            SensorLostError: the body is blind, and is not moved.
            DriverError: its driver failed.
        """
        self._connected().require_alive(self._clock())
        try:
            self._driver.command(np.asarray(action, np.float32))
        except TaktError:
            raise
        except Exception as error:
            raise DriverError(
                f"{self.spec.name}: expected its driver to take a command, it failed with "
                f"{told(error)}; the body was stopped"
            ) from error

    def stop(self) -> None:
        """Hold still. Idempotent, from any thread.

        Raises:
            StopFailedError: the driver failed, or hung, every time it was told to.
        """
        last: BaseException | None = None
        for _ in range(STOP_ATTEMPTS):
            last = _failure(self._driver.stop, STOP_TIMEOUT_S)
            if last is None:
                return
        assert last is not None
        raise StopFailedError(
            f"{self.spec.name}: expected the body to stop, its driver failed {STOP_ATTEMPTS} times "
            f"({told(last)}); CUT ITS POWER"
        ) from last

    def touch(self) -> np.ndarray | None:
        """Newest measured forces (touch,); None for a body without, or before `connect`."""
        return self._synchroniser.touch() if self._synchroniser else None

    def timing(self) -> Mapping[str, SensorTiming]:
        """Age and skew by sensor, as of the last observation."""
        return self._synchroniser.timing() if self._synchroniser else {}

    def close(self) -> None:
        """Stop, end the sensors' threads, release the devices. Idempotent.

        Raises:
            StopFailedError: the body did not stop; its devices were let go of nevertheless.
            CloseFailedError: it stopped, and a device failed or hung when it was to be released.
        """
        synchroniser, self._synchroniser = self._synchroniser, None
        try:
            if synchroniser is not None:
                self.stop()
        finally:
            failures = self._release(synchroniser)
        if failures:
            raise CloseFailedError(
                f"{self.spec.name}: expected its devices to be released, got "
                f"{'; '.join(failures)}; the body was stopped: if it does not connect again, "
                "unplug the device or cut its power"
            )

    def _release(self, synchroniser: Synchroniser | None) -> list[str]:
        """Let go of every device, whatever the others do; what went wrong."""
        devices: dict[str, Callable[[], None]] = {}
        if synchroniser is not None:
            cameras = self._driver.cameras.items()
            devices |= {f"camera {name!r}": camera.close for name, camera in cameras}
            devices["sensors' threads"] = synchroniser.close
        devices["driver"] = self._driver.close
        failures = {name: _failure(close, CLOSE_TIMEOUT_S) for name, close in devices.items()}
        return [f"{name}: {told(f)}" for name, f in failures.items() if f]

    def _connected(self) -> Synchroniser:
        if self._synchroniser is None:
            raise TaktError(f"{self.spec.name}: expected connect() before the first tick")
        return self._synchroniser


def _failure(call: Callable[[], None], timeout_s: Seconds) -> BaseException | None:
    """What went wrong in `call`, which is left behind in a thread of its own if it hangs."""
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            call()
        except BaseException as error:  # one that only ends this thread is a failure, too
            failures.append(error)

    thread = threading.Thread(target=attempt, name="driver", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the system has no thread left: better a stop that may hang than none
        attempt()
    else:
        thread.join(timeout_s)
    if thread.is_alive():
        return TimeoutError(f"it did not return within {timeout_s:g} s")
    return failures[0] if failures else None
