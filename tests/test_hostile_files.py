"""Files that are cut, empty, of another kind or made to do harm: one clear line, never anything else."""

from __future__ import annotations

import gzip
import os
import resource
import signal

import h5py
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from subimage_examples import broken, one, plain_arrays, plain_set

from slewguard.benchmarks.fuzz_kinds import KINDS
from slewguard.subimages import (
    REASONS,
    BadInput,
    RejectedSubImage,
    TriggerSet,
    atomic_folder,
    atomic_output,
    read_fits,
    read_folder,
    read_triggers,
    write_fits,
    write_triggers,
)

FAULTS = ("empty", "off_centre", "no_trigger_pixel", "bad_value")


@pytest.fixture(autouse=True)
def _never_hangs():
    # The default action ends the process even inside C code that loops, which no Python handler would.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)
    yield
    signal.alarm(0)


def fault(path, *words):
    """The one line that reading gives; it names the file (or one in it) and says the words."""
    with pytest.raises(BadInput) as caught:
        read_triggers(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    assert caught.value.path is not None
    for word in words:
        assert word in line
    return caught.value


def foreign(path, **arrays):
    snr, mask = plain_arrays(3)
    with h5py.File(path, "w") as file:
        for name, values in {"snr": snr, "mask": mask, **arrays}.items():
            if values is not None:
                file[name] = values
    return path


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in ("hdf5", "fits") for n in KINDS[k].originals()])
def test_cut_anywhere(tmp_path, kind, name):
    original = KINDS[kind].originals()[name]
    rng = np.random.default_rng(7)
    path = tmp_path / "a"
    for length in [0, 1, 8, 9, 2880, len(original) // 2, len(original) - 3000, *rng.integers(len(original), size=30)]:
        path.write_bytes(original[: max(0, length)])
        fault(path)


def test_hdf5_heap_with_a_step_of_zero(tmp_path):
    # On this the HDF5 library itself never returns.
    path = tmp_path / "a.h5"
    content = bytearray(KINDS["hdf5"].originals()["theirs"])
    heap = content.index(b"GCOL\x01")
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(content)
    fault(path, "damaged")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4000), st.sampled_from([b"", b"\x89HDF\r\n\x1a\n", b"SIMPLE  =", b"\x1f\x8b\x08"]))
def test_noise(tmp_path_factory, noise, start):
    path = tmp_path_factory.mktemp("noise") / "a"
    path.write_bytes(start + noise)
    fault(path)


