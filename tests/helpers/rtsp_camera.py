"""A camera for tests: serves an H.264 MP4 over RTSP with GStreamer, in a process of the system's own Python.

/usr/bin/python3 rtsp_camera.py VIDEO.mp4      prints the address, then serves until it is killed
apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[2] if len(sys.argv) > 2 else "0", address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f'( filesrc location="{sys.argv[1]}" ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=-1 )')
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/camera", flush=True)
GLib.MainLoop().run()
