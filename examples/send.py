"""Send one message as any producer would: `python -m examples.send SUBJECT JSON [MESSAGE-ID]`.

To the queue that the app listens to. In a shell that knows the local Azure; `make run` says how.
"""

import json
import os
import sys
import uuid

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusClient, ServiceBusMessage


def send(subject: str, body: object, message_id: str) -> str:
    """Put a message with a JSON body into the queue; the queue's name."""
    queue = os.environ["SIGNALBOX_EVENTS_QUEUE"]
    message = ServiceBusMessage(
        json.dumps(body), subject=subject, message_id=message_id, content_type="application/json"
    )
    connection = os.environ["ServiceBusConnection"]  # noqa: SIM112 - Azure's own spelling
    with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(queue) as sender,
    ):
        sender.send_messages(message)
    return queue


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    _, subject, body, *given = sys.argv
    message_id = given[0] if given else str(uuid.uuid4())
    try:
        queue = send(subject, json.loads(body), message_id)
    except KeyError as error:
        print(f"{error} is not set: use the shell that `make run` describes", file=sys.stderr)
        return 2
    except json.JSONDecodeError as error:
        print(f"The body is not JSON: {error}", file=sys.stderr)
        return 1
    # A ValueError is a connection string that is none.
    except (AzureError, ValueError) as error:
        print(f"The message was not sent: {error}", file=sys.stderr)
        return 1
    print(f"message {message_id} is in the queue {queue}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
