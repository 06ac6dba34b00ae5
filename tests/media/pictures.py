"""Pictures of every mode and format, drawn from a seed, as (name, bytes)."""
import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZES = [(1, 1), (3, 2), (17, 31), (64, 48), (129, 77)]


def noise(width, height, channels, random):
    """Smooth areas, edges and noise; alpha with runs of 0 and 255."""
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([(x * (c + 3) + y * (5 - c)) % 256 for c in range(channels)], -1)
    spots = random.integers(0, 256, (height, width, channels))
    return np.where((x // 8 + y // 8)[..., None] % 3 == 0, spots, a).astype(np.uint8)


def picture(mode, size, random):
    w, h = size
    if mode == "I;16":
        return Image.fromarray((noise(w, h, 1, random)[..., 0].astype(np.uint16) * 3).astype(np.uint16))
    if mode in ("1", "P"):
        rgb = Image.fromarray(noise(w, h, 3, random))
        return rgb.convert("1") if mode == "1" else rgb.quantize(int(random.integers(2, 257)))
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    a = noise(w, h, channels, random)
    return Image.frombytes(mode, size, a.tobytes())


def save(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpegs(random):
    for size in SIZES:
        for mode in ("L", "RGB", "CMYK"):
            im = picture(mode, size, random)
            for progressive in (False, True):
                yield f"jpeg-{mode}-{size}-{progressive}", save(im, "JPEG", quality=int(random.integers(20, 101)), progressive=progressive)
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            yield f"jpeg-{subsampling}-{size}", save(picture("RGB", size, random), "JPEG", subsampling=subsampling, restart_marker_rows=1)
        yield f"jpeg-rgb-{size}", save(picture("RGB", size, random), "JPEG", keep_rgb=True)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, colour, interlaced, palette=None, transparency=None):
    """A PNG by hand, as Pillow writes neither interlaced ones nor all depths. samples [height][width][channels]."""
    height, width, channels = samples.shape

    def rows(a):
        for row in a:
            bits = "".join(f"{int(v):0{depth}b}" for v in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            yield b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = b"".join(r for p in parts if p.size for r in rows(p))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def pngs(random):
    for colour, channels, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16))):
        for depth in depths:
            for interlaced in (0, 1):
                for size in SIZES[:4]:
                    a = random.integers(0, 2**depth, (size[1], size[0], channels))
                    if colour == 0 and depth == 16:
                        a //= random.integers(1, 400)
                    palette = random.integers(0, 256, (2**depth, 3)) if colour == 3 else None
                    yield f"png-{colour}-{depth}-{interlaced}-{size}", png(a, depth, colour, interlaced, palette)
    a = random.integers(0, 256, (9, 9, 3))
    yield "png-trns-rgb", png(a, 8, 2, 0, transparency=struct.pack(">HHH", *map(int, a[3, 3])))
    yield "png-trns-gray", png(a[..., :1], 8, 0, 0, transparency=struct.pack(">H", int(a[3, 3, 0])))
    yield "png-trns-palette", png(a[..., :1], 8, 3, 1, palette=random.integers(0, 256, (256, 3)), transparency=bytes(range(256)))
    yield "png-short-palette", png(a[..., :1] % 4, 8, 3, 0, palette=random.integers(0, 256, (4, 3)))
    plain = png(a, 8, 2, 0)
    yield "png-long-text", plain[:33] + chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000) + chunk(b"caBX", bytes(2_000_000)) + plain[33:]
    frames = [picture("RGBA", (20, 30), random) for _ in range(3)]
    yield "png-animated", save(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "png-animated-default", save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)


def webps(random):
    for size in SIZES:
        for mode in ("RGB", "RGBA"):
            im = picture(mode, size, random)
            yield f"webp-lossy-{mode}-{size}", save(im, "WEBP", quality=int(random.integers(5, 101)))
            yield f"webp-lossless-{mode}-{size}", save(im, "WEBP", lossless=True, exact=bool(random.integers(0, 2)))
    for mode in ("RGB", "RGBA"):
        frames = [picture(mode, (33, 21), random) for _ in range(4)]
        yield f"webp-animated-{mode}", save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=[80, 40, 120, 60])


