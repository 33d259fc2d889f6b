import contextlib
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb_jax.core import errors
from lb_jax.corpora import tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(files, format=tarfile.PAX_FORMAT, **fields):
    """An archive of name -> content; `fields` change the last member's header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == list(files)[-1]:
                for field, value in fields.items():
                    setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def read(path, content):
    path.write_bytes(content)
    return {
        member.name: content[member.offset : member.offset + member.size]
        for member in tar.members(path)
    }


FILES = {
    "a.jpg": b"x" * 700,
    "in/b.txt": b"",
    "d" * 60 + "/" + "e" * 60 + ".txt": b"prefix",
    "é.txt": b"unicode",
}
LONG = {"f" * 90 + "/" + "g" * 200 + ".jpg": b"long", "z": b"last"}


@pytest.mark.parametrize("name", FORMATS)
def test_members_of_every_format(tmp_path, name):
    files = FILES | (LONG if name != "ustar" else {})
    assert read(tmp_path / "x.tar", packed(files, FORMATS[name])) == files


def test_folders_and_dots(tmp_path):
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "data/in/a.txt").write_bytes(b"a")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "data", ".")
    assert [member.name for member in tar.members(tmp_path / "x.tar")] == ["in/a.txt"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "/etc/passwd"}, "member '/etc/passwd' leads out of the archive"),
        ({"name": "a/../../b.jpg"}, "member 'a/../../b.jpg' leads out of the archive"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc", "size": 0}, "'b' is a symbolic link"),
        ({"type": tarfile.LNKTYPE, "linkname": "a", "size": 0}, "'b' is a hard link"),
        ({"type": tarfile.CHRTYPE, "size": 0}, "'b' is a device"),
        ({"type": tarfile.FIFOTYPE, "size": 0}, "'b' is a pipe"),
        ({"type": b"V", "size": 0}, "'b' is of the unknown type b'V'"),
        ({"name": "/" + "x" * 300}, "leads out of the archive"),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_refused_by_name(tmp_path, fields, reason, name):
    if name == "ustar" and len(fields.get("name", "")) > 100:
        pytest.skip("longer than the format holds")
    (tmp_path / "x.tar").write_bytes(packed({"a": b"x", "b": b"y"}, FORMATS[name], **fields))
    with pytest.raises(errors.DataError, match=reason):
        list(tar.members(tmp_path / "x.tar"))


def test_cut_off_at_any_place(tmp_path):
    whole = packed({"a.jpg": b"x" * 700, "b.txt": b"y"}, tarfile.GNU_FORMAT)
    end = 512 + 1024 + 512 + 512
    for size in range(0, end + 1, 64):
        with pytest.raises(errors.DataError, match="is cut off"):
            read(tmp_path / "x.tar", whole[:size])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x1f\x8b" + b"x" * 2000, "is compressed by gzip"),
        (b"no tar" * 1000, "is no tar archive; expected uncompressed tar"),
        (packed({"a": b"x"})[:1024] + b"junk" * 500, "is damaged at byte 1024"),
    ],
)
def test_other_content(tmp_path, content, reason):
    with pytest.raises(errors.DataError, match=reason):
        read(tmp_path / "x.tar", content)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_read_or_refused(tmp_path_factory, data):
    whole = bytearray(packed(LONG, data.draw(st.sampled_from([*FORMATS.values()][1:]))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(errors.DataError):
        read(tmp_path_factory.getbasetemp() / "x.tar", bytes(whole))
