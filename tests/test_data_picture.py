"""Pictures: photos as people have them, of any depth and mode, and files that are none."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, TiffImagePlugin

from syndet_ray.data.images import depth, picture
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

SHAPE = (12, 16)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(*shape, top=256, dtype=np.uint8):
    return np.random.default_rng(5).integers(0, top, shape).astype(dtype)


def unusual(data):
    return picture.unusual_notes([picture.header(data, "x")])


def png(ihdr, *chunks, rows=b""):
    """A PNG of any header, with chunks in front of the pixels."""
    parts = [(b"IHDR", ihdr), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in parts:
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", zlib.crc32(kind + content))
    return data


def png_of_16_bits(values, color_type):
    """PNG that stores uint16 values (h, w, channels): Pillow writes only grey ones."""
    height, width = values.shape[:2]
    ihdr = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(ihdr, rows=rows)


def tiff(values, order="<", **more):
    """TIFF that stores an array (h, w[, channels]) uncompressed; `more` are tags, by number."""
    height, width = values.shape[:2]
    count = 1 if values.ndim == 2 else values.shape[2]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: width, 257: height, 258: [values.itemsize * 8] * count, 259: 1}
    tags |= {262: 1 if count == 1 else 2, 273: 8, 277: count, 278: height, 279: len(data)}
    tags |= {339: kind} | {int(name[1:]): value for name, value in more.items()}
    extra_at = 8 + len(data) + 6 + 12 * len(tags)
    entries, extra = b"", b""
    for tag, value in sorted(tags.items()):
        listed = value if isinstance(value, list) else [value]
        if len(listed) == 1:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, listed[0])
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, len(listed), extra_at + len(extra))
            extra += struct.pack(f"{order}{len(listed)}I", *listed)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra


# --- pixels of ordinary photos stay what they were


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_ordinary_photos_have_the_pixels_that_pillow_gives(mode, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    channels = (3,) if mode == "RGB" else ()
    data = encoded(Image.fromarray(noise(40, 56, *channels)), form, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    shown = picture.pixels(data, "x")
    assert (shown == expected).all()
    assert picture.header(data, "x").shown_wh == shown.shape[1::-1]
    assert unusual(data) == []


def test_a_large_photo_is_converted_in_bands_to_the_same_pixels(monkeypatch):
    rgba = Image.fromarray(noise(30, 40, 4))
    data = encoded(rgba)
    whole = picture.pixels(data, "x")
    monkeypatch.setattr(depth, "_BAND_PX", 7 * 40)
    assert (picture.pixels(data, "x") == whole).all()


# --- more than 8 bits


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (10, 2), (12, 4), (14, 6), (16, 8)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF of Motorola"])
def test_cameras_of_fewer_bits_fill_the_scale(bits, shift, channels, form):
    values = noise(*SHAPE, channels, top=2**bits, dtype=np.uint16)
    values[0, 0] = 2**bits - 1
    if channels == 4:
        values[..., 3] = 65535  # alpha has a depth of its own
    if form == "PNG":
        data = png_of_16_bits(values, {1: 0, 3: 2, 4: 6}[channels])
    else:
        order = "<" if form == "TIFF" else ">"
        more = {"t338": 2} if channels == 4 else {}
        data = tiff(values.squeeze(), order, **more)
    rgb = picture.pixels(data, "x")
    expected = np.broadcast_to((values[..., :3] >> shift).astype(np.uint8), (*SHAPE, 3))
    assert (rgb == expected).all()
    assert unusual(data)[0] == "1 image of more than 8 bits a colour: scaled to 8"


def test_the_depth_is_told_by_the_values_unless_the_file_tells_it():
    dark = np.full(SHAPE, 300, np.uint16)
    assert picture.pixels(tiff(dark), "x")[0, 0, 0] == 300 >> 2  # as if of 10 bits
    packed = np.zeros((4, 12), np.uint8)  # of 12 bits: two pixels in three bytes
    packed[:, ::3] = 300 >> 4
    packed[:, 1::3] = (300 & 15) << 4
    data = tiff(packed, t256=8, t258=12)
    assert picture.pixels(data, "x")[0].tolist() == [[300 >> 4] * 3, [0] * 3] * 4


def test_compressed_tiff_of_16_bits():
    values = noise(*SHAPE, top=4096, dtype=np.uint16)
    data = encoded(Image.fromarray(values), "TIFF", compression="tiff_lzw")
    assert (picture.pixels(data, "x")[..., 0] == values >> 4).all()


def test_white_is_zero_in_some_tiff():
    values = noise(*SHAPE, top=65536, dtype=np.uint16)
    values[0, 0] = 65535
    assert (picture.pixels(tiff(values, t262=0), "x")[..., 1] == 255 - (values >> 8)).all()


def test_whole_numbers_with_a_sign_and_of_32_bits():
    signed = np.array([[-5, 0, 4095]], np.int16)
    assert picture.pixels(tiff(signed), "x")[0, :, 0].tolist() == [0, 0, 255]
    wide = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert picture.pixels(tiff(wide), "x")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "gray"),
    [
        ([0.0, 0.25, 0.5], [0, 64, 128]),  # 0 to 1 stay what they are
        ([0.0, 51.0, 204.0], [0, 51, 204]),
        ([0.0, 2048.0, 4095.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 0.75, 1.5], [0, 128, 255]),
        ([np.nan, 1.0, np.inf], [0, 255, 0]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([7.5, 7.5, 7.5], [0, 0, 0]),
        ([1e38, -1e38, 0.0], [255, 0, 128]),
    ],
)
def test_floats_are_whole_numbers_or_shares_or_stretched(values, gray):
    data = tiff(np.array([values], np.float32))
    assert picture.pixels(data, "x")[0, :, 0].tolist() == gray


# --- transparency, palettes, frames, colour spaces


def test_transparency_of_any_kind_is_composed_on_white():
    white = [255, 255, 255]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putdata([0, 1])
    images = {
        "LA": encoded(Image.new("LA", (1, 1), (77, 0))),
        "RGBA": encoded(Image.new("RGBA", (1, 1), (1, 2, 3, 0)), "WEBP", lossless=True),
        "palette": encoded(palette, transparency=b"\x00\xff"),
        "colour": encoded(Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3)),
        "grey": encoded(Image.new("L", (1, 1), 9), transparency=9),
        "GIF": encoded(palette, "GIF", transparency=0),
        "16 bits": png_of_16_bits(np.array([[[1, 2, 3, 0]]], np.uint16), 6),
    }
    for name, data in images.items():
        assert picture.pixels(data, "x")[0, 0].tolist() == white, name
        assert "1 image with transparency: composed on white" in unusual(data), name
    assert picture.pixels(images["palette"], "x")[0, 1].tolist() == [200, 0, 0]


def test_colours_below_transparency_are_kept_for_cut_outs():
    data = encoded(Image.new("RGBA", (3, 2), (10, 20, 30, 40)))
    assert picture.rgba(data, "x")[0, 0].tolist() == [10, 20, 30, 40]
    plain = encoded(Image.new("L", (3, 2), 7), "JPEG")
    assert picture.rgba(plain, "x")[0, 0].tolist() == [7, 7, 7, 255]
    deep = encoded(Image.fromarray(np.full(SHAPE, 4095, np.uint16)))
    assert picture.rgba(deep, "x")[0, 0].tolist() == [255] * 4


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_taken(form):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
    more = {"save_all": True, "append_images": frames[1:]}
    data = encoded(frames[0], form, **more)
    red, green, blue = picture.pixels(data, "x")[4, 4].tolist()
    assert red > 240
    assert max(green, blue) < 16
    assert "1 image of several frames or pages: the first only" in unusual(data)


def test_a_photo_with_a_preview_of_its_own_is_no_animation():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    assert unusual(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])) == []


def test_cmyk_of_adobe_is_not_inverted():
    """Adobe's programs store CMYK inverted in JPEG, and say so by a marker that Pillow reads."""
    inked = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for form in ("JPEG", "TIFF"):
        data = encoded(inked, form)
        red, green, blue = picture.pixels(data, "x")[4, 4].tolist()
        assert red > 200
        assert max(green, blue) < 60
        assert unusual(data) == ["1 image in CMYK: converted without its colour profile"]


