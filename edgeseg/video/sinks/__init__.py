"""Where results go: a video file, label PNGs, lines of JSON; a window is in `edgeseg.video.window`."""

from edgeseg.video.results import FrameResult
from edgeseg.video.sinks.base import Sink
from edgeseg.video.sinks.json_lines import JsonLinesSink
from edgeseg.video.sinks.labels import LabelSink
from edgeseg.video.sinks.video_file import CODECS, VideoFileSink

__all__ = ["CODECS", "FrameResult", "JsonLinesSink", "LabelSink", "Sink", "VideoFileSink"]
