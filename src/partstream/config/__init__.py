"""Configs of clients and topics: Kafka's names, defaults and bounds, held by pydantic models."""

from partstream.config.admin import AdminConfig
from partstream.config.build import load
from partstream.config.consumer import ConsumerConfig
from partstream.config.producer import ProducerConfig
from partstream.config.topic import TopicConfig

__all__ = ["AdminConfig", "ConsumerConfig", "ProducerConfig", "TopicConfig", "load"]