def gif(width, height, canvas, left, top, indices, palette, local, transparent=None, interlaced=False, bits=8):
    """A GIF by hand with codes of one length only (a clear code whenever they would grow)."""
    rows = list(range(height))
    if interlaced:
        rows = rows[0::8] + rows[4::8] + rows[2::4] + rows[1::2]
    clear, size = 1 << bits, bits + 1
    codes = []
    for i, v in enumerate(indices[rows].reshape(-1)):
        if i % max(1, clear // 2 - 2) == 0:
            codes.append(clear)
        codes.append(int(v))
    codes.append(clear + 1)
    n = sum(c << (size * i) for i, c in enumerate(codes))
    data = n.to_bytes((size * len(codes) + 7) // 8, "little")
    table = palette.astype(np.uint8).tobytes()
    flag = 128 | (len(palette).bit_length() - 2)
    out = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0 if local else flag, 3, 0) + (b"" if local else table)
    if transparent is not None:
        out += b"!\xf9\x04" + struct.pack("<BHB", 1, 10, transparent) + b"\0"
    out += b"," + struct.pack("<HHHHB", left, top, width, height, (flag if local else 0) | (64 if interlaced else 0)) + (table if local else b"")
    out += bytes([bits]) + b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"
    return out + b";"


def gifs(random):
    for size in SIZES:
        for mode in ("P", "L", "1"):
            im = picture(mode, size, random)
            for interlace in (0, 1):
                yield f"gif-{mode}-{size}-{interlace}", save(im, "GIF", interlace=interlace)
        yield f"gif-transparent-{size}", save(picture("P", size, random), "GIF", transparency=1)
    frames = [picture("P", (40, 30), random) for _ in range(3)]
    yield "gif-animated", save(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    for k in range(12):
        bits = int(random.integers(2, 9))
        w, h = (int(v) for v in random.integers(1, 40, 2))
        left, top = (int(v) for v in random.integers(0, 9, 2))
        canvas = (w + left + int(random.integers(-3, 5)), h + top + int(random.integers(-3, 5)))
        palette = random.integers(0, 256, (2**bits, 3))
        indices = random.integers(0, 2**bits, (h, w))
        yield f"gif-offset-{k}", gif(w, h, tuple(max(1, v) for v in canvas), left, top, indices, palette, k % 2 == 0,
                                     transparent=int(random.integers(0, 2**bits)) if k % 3 else None, interlaced=k % 4 == 3, bits=bits)


def bmp(width, height, bits, rows, masks=None, palette=None, top_down=False, compression=0, header=40, data=None):
    """A BMP by hand. rows [height][bytes of a row without padding], topmost first."""
    if data is None:
        padded = [bytes(r) + b"\0" * (-len(r) % 4) for r in rows]
        data = b"".join(padded if top_down else padded[::-1])
    table = b"" if palette is None else np.concatenate([palette[:, ::-1], np.zeros((len(palette), 1))], 1).astype(np.uint8).tobytes()
    extra = b"" if masks is None else struct.pack("<IIII", *masks)
    if header == 40:
        extra = extra[:12]
    info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(data), 0, 0,
                       0 if palette is None else len(palette), 0)
    head = info + (extra if header > 40 else b"")
    head += b"\0" * (header - len(head))
    head += b"" if header > 40 else extra
    start = 14 + len(head) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + table + data


def bmps(random):
    for size in SIZES:
        for mode in ("1", "L", "P", "RGB", "RGBA"):
            yield f"bmp-{mode}-{size}", save(picture(mode, size, random), "BMP")
        w, h = size
        for bits in (1, 4, 8):
            rows = random.integers(0, 256, (h, (w * bits + 7) // 8), np.uint8)
            yield f"bmp-{bits}-{size}", bmp(w, h, bits, rows, palette=random.integers(0, 256, (2**bits, 3)), top_down=bits == 4)
        for name, bits, masks, header in (
                ("555", 16, None, 40), ("565", 16, (0xF800, 0x7E0, 0x1F, 0), 40), ("565v4", 16, (0xF800, 0x7E0, 0x1F, 0), 108),
                ("bgrx", 32, (0xFF0000, 0xFF00, 0xFF, 0), 56), ("bgra", 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), 124),
                ("rgba", 32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), 108), ("abgr", 32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF), 56),
                ("plain32", 32, None, 40)):
            rows = random.integers(0, 256, (h, w * bits // 8), np.uint8)
            yield f"bmp-{name}-{size}", bmp(w, h, bits, rows, masks=masks, compression=3 if masks else 0, header=header)
    yield from run_length_bmps(random)


def run_length_bmps(random):
    palette = random.integers(0, 256, (256, 3))
    for k in range(8):
        w, h, bits = int(random.integers(3, 30)), int(random.integers(2, 12)), 8 if k % 2 else 4
        data = b""
        for _ in range(h):
            x = 0
            while x < w:
                n = int(min(w - x, random.integers(1, 9)))
                if n >= 3 and random.integers(0, 2):
                    literal = random.integers(0, 256, n if bits == 8 else (n + 1) // 2, np.uint8).tobytes()
                    data += bytes([0, n]) + literal + b"\0" * (len(literal) % 2)
                else:
                    data += bytes([n, int(random.integers(0, 256))])
                x += n
            data += b"\0\0"
        yield f"bmp-rle{bits}-{k}", bmp(w, h, bits, None, palette=palette[:2**bits], compression=1 if bits == 8 else 2, data=data + b"\0\1")


def tiffs(random):
    for size in SIZES:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
                yield f"tiff-{mode}-{size}-{compression}", save(picture(mode, size, random), "TIFF", compression=compression)
        yield f"tiff-jpeg-{size}", save(picture("RGB", size, random), "TIFF", compression="jpeg", quality=80)
        yield f"tiff-group4-{size}", save(picture("1", size, random), "TIFF", compression="group4")
        for orientation in range(1, 9):
            yield f"tiff-turned-{orientation}-{size}", save(picture("RGB", size, random), "TIFF", tiffinfo={274: orientation}, compression="tiff_lzw")
        f = Image.fromarray((random.random((size[1], size[0])) * 400 - 50).astype(np.float32))
        yield f"tiff-float-{size}", save(f, "TIFF")
        i = Image.fromarray((random.random((size[1], size[0])) * 400 - 50).astype(np.int32))
        yield f"tiff-int32-{size}", save(i, "TIFF", compression="tiff_lzw")
    yield from bare_tiffs(random)


def tiff(width, height, entries, blocks, tiled, big):
    """A TIFF by hand: entries {tag: (type, values)}, data blocks."""
    e = ">" if big else "<"
    out = bytearray((b"MM\0*" if big else b"II*\0") + struct.pack(e + "I", 8))
    entries = {256: (4, [width]), 257: (4, [height]), **entries}
    entries[324 if tiled else 273] = (4, [0] * len(blocks))
    entries[325 if tiled else 279] = (4, [len(b) for b in blocks])
    at = 8 + 2 + 12 * len(entries) + 4
    spilled = {}
    for tag, (kind, values) in sorted(entries.items()):
        size = {3: 2, 4: 4}[kind] * len(values)
        if size > 4:
            spilled[tag] = at
            at += size
    starts = []
    for b in blocks:
        starts.append(at)
        at += len(b)
    entries[324 if tiled else 273] = (4, starts)
    out += struct.pack(e + "H", len(entries))
    tail = b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(e + {3: "H", 4: "I"}[kind] * len(values), *values)
        out += struct.pack(e + "HHI", tag, kind, len(values))
        out += struct.pack(e + "I", spilled[tag]) if tag in spilled else packed.ljust(4, b"\0")
        tail += packed if tag in spilled else b""
    return bytes(out + b"\0\0\0\0" + tail + b"".join(blocks))


def bare_tiffs(random):
    """Tiles, separate planes, 16 bits, alpha of each kind, both byte orders, low depths, minimum-is-white."""
    w, h = 37, 29
    for k, (photo, samples, depth, extra) in enumerate((
            (2, 3, 8, None), (2, 4, 8, 0), (2, 4, 8, 1), (2, 4, 8, 2), (2, 4, 8, None), (2, 3, 16, None), (2, 4, 16, 1), (2, 4, 16, 2),
            (1, 1, 8, None), (0, 1, 8, None), (1, 1, 16, None), (5, 4, 8, None), (5, 4, 16, None), (1, 2, 8, 2))):
        for big in (False, True):
            e = ">" if big else "<"
            a = random.integers(0, 2**depth, (h, w, samples)).astype(e + f"u{depth // 8}")
            base = {258: (3, [depth] * samples), 259: (3, [1]), 262: (3, [photo]), 277: (3, [samples])}
            if extra is not None:
                base[338] = (3, [extra])
            name = f"tiff-bare-{photo}-{samples}-{depth}-{extra}-{big}"
            strips = [a[y:y + 8].tobytes() for y in range(0, h, 8)]
            yield name, tiff(w, h, {**base, 278: (4, [8])}, strips, False, big)
            padded = np.zeros((32, 48, samples), a.dtype)
            padded[:h, :w] = a
            tiles = [padded[y:y + 16, x:x + 16].tobytes() for y in range(0, 32, 16) for x in range(0, 48, 16)]
            yield name + "-tiles", tiff(w, h, {**base, 322: (4, [16]), 323: (4, [16])}, tiles, True, big)
            if samples > 2 and depth == 8 and extra not in (0, 1):
                planes = [np.ascontiguousarray(a[y:y + 8, :, c]).tobytes() for c in range(samples) for y in range(0, h, 8)]
                yield name + "-planes", tiff(w, h, {**base, 278: (4, [8]), 284: (3, [2])}, planes, False, big)
    for depth in (1, 2, 4):
        for photo in (0, 1, 3):
            for order in (1,) if photo == 3 else (1, 2):  # Pillow reads no palette with reversed bits
                rows = random.integers(0, 256, (h, (w * depth + 7) // 8), np.uint8).tobytes()
                base = {258: (3, [depth]), 259: (3, [1]), 262: (3, [photo]), 266: (3, [order]), 277: (3, [1]), 278: (4, [h])}
                if photo == 3:
                    base[320] = (3, [int(v) for v in random.integers(0, 65536, 3 * 2**depth)])
                yield f"tiff-low-{depth}-{photo}-{order}", tiff(w, h, base, [rows], False, False)


def every_picture(seed):
    random = np.random.default_rng(seed)
    for make in (jpegs, pngs, webps, gifs, bmps, tiffs):
        yield from make(random)
