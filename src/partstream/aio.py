"""The public names of the asyncio API; those of the blocking one are in `partstream`."""

from partstream.client.admin import Admin
from partstream.client.consumer import Consumer
from partstream.client.delivery import Delivery
from partstream.client.listener import RebalanceListener
from partstream.client.producer import Producer
from partstream.client.table import Table
from partstream.model import LogLoss

__all__ = ["Admin", "Consumer", "Delivery", "LogLoss", "Producer", "RebalanceListener", "Table"]
