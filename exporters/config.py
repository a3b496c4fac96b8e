"""The config.pbtxt of a model. Its parameters carry the contract that the coordinator reads over ModelConfig."""

from __future__ import annotations

import json

from exporters.declaration import INPUT, OUTPUT, Model

_TEMPLATE = """\
# Written by `python -m exporters` from exporters/models.py; change it there.
name: {name}
backend: "onnxruntime"
max_batch_size: {max_batch}
input [ {{ name: {input} data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }} ]
output [ {{ name: {output} data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_AUTO }} ]
"""


def config_text(model: Model) -> str:
    """The file's text; strings are quoted as JSON quotes them, which is how the text format reads them."""
    head = _TEMPLATE.format(
        name=json.dumps(model.name),
        max_batch=model.max_batch,
        input=json.dumps(INPUT),
        output=json.dumps(OUTPUT),
        instances=model.instances,
    )
    return head + "".join(_parameter(name, value) for name, value in contract_parameters(model).items())


def contract_parameters(model: Model) -> dict[str, str]:
    """The contract as text by name. Batch limit and tensors stand in the config itself."""
    return {
        "scale": str(model.scale),
        "size_multiple": str(model.size_multiple),
        "license": model.license,
        "description": model.description,
    }


def _parameter(name: str, value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    return f"parameters {{ key: {json.dumps(name)} value: {{ string_value: {quoted} }} }}\n"
