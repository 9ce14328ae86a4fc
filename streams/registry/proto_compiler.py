"""The text of a .proto file, as a Schema Registry holds it, made into descriptors by protoc.

protoc is in grpcio-tools, and reads files. What comes out needs neither of both to be used again.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.errors import ConfigError, Incompatible

MAIN = "riverrun_schema.proto"


def compiled(text: str, references: Mapping[str, str]) -> str:
    """Return a .proto file and all it imports as a FileDescriptorSet in base64, itself the last.

    `references`: the text of each file that it imports, by the name that it imports it under; those
    of google.protobuf are known. Raises `Incompatible` if it cannot be compiled.
    """
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
                raise Incompatible(f"a Protobuf schema imports {path!r}, which is no name.")
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
            raise Incompatible("a Protobuf schema of the registry cannot be compiled by protoc.")
        return b64encode(descriptors.read_bytes()).decode()
