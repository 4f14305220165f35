"""Stand-ins for the host's gRPC messages.

azure-functions-runtime is handed its message types by whoever runs it ("protos") and only builds
them by keyword and reads attributes, so plain records do; gRPC itself is not needed.
"""

from datetime import timedelta
from typing import Any, ClassVar


class Message:
    """A record with the attributes it was made of."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"


class TypedData(Message):
    """Exactly one of these; asking for another raises AttributeError."""

    string: str
    json: str
    bytes: Any
    http: "RpcHttp"
    collection_string: "Collection"
    collection_bytes: "Collection"
    collection_sint64: "Collection"

    def WhichOneof(self, _group: str) -> str | None:
        return next(iter(self.__dict__), None)


class Collection(Message):
    """Values of one type, under the name of the type."""

    string: list[str]
    bytes: list[Any]
    sint64: list[int]


class ParameterBinding(Message):
    """A named input or output."""

    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str:
        return "data"


class BindingInfo(Message):
    # the directions' names on the wire; `in` is not a name Python can spell
    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2


class StatusResult(Message):
    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    status: int
    exception: "RpcException"


class RpcException(Message):
    message: str
    stack_trace: str


class RpcHttp(Message):
    status_code: str
    headers: dict[str, str]
    cookies: "list[RpcHttpCookie] | None"
    body: TypedData


class SameSite:
    """How a cookie may travel with requests from other sites."""

    ExplicitNone: ClassVar[str] = "None"
    Lax: ClassVar[str] = "Lax"
    Strict: ClassVar[str] = "Strict"


# the library asks for "nothing said" by this name, which is a keyword in Python
setattr(SameSite, "None", "")


class RpcHttpCookie(Message):
    SameSite = SameSite


class NullableString(Message):
    value: str


class NullableBool(Message):
    value: bool


class NullableDouble(Message):
    value: float


class NullableTimestamp(Message):
    value: Any


class RpcRetryOptions(Message):
    """`retry_strategy` with one `delay_interval`, or a minimum and a maximum one."""

    max_retry_count: int
    retry_strategy: str
    delay_interval: timedelta
    minimum_interval: timedelta
    maximum_interval: timedelta


class RpcFunctionMetadata(Message):
    name: str
    function_id: str
    raw_bindings: list[str]
    retry_options: RpcRetryOptions | None


class WorkerMetadata(Message): ...


class WorkerInitResponse(Message):
    result: StatusResult


class FunctionMetadataResponse(Message):
    function_metadata_results: list[RpcFunctionMetadata] | None


class InvocationResponse(Message):
    result: StatusResult
    return_value: TypedData | None = None