def test_notes_count_what_is_unusual():
    one = picture.Header(stored_wh=(1, 1), orientation=1, unusual=(picture.DEEP,))
    two = picture.Header(
        stored_wh=(1, 1), orientation=1, unusual=(picture.DEEP, picture.TRANSPARENT)
    )
    none = picture.Header(stored_wh=(1, 1), orientation=1)
    assert picture.unusual_notes([one, two, none]) == [
        "2 images of more than 8 bits a colour: scaled to 8",
        "1 image with transparency: composed on white",
    ]
    assert picture.unusual_notes([none]) == []


def test_colours_that_pillow_cannot_convert_are_refused():
    data = encoded(Image.new("LAB", (8, 8)), "TIFF")
    with pytest.raises(DataError, match=r"x: its colours are of a kind .* LAB. Save it in RGB"):
        picture.header(data, "x")
    planes = tiff(noise(*SHAPE, 3, dtype=np.uint16), t284=2)
    with pytest.raises(DataError, match="16-bit colours in separate planes"):
        picture.header(planes, "x")


# --- orientation


def exif(*entries, order="<", tail=b""):
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4) + tail


def entry(tag, kind, count, value, order="<"):
    return struct.pack(f"{order}HHI", tag, kind, count) + value


TURN = entry(0x112, 3, 1, struct.pack("<HH", 6, 0))
BAD_ENTRIES = {
    "a resolution as text": exif(TURN, entry(0x11A, 2, 2, b"7\0\0\0")),
    "-1/0": exif(TURN, entry(0x11A, 10, 1, struct.pack("<I", 38)), tail=struct.pack("<ii", -1, 0)),
    "an offset behind the end": exif(TURN, entry(0x10F, 2, 99, struct.pack("<I", 9999))),
    "a huge count": exif(TURN, entry(0x10F, 3, 2**32 - 1, bytes(4))),
    "an unknown type": exif(TURN, entry(0x10F, 99, 1, bytes(4))),
    "a directory of EXIF that is the first one": exif(
        TURN, entry(0x8769, 4, 1, struct.pack("<I", 8))
    ),
    "more entries promised than there are": exif(TURN)[:8] + b"\xff\x00" + exif(TURN)[10:],
    "text where a directory is expected": exif(TURN, entry(0x8769, 2, 4, b"abcd")),
    "an orientation of 32 bits": exif(entry(0x112, 4, 1, struct.pack("<I", 6))),
    "Motorola": exif(entry(0x112, 3, 1, struct.pack(">HH", 6, 0), ">"), order=">"),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_other_bad_entries_neither_raise_nor_cost_the_orientation(form, name):
    data = encoded(Image.new("RGB", (10, 4)), form, exif=b"Exif\0\0" + BAD_ENTRIES[name])
    assert picture.header(data, "x").shown_wh == (4, 10)
    assert picture.pixels(data, "x").shape == (10, 4, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_with_a_bad_entry_is_turned(orientation):
    """Pillow itself turns a TIFF while it decodes it."""
    values = noise(*SHAPE, 3)
    data = bytearray(tiff(values, t274=orientation, t282=7))
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened)
    at = data.index(struct.pack("<HH", 282, 4))
    data[at : at + 12] = entry(282, 2, 2, b"7\0\0\0")  # XResolution as text
    shown = picture.pixels(bytes(data), "x")
    assert (shown == expected).all()
    head = picture.header(bytes(data), "x")
    assert (head.stored_wh, head.shown_wh) == (SHAPE[::-1], shown.shape[1::-1])


@pytest.mark.parametrize(
    "odd",
    [
        entry(0x112, 2, 2, b"6\0\0\0"),  # text
        entry(0x112, 3, 1, struct.pack("<HH", 9, 0)),
        entry(0x112, 3, 1, struct.pack("<HH", 0, 0)),
        entry(0x112, 3, 0, bytes(4)),
        entry(0x112, 11, 1, struct.pack("<f", 6.5)),
        entry(0x112, 9, 1, struct.pack("<i", -6)),
    ],
    ids=["text", "9", "0", "nothing", "6.5", "-6"],
)
def test_an_orientation_that_is_none_leaves_the_image_as_stored(odd):
    for form in ("JPEG", "PNG", "WEBP"):
        data = encoded(Image.new("RGB", (10, 4)), form, exif=b"Exif\0\0" + exif(odd))
        assert picture.header(data, "x").shown_wh == (10, 4)
        assert picture.pixels(data, "x").shape == (4, 10, 3)


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 14, 17])
def test_exif_that_is_cut_off_leaves_the_image_as_stored(cut):
    data = encoded(Image.new("RGB", (10, 4)), "JPEG", exif=b"Exif\0\0" + exif(TURN)[:cut])
    assert picture.pixels(data, "x").shape == (4, 10, 3)


