"""Android devices, through the `adb` program of this machine."""

import os
import re
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from hwnat.errors import DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport.base import Transport
from hwnat.transport.client import run_client
from hwnat.transport.remote import RemoteTransport, find_program
from hwnat.transport.shell import OUTPUT_BYTES, refused
from hwnat.transport.words import printable, shown

#: Programs can start in this folder, but not on /sdcard.
WORKDIR: Final = "/data/local/tmp/hwnat"
_INSTALL: Final = "sudo apt install adb (Debian, Ubuntu) or brew install android-platform-tools"
#: How long to wait for a device. It is briefly offline after it is connected, and adb reconnects by
#: itself.
WAIT_S: Final = 10.0
_NETWORK: Final = re.compile(r".+:\d+")
#: Used in place of a serial; it stands for the only attached device.
AUTO: Final = "auto"
#: A line of `adb devices`: serial and state. The serial of a phone on the network may hold spaces.
_LISTED: Final = re.compile(r"^([^\t\r\n*][^\t\r\n]*)\t+\S", re.MULTILINE)


def connect(spec: DeviceSpec) -> "AdbTransport":
    """Return a transport to the device with the serial of `spec`.

    Raises:
        UsageError: `spec` has no serial, or its serial is `auto` and several devices are attached.
        DeviceError: adb is not installed, or the serial is `auto` and no device is attached.
    """
    if spec.serial is None:
        msg = f"Device {spec.name}: set `serial` to one that this prints: adb devices -l"
        raise UsageError(msg)
    serial = _attached(spec.name) if spec.serial == AUTO else spec.serial
    return AdbTransport(serial, workdir=spec.workdir or WORKDIR)


def _attached(name: str) -> str:
    """Return the serial in `ANDROID_SERIAL`, as adb does, or that of the only attached device."""
    if named := os.environ.get("ANDROID_SERIAL"):
        return named
    adb = find_program("adb", install=_INSTALL)
    ended = run_client([adb, "devices"], timeout_s=30, limit_bytes=OUTPUT_BYTES)
    serials = _LISTED.findall(ended.stdout.decode("utf-8", "replace"))
    if not serials:
        msg = (
            f"Device {name}: no phone is attached. Enable USB debugging, plug the phone in and "
            "accept this computer on its screen; then `adb devices -l` lists it."
        )
        raise DeviceError(msg)
    if len(serials) > 1:
        listed = ", ".join(printable(serial, limit=60) for serial in serials)
        msg = (
            f"Device {name}: {len(serials)} phones are attached ({listed}). Choose one: set "
            "`serial` in the device file, or ANDROID_SERIAL."
        )
        raise UsageError(msg)
    return str(serials[0])


