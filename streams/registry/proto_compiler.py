"""The text of a .proto file, as a Schema Registry holds it, made into descriptors by protoc.

protoc is in grpcio-tools, and reads files. What comes out needs neither of both to be used again.
Confluent's serializer for Python registers no text but the descriptor itself, in base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from schemas.errors import ConfigError, Incompatible

MAIN = "riverrun_schema.proto"
REMEDY = "Register it with its imports as references."


def compiled(text: str, references: Mapping[str, str]) -> str:
    """Return a .proto file and all it imports as a FileDescriptorSet in base64, itself the last.

    `references`: the text of each file that it imports, by the name that it imports it under; those
    of google.protobuf are known. Raises `Incompatible` if it cannot be compiled.
    """
    if (file := _descriptor(text)) is not None:
        return _with_imports(file, references)
    try:
        import grpc_tools
        from grpc_tools import protoc
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Protobuf needs grpcio-tools.", hint="pip install 'riverrun[sources]'"
        ) from error
    known = Path(grpc_tools.__file__).parent / "_proto"
    with TemporaryDirectory(prefix="riverrun-") as name:
        folder = Path(name).resolve()
        for path, content in {**references, MAIN: text}.items():
            file = (folder / path).resolve()
            if not file.is_relative_to(folder):
                raise Incompatible(
                    f"a Protobuf schema imports {path!r}, which is no name. {REMEDY}"
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, "utf-8")
        descriptors = folder / "riverrun_schema.set"
        code = protoc.main(
            [
                "protoc",
                f"-I{folder}",
                f"-I{known}",
                "--include_imports",
                f"--descriptor_set_out={descriptors}",
                MAIN,
            ]
        )
        if code:
            raise Incompatible(
                f"a Protobuf schema of the registry cannot be compiled by protoc. {REMEDY}"
            )
        return b64encode(descriptors.read_bytes()).decode()


def _descriptor(text: str) -> Any | None:
    """Return the FileDescriptorProto that a text is in base64; None of the text of a file."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    try:
        return descriptor_pb2.FileDescriptorProto.FromString(b64decode(text, validate=True))
    except (ValueError, DecodeError):
        return None


def _with_imports(file: Any, references: Mapping[str, str]) -> str:
    """Return a file and all it imports as a FileDescriptorSet in base64, itself the last."""
    from google.protobuf import descriptor_pb2

    files: dict[str, Any] = {}

    def add(each: Any) -> None:
        for name in each.dependency:
            if name not in files:
                add(_imported(name, references))
        files[each.name] = each

    add(file)
    whole = descriptor_pb2.FileDescriptorSet(file=files.values())
    return b64encode(whole.SerializeToString()).decode()


def _imported(name: str, references: Mapping[str, str]) -> Any:
    from google.protobuf import descriptor_pb2

    if name in references:
        text = references[name]
        if (file := _descriptor(text)) is None:
            data = b64decode(compiled(text, references))
            file = descriptor_pb2.FileDescriptorSet.FromString(data).file[-1]
        file.name = name
        return file
    if not name.startswith("google/protobuf/"):
        raise Incompatible(f"a Protobuf schema imports {name!r}, which is not known. {REMEDY}")
    try:
        module = import_module(f"{name.removesuffix('.proto').replace('/', '.')}_pb2")
    except ModuleNotFoundError:
        raise Incompatible(
            f"a Protobuf schema imports {name!r}, which is not known. {REMEDY}"
        ) from None
    known = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(known)
    return known
