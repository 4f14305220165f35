"""What registering and finding assets can be answered with."""

from emulator.azureml.errors import NotFound, ServiceError, UserError

_SINGULAR = {
    "codes": "code",
    "components": "component",
    "environments": "environment",
    "data": "data asset",
    "models": "model",
}


class AssetNotFound(NotFound):
    """A name or version that was never registered."""

    def __init__(self, kind: str, name: str, version: str | None = None) -> None:
        what = f"{_SINGULAR[kind]} '{name}'" + (f" with version '{version}'" if version else "")
        super().__init__(f"Could not find {what} in the workspace.")


class VersionConflict(ServiceError):
    """A version that exists with other content."""

    def __init__(self, kind: str, name: str, version: str, part: str) -> None:
        super().__init__(
            409,
            "UserError",
            f"The {_SINGULAR[kind]} '{name}' with version '{version}' already exists with a "
            f"different {part}, which is immutable. Only description, tags, properties and "
            "isArchived can be updated; register the change under a new version.",
            inner=("Conflict", "AssetVersionImmutable"),
        )


class BadAssetName(UserError):
    """A name that the service does not accept for this kind of asset."""

    def __init__(self, kind: str, name: str, rule: str) -> None:
        super().__init__(
            f"'{name}' is not a valid name of a {_SINGULAR[kind]}: {rule}.",
            inner=("BadArgument", "InvalidName"),
        )