def test_png_may_hold_exif_behind_its_pixels():
    data = encoded(Image.new("RGB", (10, 4)))
    content = exif(TURN)
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    turned = data[:-12] + chunk + data[-12:]  # ExifTool puts it in front of IEND
    assert picture.header(turned, "x").shown_wh == (4, 10)
    assert picture.pixels(turned, "x").shape == (10, 4, 3)


def test_xmp_tells_the_orientation_where_exif_does_not():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    for form in ("JPEG", "WEBP"):
        data = encoded(Image.new("RGB", (10, 4)), form, xmp=xmp)
        assert picture.header(data, "x").shown_wh == (4, 10), form
        assert picture.pixels(data, "x").shape == (10, 4, 3), form
    data = tiff(noise(4, 10))
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[700] = xmp
    with Image.open(io.BytesIO(data)) as opened:
        turned = encoded(opened, "TIFF", tiffinfo=info)
    assert (
        picture.header(turned, "x").shown_wh == picture.pixels(turned, "x").shape[1::-1] == (4, 10)
    )


# --- files that are no images

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
FOREIGN = {
    "it is a git-lfs pointer: run `git lfs pull`": LFS,
    "it is a git-annex pointer: run `git annex get`": b"/annex/objects/SHA256E-s31--ab.jpg\n",
    "it is an HTML page: the download failed": b"\xef\xbb\xbf \n<!DOCTYPE HTML><html>",
    "it is an XML document": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "it is empty": b"",
    "it is a text": b'{"error": "not found"}',
    "it is a HEIC photo: convert it to JPEG": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "it is a camera raw file (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "it is a video (MP4, MOV)": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2",
    "it is a Matroska": b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86",
    "it is an AVI video": b"RIFF\x24\0\0\0AVI LIST",
    "it is a PDF document: export its pages as PNG": b"%PDF-1.7\n%\xe2\xe3",
    "it is a PostScript file": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "it is a camera raw file: export it": b"FUJIFILMCCD-RAW 0201",
    "it is a ZIP archive: unpack it": b"PK\x03\x04\x14\0\0\0",
    "it is metadata of macOS": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "it is a DICOM file": bytes(128) + b"DICM",
    "it is a TAR archive": b"a.jpg".ljust(257, b"\0") + b"ustar",
    "not a format that Pillow knows": b"\x03\x01\x02\xff\xfe",
}


