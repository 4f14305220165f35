"""Service Bus: queues and topics of one namespace over AMQP 1.0 on loopback."""
