"""Definitions that somebody put into the definitions container by hand, published by the tick.

One YAML file is one definition: `pipelines/<name>.yml` or `triggers/<name>.yml`. What is wrong
with one keeps no other from being published, and is kept beside the state for whoever asks. A
file that is deleted takes its definition off. What a folder published is not touched.
"""

import logging
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import changes, definitions, documents, local_files
from shared.blob_state import BlobState, Listed
from shared.changes import PIPELINE, TRIGGER, Did, Key, Prune
from shared.definitions import Definitions
from shared.errors import (
    DefinitionsInvalid,
    Permanent,
    Problem,
    PruneRefused,
    RecordUnreadable,
    SignalboxError,
    Transient,
    places,
)
from shared.index import Index, Snapshot
from shared.inputs import redacted
from shared.progress import Progress
from shared.publishing import Publishing

log = logging.getLogger(__name__)

_NAME = "drops.json"
SCHEMA = 1

#: Seconds after which a look begins with no other file; the next look goes on.
BUDGET = 6.0
#: Files that are looked at, in the order of their names.
MAX_FILES = 200
#: Bytes of one file.
MAX_BYTES = 128 * 1024
#: How often a file may end the process that reads it before it is left alone.
MAX_TRIES = 3

#: Of what is published from here. No folder can have this owner: it has spaces.
OWNER = "the definitions container"

_KINDS = {"pipelines": PIPELINE, "triggers": TRIGGER}
#: What relative paths in a file would be relative to; there is no such folder.
_ROOT = Path("/no-such-folder-of-signalbox")
_TOLD = 20


class Dropped(BaseModel):
    """One file, and what became of it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    etag: str
    #: What is wrong with it, each with its place; empty when it is published.
    problems: tuple[str, ...] = ()
    #: It may go well the next time although nothing has changed.
    again: bool = False
    #: How often it was begun with, while nobody knows how that ended.
    tries: int = 0


class Kept(BaseModel):
    """Every file as it was last looked at."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    files: dict[str, Dropped] = Field(default_factory=dict)
    #: ETag of the index then: what is wrong may be mended by what others publish.
    index: str = ""
    #: Why something whose file was deleted is published still.
    stays: str | None = None