@pytest.mark.parametrize("words", FOREIGN)
def test_a_file_that_is_no_image_is_named(words, tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(FOREIGN[words])
    for image in (file, FOREIGN[words]):
        for read_image in (picture.header, picture.pixels):
            with pytest.raises(DataError) as caught:
                read_image(image, "a.jpg")
            assert f"a.jpg: the image cannot be read ({words}" in str(caught.value)


def test_a_pointer_is_not_to_be_replaced():
    with pytest.raises(DataError, match=r"run `git lfs pull`\)\.$"):
        picture.header(LFS, "a.jpg")


def test_a_camera_raw_file_is_not_read_by_its_preview():
    for more in ({"t254": 1}, {"t50706": 0x00000401}):
        with pytest.raises(DataError, match="it is a camera raw file"):
            picture.header(tiff(noise(*SHAPE, 3), **more), "a.dng")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_a_file_that_is_cut_short_is_said_to_be(form):
    data = encoded(Image.fromarray(noise(64, 64, 3)), form)
    with pytest.raises(DataError, match=r"x: the image cannot be read \("):
        picture.pixels(data[: len(data) // 2], "x")
    if form == "JPEG":
        with pytest.raises(DataError, match="it is cut short: image file is truncated"):
            picture.pixels(data[: len(data) // 2], "x")


@pytest.mark.parametrize("name", ["a.json", "train.record", "label_map.pbtxt"])
def test_a_pointer_instead_of_labels_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(LFS)
    (tmp_path / "val.record").write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name}: is a git-lfs pointer: run `git lfs pull`\."):
        read(tmp_path)


def test_a_tiff_that_lacks_rows_is_not_filled_with_black():
    with pytest.raises(DataError, match="cut short: 5 of its rows are there"):
        picture.header(tiff(noise(*SHAPE), t278=5), "x")


# --- bombs


def header_of_png(width, height):
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), rows=bytes(1000))


def test_an_image_that_memory_would_not_hold_is_refused_by_its_header():
    for data in (
        header_of_png(60000, 60000),
        header_of_png(15000, 15001),
        b"P6 99999 99999 255\n",
        encoded(Image.new("L", (8, 8)), "GIF").replace(b"\x08\0\x08\0", b"\xff\xff\xff\xff", 1),
        tiff(noise(*SHAPE), t322=2**16, t323=2**16, t324=8, t325=192),
    ):
        for read_image in (picture.header, picture.pixels):
            with pytest.raises(DataError, match=r"at most \d+ million pixels"):
                read_image(data, "x")
    # photos of satellites and scanners
    assert picture.header(header_of_png(20000, 11000), "x").shown_wh == (20000, 11000)


def test_only_the_first_of_very_many_frames_is_looked_at():
    frame = b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    start = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0"
    data = start + frame * 100_000 + b";"
    assert unusual(data) == ["1 image of several frames or pages: the first only"]
    assert picture.pixels(data, "x").shape == (1, 1, 3)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_metadata_that_unpack_to_very_many_bytes_are_refused(kind):
    packed = zlib.compress(bytes(5_000_000), 9)
    middle = b"\0\1\0\0\0" if kind == b"iTXt" else b"\0\0"
    ihdr = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    data = png(ihdr, (kind, b"name" + middle + packed), rows=bytes(2))
    with pytest.raises(DataError, match="too large"):
        picture.header(data, "x")


# --- anything


def samples():
    rgb = Image.fromarray(noise(9, 13, 3))
    turned = b"Exif\0\0" + BAD_ENTRIES["-1/0"]
    frames = {"save_all": True, "append_images": [Image.fromarray(noise(9, 13, 3, top=99))]}
    return [
        encoded(rgb, "JPEG", exif=turned),
        encoded(rgb, "JPEG", progressive=True),
        encoded(rgb, "PNG", exif=turned),
        encoded(rgb.convert("P"), "PNG", transparency=3),
        png_of_16_bits(noise(9, 13, 4, top=4096, dtype=np.uint16), 6),
        encoded(rgb, "TIFF", compression="tiff_lzw"),
        tiff(noise(9, 13, 3, top=4096, dtype=np.uint16), t274=6),
        tiff(noise(9, 13).astype(np.float32)),
        encoded(rgb, "WEBP", exif=turned),
        encoded(rgb, "GIF", **frames),
    ]


SAMPLES = samples()
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "cut", "copy"]),
        st.binary(max_size=4),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data, edits):
    for share, kind, content in edits:
        at = int(share * len(data))
        if kind == "set":
            data = data[:at] + content + data[at + len(content) :]
        elif kind == "cut":
            data = data[:at] + data[at + len(content) :]
        else:
            data = data[:at] + content + data[at:]
    return data


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(sample=st.sampled_from(SAMPLES), edits=EDITS)
def test_bytes_of_any_kind_are_read_or_refused(sample, edits):
    data = mutated(sample, edits)
    try:
        head = picture.header(data, "x")
        shown = picture.pixels(data, "x")
    except DataError:
        return
    assert shown.shape == (*head.shown_wh[::-1], 3)
    assert shown.dtype == np.uint8
