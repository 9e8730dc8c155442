"""Clients under load while servers and clients die, judged afterwards by what they saw.

After the Kafka workload of Jepsen. One seed gives a plan (`plan`): a topology, clients, faults. A
run (`run`) carries it out: workers (`worker`) are processes of their own that write down every
operation; the conductor makes the faults happen and reads the logs at the end. The judge (`judge`)
goes through the history without any I/O, and names what must not have happened.
"""
