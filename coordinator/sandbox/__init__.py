"""What keeps a runner, which decodes strangers' files, from harming its machine and from reading other people's.

    begin   at start        dies with its parent, gains no privileges, no core dumps; memory, processor, files bounded
    enter   with its order  files: its job's folder and what Python needs; network: one TCP port; no other
                            program, process, mount or signal
    seal    when connected  no new socket at all

A layer that this machine does not have is left out, unless the mode says that all are required.
"""

from coordinator.sandbox.enter import Access, Mode, begin, enter, seal
from coordinator.sandbox.layers import Layer, layers
from coordinator.sandbox.limits import SandboxLimits, bound_files

__all__ = ["Access", "Layer", "Mode", "SandboxLimits", "begin", "bound_files", "enter", "layers", "seal"]
