"""A producer of your own: measurements of a river, two a second, until Ctrl-C.

    pip install confluent-kafka
    python3 docs/tour/producer.py [localhost:9092]
"""

import json
import random
import sys
import time

from confluent_kafka import Producer

server = sys.argv[1] if len(sys.argv) > 1 else "localhost:9092"
producer = Producer({"bootstrap.servers": server})


def told(error, message):
    """Called for each message once the broker has it on its disk, or never will."""
    if error is not None:
        print(f"not written: {error}")
    else:
        print(f"written: partition {message.partition()}, offset {message.offset()}")


level = 2.0
try:
    while True:
        level = max(0.5, level + random.uniform(-0.1, 0.1))
        value = {"station": "bridge", "level": round(level, 2)}
        producer.produce("river", key="bridge", value=json.dumps(value), on_delivery=told)
        # Waits, and tells meanwhile what became of earlier messages.
        until = time.monotonic() + 0.5
        while (left := until - time.monotonic()) > 0:
            producer.poll(left)
except KeyboardInterrupt:
    pass
finally:
    producer.flush(10)
