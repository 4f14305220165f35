"""What publishing changes in the index: what comes, what stays, what is no longer wanted. Pure."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from enum import StrEnum

from shared.compute_definitions import ComputeDefinition
from shared.definitions import TriggerDefinition
from shared.errors import PruneRefused, listed
from shared.index import Former, IndexedTrigger, Snapshot
from shared.published import PublishedPipeline

#: Kinds of definitions.
COMPUTE, PIPELINE, TRIGGER = "compute", "pipeline", "trigger"

#: Kind and name of a definition.
Key = tuple[str, str]


class Did(StrEnum):
    """What publishing does with a definition."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    #: It was published before and is no longer among the definitions; it stays.
    LEFT = "left"
    REMOVED = "removed"


class Prune(StrEnum):
    """What becomes of what was published before and is no longer among the definitions."""

    #: It is told.
    NO = "no"
    #: It is removed, unless that is everything.
    YES = "yes"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Change:
    """One definition and what becomes of it."""

    #: `compute`, `pipeline` or `trigger`.
    kind: str
    name: str
    did: Did
    #: The version or revision that holds afterwards; of what is removed, the last.
    version: str
    #: The one that held before; None when there was none.
    before: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be in the index."""

    pipelines: Sequence[PublishedPipeline]
    triggers: Sequence[TriggerDefinition]
    computes: Sequence[ComputeDefinition] = ()
    _: KW_ONLY
    #: Whose definitions they are; what others published is never missed here.
    owner: str = ""
    prune: Prune = Prune.NO
    #: What nobody may miss either: it is there, and cannot be read now.
    spared: frozenset[Key] = frozenset()

    @property
    def keys(self) -> set[Key]:
        """Of every definition."""
        return {
            *((COMPUTE, each.name) for each in self.computes),
            *((PIPELINE, each.name) for each in self.pipelines),
            *((TRIGGER, each.name) for each in self.triggers),
        }


def changes(snapshot: Snapshot, wanted: Wanted) -> list[Change]:
    """What publishing does to an index.

    Raises PruneRefused when everything would be removed, or a pipeline that is still named.
    """
    made = []
    for compute in wanted.computes:
        before, revision = snapshot.computes.get(compute.name), _revision_of(compute)
        made.append(Change(COMPUTE, compute.name, _did(before, revision), revision, before))
    for pipeline in wanted.pipelines:
        # As it is written: publishing also mends a record that cannot be read.
        known = snapshot.pipelines.get(pipeline.name, {})
        before = known.get("version")
        did = _did(before, pipeline.version)
        if known and known.get("component_id") != pipeline.component_id:
            did = Did.UPDATED  # the same version, in another workspace
        made.append(Change(PIPELINE, pipeline.name, did, pipeline.version, before))
    for trigger in wanted.triggers:
        indexed = snapshot.triggers.get(trigger.name)
        before, revision = indexed.revision if indexed else None, _revision(trigger)
        made.append(Change(TRIGGER, trigger.name, _did(before, revision), revision, before))
    mine = {key for key in _versions(snapshot) if _owner(snapshot, key) == wanted.owner}
    gone = mine - wanted.keys - wanted.spared
    did = Did.LEFT if wanted.prune is Prune.NO else Did.REMOVED
    if wanted.prune is Prune.YES and gone and gone == mine:
        raise _all_of_it(gone, wanted.owner)
    if wanted.prune is not Prune.NO:
        _require_unnamed(snapshot, wanted, gone)
    versions = _versions(snapshot)
    return made + [Change(*key, did, versions[key], versions[key]) for key in sorted(gone)]


def applied(snapshot: Snapshot, at: datetime, wanted: Wanted) -> Snapshot:
    """The index with those changes made. Raises PruneRefused."""
    removed = {(c.kind, c.name) for c in changes(snapshot, wanted) if c.did is Did.REMOVED}
    computes = snapshot.computes | {each.name: _revision_of(each) for each in wanted.computes}
    pipelines, triggers = dict(snapshot.pipelines), dict(snapshot.triggers)
    edition = snapshot.edition
    for pipeline in wanted.pipelines:
        pipelines[pipeline.name] = pipeline.model_dump(mode="json", by_alias=True)
    for trigger in wanted.triggers:
        name, revision = trigger.name, _revision(trigger)
        known = triggers.get(name)
        if known is None:
            edition = snapshot.edition + 1
            triggers[name] = IndexedTrigger(
                definition=trigger,
                revision=revision,
                effective_from=at,
                spec_since=at,
                edition=edition,
            )
        elif known.revision != revision:
            # An edit must not cut off the uploads that are on their way.
            edited = known.model_copy(update={"definition": trigger, "revision": revision})
            if known.definition.spec != trigger.spec:
                edition = snapshot.edition + 1
                edited = edited.model_copy(update=_new_spec(known, trigger, at, edition))
            triggers[name] = edited
    changed = wanted.keys | removed
    owners = {key: owner for key, owner in snapshot.owners.items() if _key(key) not in changed}
    if wanted.owner:
        owners |= {"/".join(key): wanted.owner for key in wanted.keys}
    return snapshot.model_copy(
        update={
            "edition": edition,
            "computes": {n: v for n, v in computes.items() if (COMPUTE, n) not in removed},
            "pipelines": {n: v for n, v in pipelines.items() if (PIPELINE, n) not in removed},
            "triggers": {n: v for n, v in triggers.items() if (TRIGGER, n) not in removed},
            "owners": owners,
        }
    )


def _new_spec(
    known: IndexedTrigger, edited: TriggerDefinition, at: datetime, edition: int
) -> dict[str, object]:
    """What changes with a trigger's spec: since when it is so, and what was due before."""
    before, after = known.definition.spec.schedule, edited.spec.schedule
    # Every six hours stays that, whatever else of the schedule is changed.
    alike = before and after and before.every == after.every
    update: dict[str, object] = {"spec_since": at, "edition": edition}
    update["anchored"] = known.anchor if alike else None
    if known.schedule is None:
        return update
    former = Former(
        definition=known.definition,
        anchor=known.anchor,
        since=known.since,
        until=at,
        edition=known.edition,
    )
    return update | {"former": (*known.former, former)}


