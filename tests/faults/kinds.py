"""All that can go wrong, and what a message has to tell to do next."""

from faults import device_kinds, host_kinds, link_kinds, runner_kinds

ALL = (*link_kinds.KINDS, *device_kinds.KINDS, *runner_kinds.KINDS, *host_kinds.KINDS)
NEXT_STEP = (
    r"run the same command again|hwnat device (doctor|setup)|adb devices -l|delete files"
    r"|set another workdir|[Rr]estart it|ssh-copy-id|plug it in|let it cool|Check |Start sshd"
    r"|accept|Wait until|again|remove the old key|Connect once by hand|profile it anew"
)
