"""No password in anything that is printed: `redact` on the addresses that people really type."""

from __future__ import annotations

import pytest

from edgeseg.video.sources.redact import redact

HIDDEN = {
    "rtsp://admin:s3cret@10.0.0.7:554/stream1": "rtsp://***@10.0.0.7:554/stream1",
    "RTSP://admin:s3cret@camera": "RTSP://***@camera",
    "rtsp://s3cret@camera/x": "rtsp://***@camera/x",
    "rtsp://admin:p@s3cret/w?x@camera/x?tcp": "rtsp://***@camera/x?tcp",
    "rtsp://admin:my s3cret'@camera/x": "rtsp://***@camera/x",
    "rtsp://admin:s3cret%40@camera/x": "rtsp://***@camera/x",
    "rtsp://admin%3As3cret%40camera/x": "rtsp://***@/x",
    "rtsp:/admin:s3cret@camera/x": "rtsp:/***@camera/x",
    "admin:s3cret@camera/x": "***@camera/x",
    "http://camera/video.cgi?user=s3cret&pwd=s3cret&resolution=640x480": (
        "http://camera/video.cgi?user=***&pwd=***&resolution=640x480"
    ),
    "https://camera/live?access_token=s3cret": "https://camera/live?access_token=***",
    "https://camera/live?api-key=s3cret#x": "https://camera/live?api-key=***#x",
    "http://camera/live?p%61ssword=s3cret": "http://camera/live?p%61ssword=***",
    "http://camera/live#token=s3cret": "http://camera/live#token=***",
    "http://camera/live;jsessionid=s3cret": "http://camera/live;jsessionid=***",
    "http://proxy/?from=rtsp%3A%2F%2Fadmin%3As3cret%40camera&x=1": "http://proxy/?from=***&x=1",
    "rtsp://camera/user=admin_password=s3cret_channel=1.sdp": "rtsp://camera/user=***",
    'gst://rtspsrc location=rtsp://admin:s3cret@camera/x user-id=s3cret user-pw="s3 cret" ! appsink': (
        "gst://rtspsrc location=rtsp://***@camera/x user-id=*** user-pw=*** ! appsink"
    ),
    "gst://rtspsrc location='rtsp://admin:s3cret !@camera/x' ! appsink": (
        "gst://rtspsrc location='rtsp://***@camera/x' ! appsink"
    ),
}

HARMLESS = (
    "0",
    "/dev/video0",
    "csi://0?size=720x1280&fps=30",
    "synthetic://drive?seed=7&scene=rain",
    "rtsp://[fe80::1]:554/stream?udp",
    "http://camera:8080/video.mjpg?resolution=640x480",
    "/data/me@home/clip.mp4",
    "gst://v4l2src device=/dev/video0 ! video/x-raw,width=640 ! videoconvert ! appsink drop=true",
    "",
)


@pytest.mark.parametrize("uri", HIDDEN)
def test_secrets_are_hidden(uri: str) -> None:
    assert redact(uri) == HIDDEN[uri]
    assert "s3" not in redact(uri)


@pytest.mark.parametrize("uri", HARMLESS)
def test_anything_else_is_left_alone(uri: str) -> None:
    assert redact(uri) == uri


@pytest.mark.parametrize("uri", [*HIDDEN, *HARMLESS])
def test_hiding_twice_changes_nothing(uri: str) -> None:
    assert redact(redact(uri)) == redact(uri)