def test_of_another_kind(tmp_path):
    path = tmp_path / "a.h5"
    fault(path, "No such file")
    path.write_bytes(b"")
    fault(path, "empty")
    path.write_text("\x89PNG, or anything else")
    fault(path, "neither HDF5 nor FITS")
    with pytest.raises(BadInput, match="not a FITS file"):
        read_fits(path)
    fault(tmp_path, "labels.csv")
    os.mkfifo(tmp_path / "pipe")
    fault(tmp_path / "pipe", "not a regular file")
    fault(tmp_path / ("x" * 300), "too long")
    with pytest.raises(BadInput, match="null"):
        read_triggers("a\0b")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"snr": None}, ["no /snr"]),
        ({"mask": None}, ["no /mask"]),
        ({"snr": np.zeros((3, 55, 56), "f4")}, ["/snr", "(3, 55, 56)"]),
        ({"snr": np.zeros(3, "f4")}, ["/snr", "shape"]),
        ({"snr": np.float32(1)}, ["/snr", "shape"]),
        ({"mask": np.ones((2, 56, 56), "u1")}, ["/mask", "(2, 56, 56)"]),
        ({"snr": np.zeros((3, 56, 56), "i4")}, ["/snr", "int32"]),
        ({"mask": np.ones((3, 56, 56), "f4")}, ["/mask", "float32"]),
        ({"snr": h5py.Empty("f4")}, ["/snr", "empty"]),
        ({"snr/x": 1, "snr": None}, ["/snr", "not a data set"]),
        ({"label": np.array([0, 1], "i1")}, ["/label", "(2,)"]),
        ({"label": np.array([0, 1, 2], "i1")}, ["/label[2]", "2"]),
        ({"label": np.array([0, -2, 1])}, ["/label[1]"]),
        ({"label": np.array([0.5, 1, 1])}, ["/label[0]"]),
        ({"label": np.array([np.nan, 1, 1])}, ["/label[0]"]),
        ({"label": ["true", "false", "true"]}, ["/label", "numbers"]),
        ({"cause": ["GRB", "", ""]}, ["/cause[0]", "GRB"]),
        ({"cause": np.array([b"x" * 300] * 3)}, ["/cause", "300"]),
        ({"cause": ["é" * 10**6, "", ""]}, ["/cause[0]"]),
        ({"cause": np.arange(3)}, ["/cause", "text"]),
        ({"trigger": ["ABC", "", ""]}, ["/trigger[0]"]),
        ({"catalogue_id": np.array([1, 2, 2**40])}, ["/catalogue_id[2]"]),
        ({"sequence": np.array([1, 2, 2**64 - 1], "u8")}, ["/sequence[2]"]),
    ],
)
def test_hdf5_that_does_not_fit(tmp_path, arrays, words):
    fault(foreign(tmp_path / "a.h5", **arrays), *words)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("version", 2, "version 2"), ("version", "one", "version one"), ("simulated", "perhaps", "simulated"),
     ("provenance", "{", "provenance"), ("provenance", "[1]", "provenance"), ("provenance", "[" * 10**5, "provenance")],
)  # fmt: skip
def test_attributes_of_our_format(tmp_path, name, value, word):
    write_triggers(tmp_path / "a.h5", plain_set())
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs[name] = value
    fault(tmp_path / "a.h5", word)


