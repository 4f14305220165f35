"""What pipelines run on: whether it is there, what is to be done about it, what differs.

What is found is kept in `computes.json`, so that an event asks no compute anything. Nothing here
waits: a run whose compute is not there yet waits in the ledger, and the tick looks again.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState, Unchanged
from shared.compute_definitions import SERVERLESS, ComputeDefinition
from shared.compute_plans import Action, Drift, Plan, State, Target, in_words, plan
from shared.errors import RecordUnreadable, SignalboxError, StorageUnavailable
from shared.inputs import compute_input, redacted
from shared.workspace import JobBody

log = logging.getLogger(__name__)

_NAME = "computes.json"
SCHEMA = 1

#: Where nothing is kept, nothing was tried.
_NEVER = datetime.min.replace(tzinfo=UTC)

_OF_A_STEP = compute_input("")

#: How long a run waits for its compute before it is a dead letter.
COMPUTE_PATIENCE = timedelta(hours=2)
#: A creation or start that failed is tried again by the tick after this: quota comes slowly.
RETRY = timedelta(minutes=15)


class Targets(Protocol):
    """The computes of the workspace. All raise WorkspaceUnavailable, JobRejected."""

    def find(self, name: str) -> Target | None: ...

    def create(self, definition: ComputeDefinition) -> None:
        """Begin to create it; does not wait."""

    def start(self, name: str) -> None:
        """Begin to start an instance; does not wait."""


class Kept(BaseModel):
    """A compute's definition and what was last found of it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    wanted: dict[str, Any]
    state: State = State.UNKNOWN
    #: Storage time since which it is in that state.
    since: AwareDatetime
    #: Storage time at which somebody last tried to create or start it.
    tried_at: AwareDatetime | None = None
    #: Why it is not ready, for a person.
    problem: str | None = None
    #: Why the last look found nothing out; None when it did.
    unseen: str | None = None
    drift: tuple[Drift, ...] = ()

    @property
    def definition(self) -> ComputeDefinition:
        return ComputeDefinition.kept(self.wanted)

    def seen(self, plan: Plan, at: datetime) -> "Kept":
        since = self.since if self.state is plan.state else at
        return self.model_copy(
            update={
                "state": plan.state,
                "since": since,
                "problem": plan.problem,
                "unseen": None,
                "drift": plan.drift,
                "tried_at": self.tried_at if plan.action is Action.KEEP else at,
            }
        )

    @property
    def why(self) -> str | None:
        """Why it is not ready, as far as anybody knows."""
        return "; ".join(each for each in (self.problem, self.unseen) if each) or None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    computes: dict[str, Kept] = Field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What the computes of a run come to."""

    #: What the run waits for; None when nothing keeps it from being submitted.
    waiting: str | None = None
    #: What differs from the definitions.
    drift: tuple[str, ...] = ()


class Computes:
    """Keeps the definitions of computes and what was found of them, and makes them be there."""

    def __init__(self, blobs: BlobState, targets: Targets) -> None:
        self._blobs = blobs
        self._targets = targets
        #: ETag and content of the last reading.
        self._known: tuple[str, _File] | None = None

    def all(self) -> dict[str, Kept]:
        """Every compute that is defined. Raises StorageUnavailable, RecordUnreadable."""
        return dict(self._read()[0].computes)

    def look(self, names: Collection[str]) -> Standing:
        """Whether jobs can go to these computes, from what is kept; one storage request.

        What has no definition is AzureML's business. Raises StorageUnavailable, RecordUnreadable.
        """
        if not names:
            return Standing()
        computes = self._read()[0].computes
        mine = [(name, computes[name]) for name in sorted(names) if name in computes]
        return Standing(
            waiting="; ".join(_waiting(n, kept) for n, kept in mine if not kept.state.usable)
            or None,
            drift=tuple(
                f"compute {name} differs: {each}" for name, kept in mine for each in kept.drift
            ),
        )

    def adopt(
        self, definitions: Sequence[ComputeDefinition], say: Callable[[str], None]
    ) -> dict[str, Kept]:
        """Take definitions over and make their computes be there; starts what is stopped.

        Raises StorageUnavailable, RecordUnreadable; what Azure refuses is told and kept.
        """
        wanted = {definition.name: definition.content for definition in definitions}
        if not wanted:
            return {}

        def take(file: _File, at: datetime) -> _File:
            kept = {
                name: file.computes[name].model_copy(update={"wanted": content})
                if name in file.computes
                else Kept(wanted=content, since=at)
                for name, content in wanted.items()
            }
            return file.model_copy(update={"computes": {**file.computes, **kept}})

        self._change(take)
        found = self._ensure(wanted.keys(), start=wanted.keys(), insist=True)
        for name, kept in found.items():
            say(f"compute {name} {_told(kept)}")
        return found

    def foresee(self, definitions: Iterable[ComputeDefinition]) -> dict[str, list[str]]:
        """What adopting them would find and do, in words; changes nothing, and raises nothing.

        One request for each.
        """
        return {definition.name: self._foreseen(definition) for definition in definitions}

    def _foreseen(self, definition: ComputeDefinition) -> list[str]:
        try:
            found = plan(definition, self._targets.find(definition.name))
        except SignalboxError as error:
            return [f"could not be looked at: {redacted(str(error))}"]
        meant = {Action.CREATE: "will be created", Action.START: "will be started"}
        seen = Kept(wanted=definition.content, since=_NEVER).seen(found, _NEVER)
        told = "; ".join(each for each in (_told(seen), meant.get(found.action)) if each)
        return [told, *(f"differs: {each}" for each in found.drift)]

    def check(self) -> None:
        """Look at every defined compute, create what is missing, and keep what was found.

        A stopped instance is left alone: `wake` starts it when a run waits for it, or it would
        never stay shut down.
        """
        computes = self._read()[0].computes
        if computes:
            self._ensure(computes.keys(), start=(), insist=False)

    def wake(self, names: Collection[str]) -> None:
        """Start those that are stopped, for a run that waits for them."""
        computes = self._read()[0].computes
        stopped = [n for n in names if n in computes and computes[n].state is State.STOPPED]
        if stopped:
            self._ensure(stopped, start=stopped, insist=False)

    def forget(self, names: Collection[str]) -> None:
        """Drop definitions; the computes stay as they are."""
        self._change(
            lambda file, _at: file.model_copy(
                update={"computes": {k: v for k, v in file.computes.items() if k not in names}}
            )
        )

    def _ensure(
        self, names: Iterable[str], *, start: Collection[str], insist: bool
    ) -> dict[str, Kept]:
        file, at = self._read()
        known = file.computes
        looks = {
            name: found
            for name in names
            if name in known and (found := self._one(name, known[name], at, name in start, insist))
        }

        def keep(file: _File, at: datetime) -> _File:
            now = {
                name: file.computes[name].seen(look, at)
                if isinstance(look, Plan)
                else file.computes[name].model_copy(update={"unseen": look})
                for name, look in looks.items()
                if name in file.computes
            }
            return file.model_copy(update={"computes": {**file.computes, **now}})

        after = self._change(keep) if looks else file
        return {name: after.computes[name] for name in names if name in after.computes}

    def _one(
        self, name: str, kept: Kept, at: datetime, start: bool, insist: bool
    ) -> Plan | str | None:
        """Look at one compute and do what it needs.

        A text says why nothing could be learned of it; None when that is nobody's concern.
        """
        about = {"action": "compute_looked_at", "compute": name}
        try:
            found = plan(kept.definition, self._targets.find(name))
        except SignalboxError as error:
            log.warning("Compute %s could not be looked at: %s", name, error, extra=about)
            # What was found before may well hold, and jobs can go there.
            return None if kept.state.usable else redacted(str(error))
        known = kept.problem or found.problem
        lately = kept.tried_at is not None and at - kept.tried_at < RETRY
        if found.action is not Action.KEEP and known and lately and not insist:
            return replace(found, action=Action.KEEP, problem=known)
        if found.action is Action.START and not start:
            return replace(found, action=Action.KEEP)
        if found.action is Action.KEEP:
            return found
        try:
            if found.action is Action.CREATE:
                self._targets.create(kept.definition)
            else:
                self._targets.start(name)
        except SignalboxError as error:
            refused = in_words(f"Compute {name!r} could not be had: {error}")
            log.warning("%s", refused, extra=about)
            return replace(found, problem=refused)
        log.info("Compute %s: %s was begun", name, found.action, extra=about)
        return replace(found, state=State.CHANGING, problem=None)

    def _read(self) -> tuple[_File, datetime]:
        """What is kept, and the storage time at which it was the truth."""
        known = self._known
        answer = self._blobs.get_if_changed(_NAME, known[0]) if known else self._blobs.get(_NAME)
        if isinstance(answer, Unchanged):
            assert known
            return known[1], answer.at
        if answer is None:
            self._known = None
            return _File(), _NEVER
        file = _parse(answer.data)
        self._known = (answer.etag, file)
        return file, answer.at

    def _change(self, change: Callable[[_File, datetime], _File]) -> _File:
        for _ in range(20):
            blob = self._blobs.get(_NAME)
            if blob is None:
                self._blobs.create(_NAME, _bytes(_File()))
                continue
            before = _parse(blob.data)
            after = change(before, blob.at)
            if after == before or self._blobs.swap(_NAME, _bytes(after), etag=blob.etag):
                return after
        raise StorageUnavailable("computes.json kept changing under this write; try again")


def computes_of(body: JobBody) -> set[str]:
    """The computes that a job names: its default, and those of its steps."""
    named = [body.settings.get("default_compute")]
    named += [v for name, v in body.inputs.items() if name.startswith(_OF_A_STEP)]
    named += [job.get("compute") for job in (body.jobs or {}).values() if isinstance(job, dict)]
    found = {
        each.removeprefix("azureml:").rpartition("/")[2]
        for each in named
        if isinstance(each, str) and "${{" not in each
    }
    return found - {"", SERVERLESS}


def _waiting(name: str, kept: Kept) -> str:
    begun = " and is started for this run" if kept.state is State.STOPPED and not kept.why else ""
    return f"compute {name} {_told(kept)}{begun}"


def _told(kept: Kept) -> str:
    said = {
        State.READY: "is ready",
        State.CHANGING: "is on its way",
        State.STOPPED: "is stopped",
        State.MISSING: "is not there",
        State.FAILED: "has failed",
        State.UNKNOWN: "could not be looked at",
    }[kept.state]
    return f"{said}: {kept.why}" if kept.why else said


def _bytes(file: _File) -> bytes:
    return file.model_dump_json(by_alias=True).encode()


def _parse(data: bytes) -> _File:
    try:
        return _File.model_validate_json(data)
    except ValidationError as error:
        raise RecordUnreadable(
            f"computes.json is not of schema {SCHEMA}: {error.error_count()} errors. Publish with "
            "the version of Signalbox that runs."
        ) from None
