"""The stream: the ledger on its way to those who follow it, read directly or through Kafka."""
