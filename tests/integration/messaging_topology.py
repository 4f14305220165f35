"""The local Azure that the messaging app needs."""

from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from emulator.topology import EventSubscription, QueueDestination, Topology

MESSAGING_TOPOLOGY = Topology(
    event_subscriptions=(
        *Topology().event_subscriptions,
        EventSubscription(
            account="contosolake",
            destination=QueueDestination(queue="work"),
            subject_begins_with="/blobServices/default/containers/landing/blobs/to-queue/",
        ),
    ),
    service_bus=Namespace(
        queues=(
            Queue(name="work", lock_seconds=4, max_delivery_count=3),
            Queue(name="bytes"),
            Queue(name="batches", lock_seconds=30),
            Queue(name="off"),
        ),
        topics=(Topic(name="company-news", subscriptions=(Subscription(name="signalbox"),)),),
    ),
)