@pytest.mark.parametrize("reason", FAULTS)
def test_broken_sub_images_are_refused_or_kept(tmp_path, reason):
    snr, mask = plain_arrays(3)
    snr[1], mask[1] = broken(reason)
    path = foreign(tmp_path / "a.h5", snr=snr, mask=mask)
    error = fault(path, "sub-image 1:")
    assert isinstance(error, RejectedSubImage)
    assert error.reason == reason
    kept = read_triggers(path, strict=False)
    assert [REASONS[code] for code in kept.rejected] == ["ok", reason, "ok"]
    with pytest.raises(RejectedSubImage):
        write_triggers(tmp_path / "b.h5", kept)
    assert not (tmp_path / "b.h5").exists()

    hdus = [fits.PrimaryHDU(), fits.ImageHDU(snr[1], name="SNR"), fits.ImageHDU(mask[1], name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(RejectedSubImage) as caught:
        read_fits(tmp_path / "a.fits")
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(tmp_path / "a.fits"))
    assert REASONS[read_triggers(tmp_path / "a.fits", strict=False).rejected[0]] == reason


def test_codes_and_numbers_that_would_wrap_are_refused(tmp_path):
    snr, mask = plain_arrays(3)
    wide, huge = mask.astype("i2"), snr.astype("f8")
    wide[0, 20, 20], huge[0, 20, 20] = 257, 1e300
    fault(foreign(tmp_path / "a.h5", mask=wide), "sub-image 0")
    fault(foreign(tmp_path / "b.h5", snr=huge), "sub-image 0")


def test_no_link_leads_to_another_file(tmp_path):
    snr, mask = plain_arrays(3)
    secret = foreign(tmp_path / "secret.h5")
    raw = tmp_path / "raw"
    raw.write_bytes(snr.tobytes())
    layout = h5py.VirtualLayout((3, 56, 56), "f4")
    layout[:] = h5py.VirtualSource(secret, "snr", (3, 56, 56))
    makers = {
        "external link": lambda f: f.__setitem__("snr", h5py.ExternalLink(str(secret), "/snr")),
        "soft link": lambda f: f.__setitem__("snr", h5py.SoftLink("/mask")),
        "dangling": lambda f: f.__setitem__("snr", h5py.SoftLink("/nothing")),
        "virtual": lambda f: f.create_virtual_dataset("snr", layout),
        "storage": lambda f: f.create_dataset("snr", (3, 56, 56), "f4", external=[(str(raw), 0, snr.nbytes)]),
    }
    for name, make in makers.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file["mask"] = mask
            make(file)
        fault(path, "/snr", "not")


@pytest.mark.parametrize(
    "declared",
    [
        {"shape": (4_000_000, 56, 56)},
        {"shape": (6_000_000, 56, 56)},
        {"shape": (10**15, 56, 56), "chunks": (1, 56, 56)},
        {"shape": (100_000, 56, 56), "chunks": (100, 56, 56), "compression": "gzip"},
        {"shape": (3, 56, 56), "chunks": (10**5, 56, 56), "maxshape": (None, 56, 56), "compression": "gzip"},
    ],
)
def test_declared_sizes_without_data_cost_no_memory(tmp_path, declared):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("snr", dtype="f4", **declared)
        file.create_dataset("mask", dtype="u1", **declared)
    fault(path, "/snr declares")


def test_data_that_unpack_beyond_reason_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, dtype in (("snr", "f4"), ("mask", "u1")):
            data = np.ones((5500, 56, 56), dtype)
            file.create_dataset(name, data=data, chunks=(1000, 56, 56), compression="gzip")
    assert path.stat().st_size < 2**20
    fault(path, "/snr would unpack")
    bomb = tmp_path / "a.fits"
    bomb.write_bytes(gzip.compress(b"SIMPLE  =" + bytes(70 * 2**20)))
    fault(bomb, "gzipped")


def _fits(path, snr=None, mask=None, names=("SNR", "MASK")):
    images = zip(names, (one().snr if snr is None else snr, one().mask if mask is None else mask), strict=False)
    hdus = [fits.ImageHDU(image, name=name) for name, image in images]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def test_fits_that_does_not_fit(tmp_path):
    fault(_fits(tmp_path / "a.fits", snr=np.zeros((64, 64), "f4")), "SNR", "(64, 64)")
    fault(_fits(tmp_path / "b.fits", mask=np.zeros((1, 56, 56), "u1")), "MASK", "(1, 56, 56)")
    fault(_fits(tmp_path / "c.fits", names=("SNR",)), "no MASK")
    fault(_fits(tmp_path / "d.fits", names=("", "MASK")), "no SNR")
    fault(_fits(tmp_path / "e.fits", names=("",)), "no MASK")
    fault(_fits(tmp_path / "f.fits", snr=np.zeros((64, 64)), mask=np.zeros((80, 80)), names=("", "")), "56x56")
    fits.PrimaryHDU().writeto(tmp_path / "g.fits")
    fault(tmp_path / "g.fits", "56x56")
    write_fits(tmp_path / "h.fits", one(), simulated=True)
    fits.setval(tmp_path / "h.fits", "LABEL", value=7)
    with fits.open(tmp_path / "h.fits", checksum=False) as file:
        for hdu in file:
            del hdu.header["CHECKSUM"], hdu.header["DATASUM"]
        file.writeto(tmp_path / "i.fits")
    fault(tmp_path / "i.fits", "LABEL", "7")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("NAXIS", 2**31), ("NAXIS", -1), ("NAXIS1", -64), ("NAXIS1", 5.5), ("NAXIS2", "two"), ("NAXIS2", True),
     ("PCOUNT", -(10**6)), ("GCOUNT", -1)],
)  # fmt: skip
def test_fits_counts_on_which_astropy_never_returns(tmp_path, keyword, value):
    path = _fits(tmp_path / "a.fits")
    content = path.read_bytes()
    at = content.index(f"{keyword:8}= ".encode(), 2880)  # of the first image
    text = {True: "T", "two": "'two'"}.get(value, str(value))
    path.write_bytes(content[: at + 10] + text.rjust(20).ljust(70).encode() + content[at + 80 :])
    fault(path, keyword, "count")