def taken_over(snapshot: Snapshot, wanted: Wanted) -> list[tuple[Key, str]]:
    """What others published and these definitions have as well, with its owner."""
    there = _versions(snapshot)
    return [
        (key, owner)
        for key in sorted(wanted.keys)
        if key in there and (owner := _owner(snapshot, key)) != wanted.owner
    ]


def _versions(snapshot: Snapshot) -> dict[Key, str]:
    """Everything that is published."""
    return {
        **{(COMPUTE, name): revision for name, revision in snapshot.computes.items()},
        **{(PIPELINE, name): str(r.get("version")) for name, r in snapshot.pipelines.items()},
        **{(TRIGGER, name): trigger.revision for name, trigger in snapshot.triggers.items()},
    }


def _owner(snapshot: Snapshot, key: Key) -> str:
    return snapshot.owners.get("/".join(key), "")


def _key(text: str) -> Key:
    kind, _, name = text.partition("/")
    return kind, name


def _require_unnamed(snapshot: Snapshot, wanted: Wanted, gone: set[Key]) -> None:
    """No trigger that stays names a pipeline that goes; a version it pins can still be run."""
    triggers = {name: each.definition for name, each in snapshot.triggers.items()}
    triggers |= {each.name: each for each in wanted.triggers}
    named = [
        f"pipeline {reference} is named by trigger {name}"
        for name, trigger in sorted(triggers.items())
        if (TRIGGER, name) not in gone
        for reference in trigger.action.pipelines
        if (PIPELINE, reference) in gone
    ]
    if named:
        raise PruneRefused(
            f"Nothing was removed: {listed(named)}. Remove or change the triggers as well, or "
            "let them name a version (name@version), which stays."
        )


def _all_of_it(gone: set[Key], owner: str) -> PruneRefused:
    names = listed(" ".join(key) for key in sorted(gone))
    by = f" by {owner}" if owner else ""
    return PruneRefused(
        f"Nothing was removed: --prune would remove all {len(gone)} that are published here{by}: "
        f"{names}. Is it the right folder, and the right app? If so, write --prune-all in place "
        "of --prune."
    )


def _revision_of(compute: ComputeDefinition) -> str:
    content = json.dumps(compute.content, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _revision(trigger: TriggerDefinition) -> str:
    return hashlib.sha256(
        trigger.model_dump_json(by_alias=True, exclude_defaults=True).encode()
    ).hexdigest()[:16]


def _did(before: str | None, after: str) -> Did:
    if before is None:
        return Did.CREATED
    return Did.UNCHANGED if before == after else Did.UPDATED
