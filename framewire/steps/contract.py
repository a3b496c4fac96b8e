"""What a step may rely on when it sends frames to a model, and how a model says it.

A model's contract stands in its own config.pbtxt; there is no second copy. Tensors and the batch limit are the config's
own fields, the rest are its `parameters`:

    parameter          needed   meaning
    scale              yes      output size / input size, per side; a whole number from 1
    size_multiple      yes      height and width must be multiples of this; 1 when any size will do
    license            yes      SPDX identifier of the weights
    description        yes      one sentence for people
    overlap            no       how far a result pixel looks, in input pixels each side: tiles overlap by this
    max_pixels         no (0)   most pixels (height x width) of a picture in one request; 0: no limit; larger: tiles
    memory_bytes       no (0)   measured: what the loaded model holds after one 640x360 frame; 0: not known
    bytes_per_pixel    no (0)   measured: bytes a request needs for each pixel of a picture that goes in; 0: not known
    kind               no       what it is for; steps use those of MODEL_KINDS, and those that do not say. A model
                                of kind `inpaint` takes a mask as well, and `inpaint` alone uses it
    fixed_size         no (0)   the only height and width it takes, which no step uses yet; 0: any size
    graph_sha256       no       of the model's file: work that was begun with other weights is not gone on with
    max_batch          state    most frames in one request; only where max_batch_size is 0, otherwise that counts
    NAME.shape         state    shape of the state tensor NAME; see `parse_shape`

A model of single pictures has `max_batch_size` N, one input and one output, uint8 with dims [ -1, -1, 3 ]. One of kind
`inpaint` has a second input, the mask, uint8 with dims [ -1, -1, 1 ]: 255 where it is to fill, 0 elsewhere.

A recurrent model has `max_batch_size: 0`, dims [ -1, -1, -1, 3 ] for frames, the first of them time, and state tensors
without a batch dimension. Input and output of a tensor have one name but for the ending: FRAMES_IN and FRAMES_OUT,
STATE_IN and STATE_OUT, FLOW_STATE_IN and FLOW_STATE_OUT. Zeros are the state before the first frame. What is in the
state after a request goes into the next one as it is.

    max_batch_size: 0
    input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
            { name: "STATE_IN"  data_type: TYPE_FP32  dims: [ 16, -1, -1 ] } ]
    output [ { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, -1, 3 ] },
             { name: "STATE_OUT"  data_type: TYPE_FP32  dims: [ 16, -1, -1 ] } ]
    parameters { key: "max_batch" value: { string_value: "8" } }
    parameters { key: "STATE_IN.shape" value: { string_value: "16,height,width" } }
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from framewire.v1.step_pb2 import ModelInfo

MODEL_KINDS: Final = frozenset({"enhance", "denoise", "inpaint"})
"""What models that a step uses are for."""
DEFAULT_MODELS: Final[Mapping[str, Mapping[int, str]]] = {
    "enhance": {0: "enhance_x2"},
    "denoise": {0: "denoise"},
}
"""By step, and by the scale that was asked for: the model that is used when none is named. 0: none was asked for."""


def default_model(step: str, scale: int = 0) -> str:
    """The model this step takes when none is named, "" for none; for a scale that none of the table has, that of 0."""
    by_scale = DEFAULT_MODELS.get(step, {})
    return by_scale.get(scale) or by_scale.get(0, "")


def rounds(model_scale: int, wanted: int) -> int:
    """How many times in a row a model of this scale makes a picture `wanted` times larger; 0: it never does."""
    count, reached = 1, model_scale
    while model_scale > 1 and reached < wanted:
        count, reached = count + 1, reached * model_scale
    return count if reached == wanted else 0


DEFAULT_ENHANCE_MODEL: Final = default_model("enhance")
DEFAULT_DENOISE_MODEL: Final = default_model("denoise")

ITEM_BYTES: Final[Mapping[str, int]] = {"FP32": 4, "FP16": 2, "BF16": 2, "UINT8": 1, "INT8": 1, "INT32": 4, "INT64": 8}
"""Data types a state may have, and bytes of one value."""

_ALIGNMENT = 64  # as vector units like it
_EXTENT = re.compile(r"(?:(?P<number>\d+)|(?P<side>height|width)(?:(?P<sign>[*/])(?P<factor>\d+))?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """One dimension of a state: `side * times / divided_by`, or `times` alone where `side` is empty."""

    side: str = ""
    """`height`, `width`, or empty for a number."""
    times: int = 1
    divided_by: int = 1

    def of(self, height: int, width: int) -> int:
        """Its length for frames of this size. Raises ValueError when the size cannot be divided."""
        whole = {"height": height, "width": width, "": 1}[self.side] * self.times
        if whole % self.divided_by:
            raise ValueError(f"{self.side} {whole} is not a multiple of {self.divided_by}")
        return whole // self.divided_by


def parse_shape(text: str) -> tuple[Extent, ...]:
    """The shape `text` says: lengths separated by commas, each a number, `height`, `width`, `width*2` or `height/4`.

    Height and width are those of the frames that go in. Raises ValueError.
    """
    return tuple(_parse_extent(part.strip()) for part in text.split(","))


def _parse_extent(text: str) -> Extent:
    found = _EXTENT.fullmatch(text)
    if found is None or 0 in (int(found["number"] or 1), int(found["factor"] or 1)):
        raise ValueError(f"{text!r} is not a number from 1, height, width, width*2 or height/4")
    if found["number"]:
        return Extent(times=int(found["number"]))
    factor = int(found["factor"] or 1)
    return Extent(side=found["side"], **{"divided_by" if found["sign"] == "/" else "times": factor})


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTensor:
    """What a recurrent model remembers, or a part of it."""

    input: str
    """Name of the tensor that takes it."""
    output: str
    """Name of the tensor that gives it."""
    datatype: str
    """As Triton says it, one of ITEM_BYTES: `FP32`."""
    extents: tuple[Extent, ...]

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Its shape for frames of this size. Raises ValueError when the size cannot be divided."""
        return tuple(extent.of(height, width) for extent in self.extents)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlace:
    """A state tensor in a block of memory."""

    tensor: StateTensor
    offset: int
    """Bytes from the start of the block."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.tensor.datatype]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContract:
    """A served model's contract, read from its own config.pbtxt through the server that serves it.

    Frames are uint8 RGB, NHWC: `[batch, height, width, 3]` in, `[batch, height*scale, width*scale, 3]` out; to a
    recurrent model the first dimension is time.
    """

    name: str
    """Name in the repository."""
    version: str
    """Version the server serves."""
    input: str
    """Name of the tensor that takes frames."""
    output: str
    """Name of the tensor that gives frames."""
    scale: int
    """Output size / input size, per side."""
    size_multiple: int
    """Height and width must be multiples of this; neutral value: 1."""
    max_batch: int
    """Most frames in one request; at least 1."""
    license: str
    """SPDX identifier."""
    description: str
    """One sentence for people."""
    overlap: int | None = None
    """How far a result pixel looks, in input pixels each side; neutral value: None, for not known."""
    max_pixels: int = 0
    """Most pixels of a picture in one request; neutral value: 0, for no limit."""
    memory_bytes: int = 0
    """What the loaded model was measured to hold after a 640x360 frame; neutral value: 0, for not known."""
    bytes_per_pixel: int = 0
    """Bytes a request was measured to need for each pixel of a picture; neutral value: 0, for not known."""
    graph_sha256: str = ""
    """Of the model's file, with its weights; neutral value: "", for not known."""
    state: tuple[StateTensor, ...] = ()
    """What it remembers from request to request; neutral value: (), for a model of single pictures."""
    mask: str = ""
    """Name of the tensor that takes a mask, uint8 `[batch, height, width, 1]`, 255 where to fill; neutral value: ""."""

    @property
    def remembers(self) -> bool:
        """Whether it is recurrent."""
        return bool(self.state)

    def state_places(self, height: int, width: int) -> list[StatePlace]:
        """Where each state tensor lies in one block of memory, for frames of this size.

        Raises ValueError when the size cannot be divided.
        """
        places, offset = [], 0
        for tensor in self.state:
            places.append(StatePlace(tensor=tensor, offset=offset, shape=tensor.shape(height, width)))
            offset += -(-places[-1].size // _ALIGNMENT) * _ALIGNMENT
        return places

    def state_bytes(self, height: int, width: int) -> int:
        """Bytes of a block for all of its state. Raises ValueError when the size cannot be divided."""
        places = self.state_places(height, width)
        return places[-1].offset + places[-1].size if places else 0

    def to_proto(self) -> ModelInfo:
        """The part of it that the catalogue shows."""
        return ModelInfo(
            name=self.name,
            version=self.version,
            scale=self.scale,
            description=self.description,
            license=self.license,
            memory_bytes=self.memory_bytes,
            recurrent=self.remembers,
            takes_mask=bool(self.mask),
        )
