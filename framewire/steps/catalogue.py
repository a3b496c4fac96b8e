"""The catalogue: every step, what it takes, who runs it. Read from the contract itself, so it cannot disagree with it.

Names, types, rules and descriptions come from `framewire.v1.Step` (its fields, their protovalidate rules, the comments
in the .proto file). What the contract cannot say is declared here, once a step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePath

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from framewire._buf.validate import validate_pb2
from framewire.errors import ErrorCode, NotFound, StepError, Violation
from framewire.steps import cut_silence
from framewire.steps.contract import default_model, rounds
from framewire.steps.output import ending_of
from framewire.steps.written import HOW_WRITTEN
from framewire.v1 import step_pb2
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.operations_pb2 import RefusedModel
from framewire.v1.step_pb2 import LANE_CPU, LANE_GPU, Lane, ModelInfo, Step, StepInfo, StepLimits, StepParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeclaration:
    """What a step's message cannot say of itself."""

    lane: Lane.ValueType
    """Which workers run it."""
    suffix: str
    """What the result's file name says of it: `clip.mp4` -> `clip-SUFFIX.mp4`."""
    limits: StepLimits
    """Bounds of the input."""
    defaults: Mapping[str, str]
    """Parameter -> what is used when it is not given, as text."""
    uses_models: bool = False
    """It has a parameter `model` that names a served model."""
    attempts: int = 2
    """Attempts a job with this step has, and has again when somebody asks for a retry."""


DECLARATIONS: Mapping[str, StepDeclaration] = {
    "enhance": StepDeclaration(
        lane=LANE_GPU,
        suffix="enhanced",
        limits=StepLimits(max_size_bytes=500 << 20, max_dimension=4096),
        defaults={"model": default_model("enhance")},
        uses_models=True,
    ),
    "denoise": StepDeclaration(
        lane=LANE_GPU,
        suffix="denoised",
        limits=StepLimits(max_size_bytes=500 << 20, max_dimension=4096),
        defaults={"model": default_model("denoise")},
        uses_models=True,
    ),
    "cut_silence": StepDeclaration(
        lane=LANE_CPU,
        suffix="cut",
        limits=StepLimits(max_size_bytes=32 << 30, max_dimension=4096),  # eight hours at 8 Mbit/s
        defaults=cut_silence.DEFAULTS,
    ),
    "inpaint": StepDeclaration(
        lane=LANE_GPU,
        suffix="inpainted",
        limits=StepLimits(max_size_bytes=500 << 20, max_dimension=4096),
        defaults={},
        uses_models=True,
    ),
}


def list_steps(models: Iterable[ModelInfo] = ()) -> list[StepInfo]:
    """Every step in the order of the contract, with the models that are served now."""
    served = list(models)
    return [_describe(field, served) for field in step_pb2.Step.DESCRIPTOR.oneofs_by_name["kind"].fields]


def get_step(name: str, models: Iterable[ModelInfo] = ()) -> StepInfo:
    """One step. Raises NotFound (STEP_UNKNOWN) naming those there are."""
    field = step_pb2.Step.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise NotFound(f"no step {name!r}; there are: {', '.join(DECLARATIONS)}", code=ErrorCode.STEP_UNKNOWN)
    return _describe(field, list(models))


def step_name(step: Step) -> str:
    """The step's name: the field that is set."""
    return step.WhichOneof("kind") or ""


def lane_of(steps: Sequence[Step]) -> Lane.ValueType:
    """The lane that can run all of them: gpu as soon as one needs it."""
    lanes = {DECLARATIONS[step_name(step)].lane for step in steps}
    return LANE_GPU if LANE_GPU in lanes else LANE_CPU


def attempts_of(steps: Sequence[Step]) -> int:
    """Attempts a job made of these steps has: as many as the step that has most."""
    return max(DECLARATIONS[step_name(step)].attempts for step in steps)


def result_filename(filename: str, steps: Sequence[Step], output: OutputSettings | None = None) -> str:
    """What the result is called: `cars_432p.mp4`, enhanced -> `cars_432p-enhanced.mp4`. At most 255 characters.

    Its ending is that of the container that was asked for, `.mp4` when none was.
    """
    ending = "".join(f"-{DECLARATIONS[step_name(step)].suffix}" for step in steps) + ending_of(output)
    return (PurePath(filename).stem or "result")[: 255 - len(ending)] + ending


def models_of(steps: Sequence[Step]) -> set[str]:
    """The models these steps need, those they take when none is named included."""
    return {model_of(step) for step in steps if DECLARATIONS[step_name(step)].uses_models}


def check_models(
    steps: Sequence[Step], models: Sequence[ModelInfo], *, refused: Mapping[str, RefusedModel] | None = None
) -> None:
    """Check the steps' models against those that are served; with none served nothing can be said, and nothing is.

    `refused`: models of the repositories that cannot be used, by name. Raises StepError: MODEL_INVALID or
    MODEL_TOO_LARGE with a worker's reason, MODEL_UNKNOWN naming the known ones, STEP_INVALID for a scale the model
    does not have.
    """
    if not models:
        return
    served = {model.name: model for model in models}
    for index, step in enumerate(steps):
        name = step_name(step)
        if DECLARATIONS[name].uses_models:
            _check_model(f"steps[{index}].{name}", name, step, served, refused or {})


def model_of(step: Step) -> str:
    """The model a step that uses one takes: the one it names, or that of the table."""
    name = step_name(step)
    parameters = getattr(step, name)
    return str(parameters.model) or default_model(name, getattr(parameters, "scale", 0))