@pytest.mark.parametrize("keyword", ["TFIELDS", "ZNAXIS", "NAXIS2", "PCOUNT"])
def test_fits_counts_of_a_compressed_image(tmp_path, keyword):
    path = tmp_path / "a.fits"
    content = KINDS["fits"].originals()["theirs"]
    at = content.index(f"{keyword:8}= ".encode(), 2880)
    path.write_bytes(content[: at + 10] + b"99999999999".rjust(20).ljust(70) + content[at + 80 :])
    fault(path, keyword, "count")


def test_fits_counts_written_as_the_standard_does_not(tmp_path):
    # astropy takes these as NAXIS1 too.
    for card in (b"naxis1  =                  -64", b"NAXIS1= -64", b"HIERARCH NAXIS1 = -64"):
        path = tmp_path / "a.fits"
        path.unlink(missing_ok=True)
        content = _fits(path).read_bytes()
        at = content.index(b"NAXIS1  = ", 2880)
        path.write_bytes(content[:at] + card.ljust(80) + content[at + 80 :])
        fault(path)


def test_fits_of_very_many_images(tmp_path):
    images = [fits.ImageHDU(np.zeros((1, 1), "u1")) for _ in range(70)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
    fault(tmp_path / "a.fits", "64 HDUs")


@pytest.mark.parametrize("hdus", [1, 30])
def test_fits_of_very_long_headers(tmp_path, hdus):
    primary, image = fits.PrimaryHDU().header, fits.ImageHDU().header
    cards = (b"COMMENT".ljust(80) * (36 * 500 // hdus)).ljust(2880)
    headers = [header.tostring(padding=False).encode()[:-80] for header in (primary, *[image] * (hdus - 1))]
    content = b"".join(header + cards + b"END".ljust(-(len(header) + len(cards)) % 2880) for header in headers)
    path = tmp_path / "a.fits"
    path.write_bytes(gzip.compress(content))
    assert path.stat().st_size < 2**16
    fault(path, "headers are longer")


@pytest.mark.parametrize("padding", [100, 2880, 30_000])
def test_fits_with_padding_after_its_end(tmp_path, padding):
    path = tmp_path / "a.fits"
    path.write_bytes(KINDS["fits"].originals()["ours"] + bytes(padding))
    assert len(read_triggers(path)) == 1


def test_what_does_not_print_is_told_by_its_code(tmp_path):
    error = BadInput("a name \n\x1b[2J\u2028 of a file", tmp_path / "two\nlines")
    assert str(error).isprintable()
    assert str(error).endswith(r"two\nlines: a name \n\x1b[2J\u2028 of a file")
    assert error.path == tmp_path / "two\nlines"


def test_a_changed_pixel_breaks_the_checksum(tmp_path):
    path = tmp_path / "a.fits"
    write_fits(path, one(), simulated=True)
    content = bytearray(path.read_bytes())
    content[3 * 2880 + 1000] ^= 1
    path.write_bytes(content)
    fault(path, "checksum")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", ["empty"]),
        ("name,label\n", ["line 1", "file,label"]),
        ("file,label\na.fits,1\nmissing.fits,1\n", ["line 3", "missing.fits"]),
        ("file,label\na.fits,1\na.fits,0\n", ["line 3", "already in line 2"]),
        ("file,label\na.fits,1\n./a.fits,0\n", ["line 3", "already in line 2"]),
        ("file,label\na.fits,maybe\n", ["line 2", "maybe"]),
        ("file,label\na.fits,2\n", ["line 2", "2"]),
        ("file,label,cause\na.fits,1,GRB\n", ["line 2", "GRB"]),
        ("file,label\na.fits\n", ["line 2", "2 fields"]),
        ("file,label\na.fits,1,2,3\n", ["line 2", "2 fields"]),
        ("file,label\n../outside.fits,1\n", ["line 2", "leads out"]),
        ("file,label\n/etc/passwd,1\n", ["line 2", "leads out"]),
        ("file,label\nlink.fits,1\n", ["line 2", "leads out"]),
        ("file,label\ncircle.fits,1\n", ["line 2"]),
        ("file,label\n,1\n", ["line 2", "not a file name"]),
        ("file,label\na\0.fits,1\n", ["line 2", "not a file name"]),
        (f"file,label\n{'a' * 300},1\n", ["line 2"]),
        ('file,label\n"a.fits,1\n', ["line"]),
        ("file,label\n.,1\n", ["line 2", "no file"]),
    ],
)
def test_labels_csv_names_its_line(tmp_path, table, words):
    folder = tmp_path / "set"
    folder.mkdir()
    for path in (folder / "a.fits", tmp_path / "outside.fits"):
        write_fits(path, one(), simulated=True)
    (folder / "link.fits").symlink_to(tmp_path / "outside.fits")
    (folder / "circle.fits").symlink_to(folder / "circle.fits")
    (folder / "labels.csv").write_text(table)
    error = fault(folder, "labels.csv", *words)
    assert error.path == folder / "labels.csv"


def test_a_bad_file_of_a_folder_is_named(tmp_path):
    write_fits(tmp_path / "a.fits", one(), simulated=True)
    _fits(tmp_path / "b.fits", *broken("off_centre"))
    (tmp_path / "labels.csv").write_text("file,label\na.fits,1\nb.fits,0\n")
    with pytest.raises(RejectedSubImage) as caught:
        read_folder(tmp_path)
    assert (caught.value.reason, caught.value.path) == ("off_centre", tmp_path / "b.fits")
    assert read_folder(tmp_path, strict=False).rejected.tolist() == [0, REASONS.index("off_centre")]
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe,1\n")
    fault(tmp_path, "labels.csv", "UTF-8")
    (tmp_path / "labels.csv").write_text("file,label\na.fits,1\n")
    (tmp_path / "provenance.json").write_text("{")
    fault(tmp_path, "provenance.json")


@pytest.fixture
def small_disk():
    """Every file may grow to 20 kB, then writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("name", ["a.h5", "a.fits", "folder"])
def test_a_full_disk_leaves_nothing(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(BadInput, match="cannot be written") as caught:
        write_triggers(path, plain_set(1))
    assert caught.value.path == path
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/a.h5", "missing/a.fits", "missing/folder", "file/a.h5", "x" * 300 + ".h5"])
def test_no_place_to_write(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput) as caught:
        write_triggers(tmp_path / name, plain_set(1))
    assert caught.value.path == tmp_path / name
    assert os.listdir(tmp_path) == ["file"]


def test_places_that_are_taken(tmp_path):
    (tmp_path / "d.h5").mkdir()
    (tmp_path / "f").write_text("precious")
    os.mkfifo(tmp_path / "pipe.h5")
    for name in ("d.h5", "f", "pipe.h5", "a.txt"):
        with pytest.raises(BadInput):
            write_triggers(tmp_path / name, plain_set(1))
    assert (tmp_path / "f").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["d.h5", "f", "pipe.h5"]


@pytest.mark.parametrize("make", [atomic_output, atomic_folder])
def test_permission_is_found_before_the_work(tmp_path, monkeypatch, make):
    # The tests may run as root, whom no permission stops: the system's refusal is put in its place.
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(args[0]))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(BadInput, match="out: cannot be written: Permission denied"), make(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_errors_of_other_files_name_those(tmp_path):
    with pytest.raises(BadInput) as caught, atomic_output(tmp_path / "out"):
        (tmp_path / "input").read_bytes()
    assert caught.value.path == tmp_path / "input"


def test_write_refuses_columns_that_do_not_fit(tmp_path):
    triggers = plain_set(2)
    wrong = TriggerSet(triggers.snr, triggers.mask, {"label": np.array([0, 5])})
    with pytest.raises(BadInput, match="label"):
        write_triggers(tmp_path / "a.h5", wrong)
    unfit = TriggerSet(triggers.snr, triggers.mask, {}, provenance={"x": object()})
    with pytest.raises(BadInput, match="provenance"):
        write_triggers(tmp_path / "a.h5", unfit)
    with pytest.raises(BadInput, match="one sub-image"):
        write_triggers(tmp_path / "a.fits", triggers)
    with pytest.raises(BadInput, match="provenance_id"):
        write_fits(tmp_path / "a.fits", one(), simulated=True, provenance_id="two\nlines")
    assert os.listdir(tmp_path) == []