class AdbTransport(RemoteTransport):
    """Runs commands with `adb -s SERIAL shell`; copies files with `adb push` and `adb exec-out`.

    The adb server belongs to the user. It is started if there is none, and never stopped.
    """

    def __init__(self, serial: str, *, workdir: str = WORKDIR) -> None:
        super().__init__(address=f"adb {printable(serial)}", workdir=workdir)
        # Different versions of adb stop each other's server, so all calls use the same program.
        self._adb = find_program("adb", install=_INSTALL)
        self._serial = serial
        self._ready = self._seen = False

    def _argv(self, *words: str) -> list[str]:
        return [self._adb, "-s", self._serial, *words]

    def _shell(self, command: str) -> list[str]:
        return self._argv("shell", "-n", command)

    def _raw(self, command: str) -> list[str]:
        return self._argv("exec-out", command)

    def _upload(self, source: Path, target: str, *, timeout_s: float) -> None:
        self._prepare()
        words = ("push", str(source.resolve()), target)
        ended = self.client(self._argv(*words), timeout_s=timeout_s)
        if ended.returncode == 0:
            return
        what = f"Cannot push {shown([str(source)])} to {self.address}"
        failed = refused(what, ended.text)
        if "it does not say why" in str(failed):
            failed = self._explain(ended.text) or TransientDeviceError(
                f"{what}: the link was lost. Check the cable, then run the same command again. "
                f"adb printed: {printable(ended.text, limit=200) or 'nothing'}"
            )
        if isinstance(failed, TransientDeviceError):
            self._lost()
        raise failed

    def _version(self) -> str:
        ended = self.client([self._adb, "version"], timeout_s=10)
        words = ended.stdout.decode("utf-8", "replace").split("\n")
        return "adb " + " ".join(line.rpartition(" ")[2] for line in words[:2])

    def close(self) -> None:
        """Do nothing, because the adb server belongs to the user."""

    def _lost(self) -> None:
        self._ready = False

    def _prepare(self) -> None:
        """Wait until the device is ready, before the first call and after the link was lost.

        Raises:
            DeviceError: the device does not get ready; the message has the reason.
        """
        if self._ready:
            return
        self._start_server()
        ends, dialled = monotonic() + WAIT_S, False
        while True:
            state = self._state()
            if state == "device":
                self._ready = self._seen = True
                return
            failed = self._explain(state)
            gone = "not found" in state
            # adb reconnects to a lost phone on the network only every ten seconds.
            stale = "offline" in state and monotonic() > ends - WAIT_S / 2
            if (gone or stale) and not dialled and _NETWORK.fullmatch(self._serial):
                self._dial(again=stale)
                dialled = True
            elif monotonic() > ends or (gone and not self._seen and not dialled):
                raise failed or self._in_state(state)
            elif failed is not None and not isinstance(failed, TransientDeviceError) and not gone:
                raise failed
            sleep(0.1)

    def _dial(self, *, again: bool) -> None:
        """Make adb connect to a phone on the network; the state then shows whether it worked."""
        if again:
            self.client([self._adb, "disconnect", self._serial], timeout_s=WAIT_S)
        self.client([self._adb, "connect", self._serial], timeout_s=WAIT_S)

    def _state(self) -> str:
        """Return the state of the device, or the reason that adb prints if it has none."""
        ended = self.client(self._argv("get-state"), timeout_s=WAIT_S)
        return ended.text.strip().lower()

    def _start_server(self) -> None:
        """Start the user's adb server if it is not running.

        Raises:
            DeviceError: the server does not start.
        """
        ended = self.client([self._adb, "start-server"], timeout_s=30)
        if ended.returncode != 0:
            msg = (
                "The adb server does not start. Try it with: adb start-server. It printed: "
                f"{printable(ended.text, limit=200) or 'nothing'}"
            )
            raise DeviceError(msg)

    def _in_state(self, state: str) -> DeviceError:
        return DeviceError(
            f"{self.address} is not ready: adb reports its state as "
            f"'{printable(state, limit=100)}'. Start Android on it, then try: adb devices -l"
        )

    def _explain(self, printed: str) -> DeviceError | None:
        words, me = printed.lower(), self.address
        if "unauthorized" in words or "authorizing" in words:
            return DeviceError(
                f"{me} has not allowed this computer: unlock its screen, tick 'Always allow' and "
                "accept, then run the same command again."
            )
        if "no permissions" in words or "insufficient permissions" in words:
            return DeviceError(
                f"This user may not open {me} on USB. Run: sudo apt install "
                "android-sdk-platform-tools-common. Join the group plugdev, then plug it in again."
            )
        if "offline" in words or "still connecting" in words or words == "connecting":
            return TransientDeviceError(
                f"{me} is offline: unlock it, plug it in again, then run the same command again."
            )
        if ("device" in words and "not found" in words) or "no devices" in words:
            gone = TransientDeviceError if self._seen else DeviceError
            return gone(
                f"No device {me}: switch USB debugging on and plug it in, or correct `serial` in "
                "the device file to one that this prints: adb devices -l"
            )
        if "cannot connect to daemon" in words or "failed to start daemon" in words:
            return DeviceError(
                f"{me} cannot be reached because the adb server does not start: adb start-server "
                f"prints {printable(printed, limit=200)}"
            )
        if "error: closed" in words or "connection reset" in words or "protocol fault" in words:
            return TransientDeviceError(
                f"The link to {me} was lost. Check the cable, then run the same command again."
            )
        return None


_CHECK: type[Transport] = AdbTransport
