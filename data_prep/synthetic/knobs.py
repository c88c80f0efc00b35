"""How hard and how varied the synthetic world is; as it stands, notes name one reason and traces are of one length."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Knobs:
    """The flags of data_prep.synthesize that change what is written; at their defaults nothing more is drawn."""

    overlook: float = 0.5
    rivals: int = 0
    tail: float = 1.0
    asides: int = 0
    answer_first: float = 0.0