class Drops:
    """Publishes what is in the definitions container, if there is one."""

    def __init__(
        self,
        blobs: BlobState,
        container: BlobState | None,
        publishing: Publishing,
        index: Index,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._blobs = blobs
        self._container = container
        self._publishing = publishing
        self._index = index
        self._monotonic = monotonic

    def look(self) -> None:
        """Publish what has changed since the last look. Raises nothing."""
        if self._container is None:
            return
        about = {"action": "tick_item_failed"}
        try:
            self._look(self._container)
        except SignalboxError as error:
            log.warning("The definitions container was not looked at: %s", error, extra=about)
        except Exception:
            log.exception("The definitions container was not looked at", extra=about)

    def wrong(self) -> dict[Key, list[str]]:
        """What is wrong with the files of pipelines and triggers, each with its place.

        Raises StorageUnavailable, RecordUnreadable.
        """
        found: dict[Key, list[str]] = {}
        if self._container is not None:
            for file, dropped in sorted(_Files(self._blobs).kept.files.items()):
                if (key := _key(file)) and dropped.problems:
                    found.setdefault(key, []).extend(dropped.problems)
        return found

    def problems(self, kind: str, name: str) -> list[str]:
        """What is wrong with the file of one `pipeline` or `trigger`. Raises as `wrong` does."""
        return self.wrong().get((kind, name), [])

    def _look(self, container: BlobState) -> None:
        files = _Files(self._blobs)
        there = _listed(container)
        published = self._index.read()
        index, before = published.etag, files.kept
        due = [
            item
            for name, item in sorted(there.items())[:MAX_FILES]
            if _is_due(before.files.get(name), item, others_published=before.index != index)
            or _is_missing(name, before.files.get(name), published.snapshot)
        ]
        gone = before.files.keys() - there.keys()
        if not (due or gone or (before.stays and before.index != index)):
            return
        ends = self._monotonic() + BUDGET
        while due and self._monotonic() <= ends:
            if not self._one(container, due.pop(0), files, there):
                return  # Somebody else looks as well.
        if due:
            log.warning("%d files of the definitions container wait", len(due))
        waiting = {item.name for item in due}
        stays = self._remove(there)
        files.put(
            files={
                name: each.model_copy(update={"again": True}) if name in waiting else each
                for name, each in files.kept.files.items()
                if name in there
            },
            # As it was in the beginning: what came meanwhile may mend something as well.
            index=index,
            stays=stays,
        )

    def _one(
        self, container: BlobState, item: Listed, files: "_Files", there: dict[str, Listed]
    ) -> bool:
        """Publish one file, or keep why not; False when somebody else is at it."""
        known = files.kept.files.get(item.name)
        tries = known.tries + 1 if known and known.etag == item.etag else 1
        # Before it is even read: what ends the process leaves this behind.
        if not files.set(item.name, Dropped(etag=item.etag, tries=tries)):
            return False
        about = {"action": "definition_refused", "file": item.name}
        problems: list[str] = []
        again = False
        try:
            if tries > MAX_TRIES:
                raise _refused(item.name, f"ended the app {MAX_TRIES} times; it is left alone")
            self._publish(_document(container, item, there))
        except DefinitionsInvalid as error:
            problems = [str(each) for each in error.problems]
        except SignalboxError as error:
            problems, again = [f"{item.name}: {error}"], isinstance(error, Transient)
        except Exception as error:
            log.exception("%s could not be published", item.name, extra=about)
            problems = [f"{item.name}: could not be published: {type(error).__name__}"]
        told = tuple(redacted(problem)[:500] for problem in problems[:_TOLD])
        if told and not (known and known.problems == told):
            log.warning("Not published: %s", "; ".join(told), extra=about)
        return files.set(item.name, Dropped(etag=item.etag, problems=told, again=again))

    def _publish(self, found: Definitions) -> None:
        plan = self._publishing.plan(found, owner=OWNER)
        taken = changes.taken_over(self._index.read().snapshot, plan.wanted)
        if taken:
            [(key, _)] = taken
            raise Permanent(
                f"{' '.join(key)} was published by `signalbox publish`, which goes before: delete "
                "this file, or remove the definition from that folder and publish it with --prune"
            )
        if plan.differs:
            self._publishing.apply(plan, Progress(log.info))

    def _remove(self, there: dict[str, Listed]) -> str | None:
        """Take off what has no file any more; why that cannot be, if so."""
        spared = {key for name in there if (key := _key(name))}
        nothing = Definitions(pipelines=(), triggers=())
        try:
            plan = self._publishing.plan(
                nothing, owner=OWNER, prune=Prune.EVERYTHING, spared=spared
            )
            if plan.differs:
                self._publishing.apply(plan, Progress(log.info))
                for change in plan.changes:
                    if change.did is Did.REMOVED:
                        log.info("%s %s was taken off: its file is gone", change.kind, change.name)
        except PruneRefused as error:
            log.warning("What was deleted stays: %s", error)
            return str(error)
        return None


class _Files:
    """`drops.json`, changed only by who read it last."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs
        blob = blobs.get(_NAME)
        self._etag = blob.etag if blob else None
        self.kept = _parse(blob.data) if blob else Kept()

    def set(self, name: str, dropped: Dropped) -> bool:
        """Keep what became of one file; False when somebody else wrote meanwhile."""
        return self.put(files={**self.kept.files, name: dropped})

    def put(self, **changed: object) -> bool:
        after = self.kept.model_copy(update=changed)
        if after == self.kept:
            return True
        data = after.model_dump_json(by_alias=True).encode()
        written = (
            self._blobs.swap(_NAME, data, etag=self._etag)
            if self._etag
            else self._blobs.create(_NAME, data)
        )
        if written:
            self.kept, self._etag = after, written.etag
        return written is not None


def _is_due(known: Dropped | None, item: Listed, *, others_published: bool) -> bool:
    if known is None or known.etag != item.etag or known.again or known.tries:
        return True
    return bool(known.problems) and others_published


def _is_missing(name: str, known: Dropped | None, snapshot: Snapshot) -> bool:
    """Whether a file that was published is so no more: somebody took its definition off."""
    if known is None or known.problems or (key := _key(name)) is None:
        return False
    return key[1] not in (snapshot.triggers if key[0] == TRIGGER else snapshot.pipelines)


def _listed(container: BlobState) -> dict[str, Listed]:
    """The YAML files there are, by name."""
    found = [each for each in container.list("") if _path(each.name).suffix in (".yml", ".yaml")]
    if len(found) > MAX_FILES:
        log.warning("The definitions container has %d files; %d count", len(found), MAX_FILES)
    return {each.name: each for each in found}


def _document(container: BlobState, item: Listed, there: dict[str, Listed]) -> Definitions:
    """What a file defines. Raises DefinitionsInvalid."""
    key, path = _key(item.name), _path(item.name)
    if key is None:
        raise _refused(
            item.name,
            "belongs into pipelines/ or triggers/; computes and AzureML's schedules are published "
            "from a folder",
        )
    if path.suffix == ".yaml" and f"{path.with_suffix('.yml')}" in there:
        raise _refused(item.name, f"defines the same as {path.with_suffix('.yml')}; delete one")
    if item.size > MAX_BYTES:
        raise _refused(item.name, f"is larger than {MAX_BYTES} bytes; keep data out of it")
    blob = container.get(item.name)
    if blob is None:
        raise _refused(item.name, "was deleted while it was looked at")
    # `rewritten`: or the AzureML SDK would look for the file on the disk.
    document = documents.parse(
        blob.data, file=item.name, path=_ROOT / path, root=_ROOT, rewritten=True
    )
    kind = key[0]
    if kind == TRIGGER:
        return definitions.of(triggers=[document])
    if named := list(local_files.named_in(document)):
        raise DefinitionsInvalid(named)
    return definitions.of(pipelines=[document])


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name)


def _key(name: str) -> Key | None:
    """Kind and name of what a file defines, by where it is."""
    folder, _, file = name.partition("/")
    return (_KINDS[folder], _path(file).stem) if folder in _KINDS and "/" not in file else None


def _refused(file: str, why: str) -> DefinitionsInvalid:
    return DefinitionsInvalid([Problem(file=file, line=0, message=why)])


def _parse(data: bytes) -> Kept:
    try:
        return Kept.model_validate_json(data)
    except ValidationError as error:
        raise RecordUnreadable(
            f"drops.json is not of schema {SCHEMA}: {places(error)}. Delete it to have every file "
            "of the definitions container looked at anew."
        ) from None
