"""What must hold of uploads when a history has come to rest that was swept."""

from shared.ledger import Record
from tests.simulation import batch_invariants, invariants
from tests.simulation.sweeping import Sweeping, Uploaded


def violations(simulation: Sweeping) -> list[str]:
    """Every promise that this history broke."""
    records = invariants.records_of(simulation)
    found = batch_invariants.violations(simulation)
    for path, source in simulation.current().items():
        found += _there(path, source, simulation, records)
    told = {one.run for one in simulation.watch.state.overwritten}
    found += [f"{run} is reported, and recorded" for run in told & {r.run_id for r in records}]
    if simulation.watch.state.course is not None:
        found.append("a sweep is still under way")
    return found


def _there(path: str, source: Uploaded, simulation: Sweeping, records: list[Record]) -> list[str]:
    """What lies there is recorded once, or reported, as it was there before."""
    if not simulation.watch.fits(path):
        return []
    of_path = [record for record in records if record.event.subject == source.event.subject]
    mine = [record for record in of_path if record.event.etag == source.event.etag]
    reported = [one for one in simulation.watch.state.overwritten if one.etag == source.upload.etag]
    if len(mine) + len(reported) != 1:
        return [f"{path} {source.upload.etag} has {len(mine)} records, reported: {reported}"]
    if reported and not of_path:
        return [f"{path} is said to be overwritten, and nothing of it is recorded"]
    return []
