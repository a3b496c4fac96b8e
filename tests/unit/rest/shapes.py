"""A contract of the tests' own with every shape google.api.http allows, made from source when the tests run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import google.api
from google.api import httpbody_pb2  # noqa: F401 - what the source imports has to be known before it
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,  # noqa: F401 - as above, and so are the following
    empty_pb2,  # noqa: F401
    field_mask_pb2,  # noqa: F401
    struct_pb2,  # noqa: F401
    timestamp_pb2,  # noqa: F401
    wrappers_pb2,  # noqa: F401
)
from google.protobuf.descriptor import ServiceDescriptor
from grpc_tools import protoc

from gateway.methods import Method, public_methods

SOURCE = """
syntax = "proto3";
package shapes.v1;

import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

service Shapes {
  rpc Get(Everything) returns (Everything) {
    option (google.api.http) = {
      get: "/v1/{name=shelves/*/books/*}"
      additional_bindings { get: "/v1/everything" }
      additional_bindings { get: "/v1/by-inner/{inner.title}/{inner.count}" }
      additional_bindings { get: "/v1/flags/{flag}/{colour}" }
      additional_bindings { post: "/v1/everything:echo" body: "*" }
      additional_bindings { put: "/v1/inner/{name}" body: "inner" }
      additional_bindings { patch: "/v1/inner/{name}" body: "inner" }
      additional_bindings { post: "/v1/list/{name}" body: "names" }
      additional_bindings { custom { kind: "REPORT" path: "/v1/everything" } }
    };
  }
  rpc Files(Everything) returns (Everything) {
    option (google.api.http) = {
      get: "/v1/files/{name=**}"
      additional_bindings { get: "/v1/files/{name=**}:read" }
      additional_bindings { get: "/v1/files/fixed" response_body: "name" }
    };
  }
  rpc Inner(Everything) returns (Everything) {
    option (google.api.http) = {
      get: "/v1/answers/{name}/inner"
      response_body: "inner"
      additional_bindings { get: "/v1/answers/{name}/names" response_body: "names" }
      additional_bindings { get: "/v1/answers/{name}/count" response_body: "count" }
    };
  }
  rpc Raw(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = { post: "/v1/raw" body: "*" };
  }
  rpc Upload(Blob) returns (google.api.HttpBody) {
    option (google.api.http) = { put: "/v1/blobs/{name}" body: "blob" };
  }
  rpc Pieces(Blob) returns (stream google.api.HttpBody) {
    option (google.api.http) = { get: "/v1/pieces/{name}" };
  }
}

enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; COLOUR_BLUE = 2; }

message Inner {
  string title = 1;
  int64 count = 2;
  Inner deeper = 3;
  repeated string tags = 4;
}

message Blob {
  string name = 1;
  google.api.HttpBody blob = 2;
}

message Everything {
  string name = 1;
  int32 count = 2;
  int64 large = 3;
  uint32 small = 4;
  uint64 huge = 5;
  sint32 s32 = 6;
  fixed64 f64 = 7;
  float real = 8;
  double wide = 9;
  bool flag = 10;
  bytes data = 11;
  Colour colour = 12;
  repeated string names = 13;
  repeated int32 numbers = 14;
  repeated Colour colours = 15;
  Inner inner = 16;
  repeated Inner inners = 17;
  map<string, int32> labels = 18;
  map<string, Inner> by_name = 19;
  google.protobuf.Timestamp time = 20;
  google.protobuf.Duration span = 21;
  google.protobuf.FieldMask update_mask = 22;
  google.protobuf.StringValue maybe_text = 23;
  google.protobuf.Int64Value maybe_number = 24;
  google.protobuf.BoolValue maybe_flag = 25;
  google.protobuf.BytesValue maybe_data = 26;
  google.protobuf.Struct struct = 27;
  google.protobuf.Value value = 28;
  oneof choice { string left = 29; string right = 30; }
  optional int32 perhaps = 31;
  repeated google.protobuf.Timestamp times = 32;
  string other = 33 [json_name = "renamed"];
}
"""


def methods() -> list[Method]:
    """The methods of the service above."""
    return public_methods([_service()])


def _service() -> ServiceDescriptor:
    pool = descriptor_pool.Default()
    try:
        return pool.FindServiceByName("shapes.v1.Shapes")
    except KeyError:
        pool.Add(_compiled())
        return pool.FindServiceByName("shapes.v1.Shapes")


def _compiled() -> descriptor_pb2.FileDescriptorProto:
    googleapis = Path(next(iter(google.api.__path__))).parent.parent
    well_known = Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shapes.proto").write_text(SOURCE)
        out = Path(folder) / "out.binpb"
        paths = [f"--proto_path={path}" for path in (folder, googleapis, well_known)]
        assert protoc.main(["protoc", *paths, f"--descriptor_set_out={out}", "shapes.proto"]) == 0
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
        return file
