"""Short clips of many codecs, containers and oddities, drawn and encoded here."""
import fractions

import av
import numpy as np


def frame(i, width, height):
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([(x * 3 + i * 7) % 256, (y * 2 + i * 5) % 256, ((x + y) // 3 + i * 11) % 256], -1).astype(np.uint8)
    top, left = (i * 5) % height, (i * 9) % width
    a[top:top + 12, left:left + 20] = [255, 0, i * 3 % 256]
    return a


def encode(path, codec, pixels, size=(96, 64), rate=25, frames=40, options=None, container=None, times=None, tags=None):
    """times: milliseconds of the frames, else evenly at `rate`. tags: colour fields of the codec context."""
    with av.open(path, "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.options = options or {}
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for i in range(frames):
            picture = av.VideoFrame.from_ndarray(frame(i, *size), format="rgb24")
            if times:
                picture.pts, picture.time_base = times(i), fractions.Fraction(1, 1000)
            for packet in stream.encode(picture):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)


BT709 = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
B_FRAMES = {"bf": "3", "g": "12"}
# name: arguments of encode. The name's ending chooses the container.
CLIPS = {
    "b-frames.mp4": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "b-frames.avi": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "fragments.mp4": ("libx264", "yuv420p", {"options": B_FRAMES, "container": {"movflags": "frag_keyframe+empty_moov"}}),
    "open-gop.mkv": ("libx264", "yuv420p", {"options": {**B_FRAMES, "x264-params": "open-gop=1"}}),
    "refresh.mkv": ("libx264", "yuv420p", {"options": {"x264-params": "intra-refresh=1:keyint=20"}}),
    "interlaced.mp4": ("libx264", "yuv420p", {"options": {"x264-params": "interlaced=1:keyint=10"}}),
    "uneven.mp4": ("libx264", "yuv420p", {"options": B_FRAMES, "rate": 1000, "times": lambda i: i * i * 10}),
    "bt709.mp4": ("libx264", "yuv420p", {"tags": BT709}),
    "full-range.mp4": ("libx264", "yuv420p", {"tags": {"color_range": 2}}),
    "odd-444.mkv": ("libx264", "yuv444p", {"size": (97, 63)}),
    "odd-420.webm": ("libvpx-vp9", "yuv420p", {"size": (97, 63)}),
    "hidden.webm": ("libvpx", "yuv420p", {"options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "100k"}}),
    "hevc.mp4": ("libx265", "yuv420p", {"options": {"x265-params": "keyint=15:log-level=none"}}),
    "hevc-10.mkv": ("libx265", "yuv420p10le", {"options": {"x265-params": "keyint=15:log-level=none"}}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"options": {"bf": "2"}}),
    "mpeg2.mkv": ("mpeg2video", "yuv420p", {"options": {"bf": "2", "g": "12"}}),
    "mjpeg.mov": ("mjpeg", "yuvj422p", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {"frames": 9}),
    "png.mov": ("png", "rgb24", {"frames": 9, "size": (60, 40)}),
    "ffv1.avi": ("ffv1", "yuv420p", {"frames": 20}),
    "raw.avi": ("rawvideo", "bgr24", {"frames": 9}),
}


def make(folder, name):
    codec, pixels, more = CLIPS[name]
    path = str(folder / name)
    encode(path, codec, pixels, **more)
    return path


def turned(path, degrees):
    """The same MP4 with a display matrix that turns it clockwise: written over the track's unit matrix."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    one, at = 1 << 16, data.find(b"tkhd")
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    values = [a, b, 0, -b, a, 0]
    at += 4 + 4 + 4 * 5 + 8 + 4 * 2
    assert int.from_bytes(data[at:at + 4], "big") == one, "a version 0 track header"
    for i, v in enumerate(values):
        data[at + 4 * i:at + 4 * i + 4] = v.to_bytes(4, "big", signed=True)
    out = f"{path}.{degrees}.mp4"
    with open(out, "wb") as f:
        f.write(data)
    return out