def _check_model(
    path: str, name: str, step: Step, served: Mapping[str, ModelInfo], refused: Mapping[str, RefusedModel]
) -> None:
    parameters = getattr(step, name)
    wanted = model_of(step)
    model = served.get(wanted)
    if model is None and (why := refused.get(wanted)) and why.code != ErrorCode.MODEL_UNKNOWN:
        violation = Violation(f"{path}.model", why.reason)
        raise StepError(why.reason, code=ErrorCode(why.code), violations=[violation])
    if model is None:
        message = f"no worker serves a model {wanted!r}; there are: {', '.join(sorted(served))}"
        raise StepError(message, code=ErrorCode.MODEL_UNKNOWN, violations=[Violation(f"{path}.model", message)])
    if words := misfit(name, model):
        raise StepError(words, violations=[Violation(f"{path}.model", words)])
    if name == "enhance" and parameters.HasField("scale") and not rounds(model.scale, parameters.scale):
        message = f"{wanted} enlarges {model.scale} times, not {parameters.scale}"
        raise StepError(message, violations=[Violation(f"{path}.scale", message)])


def misfit(step: str, model: ModelInfo) -> str:
    """Why this step cannot use that model whatever its parameters say, and what can; "" when it can."""
    if step == "inpaint" and not model.takes_mask:
        return f"{model.name} takes no mask and cannot fill; import a model for inpainting, such as LaMa, and name that"
    if step != "inpaint" and model.takes_mask:
        return f"{model.name} fills what is masked; use it with inpaint"
    if step == "denoise" and model.scale != 1:
        return f"{model.name} enlarges {model.scale} times; use it with enhance"
    return ""


def _describe(field: FieldDescriptor, models: Sequence[ModelInfo]) -> StepInfo:
    message = field.message_type
    declared = DECLARATIONS[field.name]
    return StepInfo(
        name=field.name,
        description=_comments().get(message.full_name, ""),
        lane=declared.lane,
        parameters=[_parameter(message, parameter, declared) for parameter in message.fields],
        models=[model for model in models if declared.uses_models and not misfit(field.name, model)],
        limits=declared.limits,
    )


def _parameter(message: Descriptor, field: FieldDescriptor, declared: StepDeclaration) -> StepParameter:
    return StepParameter(
        name=field.name,
        type=_type_name(field),
        description=_comments().get(f"{message.full_name}.{field.name}", ""),
        default_value=declared.defaults.get(field.name, ""),
        rule=rule_in_words(field),
    )


_TYPE_NAMES: Mapping[int, str] = {
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_FLOAT: "number",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_INT32: "integer",
    FieldDescriptor.CPPTYPE_INT64: "integer",
    FieldDescriptor.CPPTYPE_UINT32: "integer",
    FieldDescriptor.CPPTYPE_UINT64: "integer",
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_ENUM: "string",
    FieldDescriptor.CPPTYPE_MESSAGE: "object",
}


def _type_name(field: FieldDescriptor) -> str:
    return _TYPE_NAMES[field.cpp_type]


def rule_in_words(field: FieldDescriptor) -> str:
    """A field's protovalidate rule for people, e.g. `1 to 4`; empty when any value will do."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    kind = rules.WhichOneof("type")
    if kind is None:
        return ""
    values = {rule.name: value for rule, value in getattr(rules, kind).ListFields()}
    return "; ".join(filter(None, [_bounds(values), _choice(values), _length(values), _pattern(field, values)]))


def _bounds(values: Mapping[str, object]) -> str:
    if "gte" in values and "lte" in values:
        return f"{values['gte']} to {values['lte']}"
    words = {"gte": "at least", "lte": "at most", "gt": "more than", "lt": "less than"}
    return ", ".join(f"{word} {values[rule]}" for rule, word in words.items() if rule in values)


def _choice(values: Mapping[str, object]) -> str:
    choice = values.get("in")
    return f"one of {', '.join(str(value) for value in choice)}" if isinstance(choice, Iterable) else ""


def _length(values: Mapping[str, object]) -> str:
    words = {"min_len": "at least {} characters", "max_len": "at most {} characters"}
    return ", ".join(word.format(values[rule]) for rule, word in words.items() if rule in values)


def _pattern(field: FieldDescriptor, values: Mapping[str, object]) -> str:
    return HOW_WRITTEN.get(field.name, f"matches {values['pattern']}") if "pattern" in values else ""


@functools.cache
def _comments() -> Mapping[str, str]:
    """Full name of a message or field -> its comment in the .proto file, on one line."""
    data = resources.files("framewire.v1").joinpath("api.binpb").read_bytes()
    wanted = step_pb2.DESCRIPTOR.name
    file = next(file for file in FileDescriptorSet.FromString(data).file if file.name == wanted)
    names = _names_by_path(file)
    return {
        names[path]: " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if (path := tuple(location.path)) in names and location.leading_comments
    }


_MESSAGES = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_FIELDS = DescriptorProto.FIELD_FIELD_NUMBER


def _names_by_path(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    names: dict[tuple[int, ...], str] = {}
    for number, message in enumerate(file.message_type):
        full_name = f"{file.package}.{message.name}"
        names[_MESSAGES, number] = full_name
        for place, field in enumerate(message.field):
            names[_MESSAGES, number, _FIELDS, place] = f"{full_name}.{field.name}"
    return names
