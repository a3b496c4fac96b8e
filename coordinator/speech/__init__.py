"""Whether somebody speaks."""

from coordinator.speech.meter import SpeechMeter

__all__ = ["SpeechMeter"]
