"""Files of sub-images: round trips, and that h5py and astropy alone read what we write and we what they write."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from subimage_examples import assert_same, one, plain_arrays, plain_set, trigger_sets

from slewguard.export.package import open_model, write_package
from slewguard.subimages import (
    BadInput,
    TriggerSet,
    atomic_folder,
    atomic_output,
    describe,
    read_fits,
    read_folder,
    read_triggers,
    read_triggers_hdf5,
    write_fits,
    write_folder,
    write_triggers,
    write_triggers_hdf5,
)

REUSE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ALERTS563 = Path(__file__).parent.parent / "benchmarks" / "data" / "alerts563.h5"


def test_the_held_back_set_reads_strictly():
    triggers = read_triggers(ALERTS563)
    assert len(triggers) == 563
    assert ((triggers.label == 1).sum(), (triggers.label == 0).sum()) == (334, 229)
    assert triggers.simulated
    assert not triggers.rejected.any()
    with h5py.File(ALERTS563) as file:
        np.testing.assert_array_equal(triggers.snr, file["snr"][:])
        np.testing.assert_array_equal(triggers.mask, file["mask"][:])


@REUSE
@given(trigger_sets())
def test_hdf5_round_trip(tmp_path, triggers):
    path = tmp_path / "set.h5"
    write_triggers_hdf5(path, triggers)
    assert_same(triggers, read_triggers_hdf5(path))


@REUSE
@given(trigger_sets(max_size=1).filter(len), st.booleans())
def test_fits_round_trip(tmp_path, triggers, simulated):
    path = tmp_path / "one.fits"
    write_fits(path, triggers[0], simulated=simulated, provenance_id="a1")
    again = read_fits(path)
    np.testing.assert_array_equal(again.snr, triggers.snr[0])
    np.testing.assert_array_equal(again.mask, triggers.mask[0])
    assert again.catalogue_id == triggers.catalogue_id[0]
    for name, values in triggers.columns.items():
        if name == "time_s":  # means nothing outside its time line, and is not kept
            assert name not in again.meta
            continue
        value = values[0]
        known = value != b"" if values.dtype.kind == "S" else np.isfinite(value)
        assert (name in again.meta) == known
        if known:
            assert again.meta[name] == value, name
    assert read_triggers(path).simulated == simulated


def test_same_set_same_bytes(tmp_path, monkeypatch):
    for n, clock in enumerate((1e9, 2e9)):
        # HDF5 takes its times from the C library; those of astropy come from Python.
        monkeypatch.setattr("time.time", lambda clock=clock: clock)
        write_triggers_hdf5(tmp_path / f"{n}.h5", plain_set())
        write_fits(tmp_path / f"{n}.fits", one(), simulated=True)
    for suffix in ("h5", "fits"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    with h5py.File(tmp_path / "0.h5") as file:
        times = [h5py.h5o.get_info(file[name].id).mtime for name in ("/", *file)]
        assert times == [0] * len(times)
        assert h5py.h5o.get_info(file.id).btime == 0
        assert all(file[name].chunks is None and file[name].compression is None for name in file)


def test_what_we_write_in_hdf5_is_as_the_format_says(tmp_path):
    path = tmp_path / "set.h5"
    triggers = plain_set()
    write_triggers(path, triggers)
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"slewguard-triggers"
        assert file.attrs["version"] == 1
        assert file.attrs["simulated"]
        assert file["snr"].dtype == "<f4"
        assert file["mask"].dtype == "u1"
        assert file["cause"].dtype == "S16"
        np.testing.assert_array_equal(file["snr"][:], triggers.snr)


def test_what_we_write_in_fits_is_fits(tmp_path):
    path = tmp_path / "one.fits"
    write_fits(path, one(), simulated=True)
    with fits.open(path, checksum=True) as file:
        file.verify("exception")
        assert [hdu.verify_checksum() for hdu in file] == [1, 1, 1]
        assert [hdu.verify_datasum() for hdu in file] == [1, 1, 1]
        assert file[0].data is None
        assert file[0].header["TELESCOP"] == "SVOM"
        assert file[0].header["SIMULATD"] is True
        assert file[0].header["ONTIME"] == 20.48
        assert (file["SNR"].header["BITPIX"], file["MASK"].header["BITPIX"]) == (-32, 8)
        np.testing.assert_array_equal(file["SNR"].data, one().snr)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
@pytest.mark.parametrize("codes", ["i1", "u1", ">i2", "i4", "u8"])
def test_foreign_hdf5_numbers(tmp_path, dtype, codes):
    snr, mask = plain_arrays(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["snr"] = snr.astype(dtype)
        file["mask"] = mask.astype(codes)
    triggers = read_triggers(tmp_path / "a.h5")
    np.testing.assert_array_equal(triggers.snr, snr.astype(dtype).astype("f4"))
    np.testing.assert_array_equal(triggers.mask, mask)
    assert triggers.simulated  # not stated
    assert triggers.catalogue_id.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("filters", [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"},
                                     {"fletcher32": True}, {"scaleoffset": None}])  # fmt: skip
def test_foreign_hdf5_filters(tmp_path, filters):
    snr, mask = plain_arrays(5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("snr", data=snr, chunks=(2, 56, 56), **filters)
        file.create_dataset("mask", data=mask, chunks=(2, 28, 56), maxshape=(None, 56, 56), **filters)
    np.testing.assert_array_equal(read_triggers(tmp_path / "a.h5").snr, snr)


@pytest.mark.parametrize("as_text", [
    lambda v: np.array(v, dtype="S9"),
    lambda v: np.array([t.encode().ljust(20) for t in v], dtype="S20"),
    lambda v: np.array(v, dtype=object),
])  # fmt: skip
def test_foreign_hdf5_columns(tmp_path, as_text):
    snr, mask = plain_arrays(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["snr"], file["mask"] = snr, mask
        file["cause"] = as_text(["grb", "saa", ""])
        file["trigger"] = as_text(["CRT", "IMT", ""])
        file["label"] = np.array([1.0, 0.0, -1.0])
        file["sequence"] = np.array([7, 7, 9], dtype="u8")
        file["window_s"] = np.array([1, 2, 3])
        file["something/else"] = "left alone"
        file.attrs["format"] = "of somebody else"
        file.attrs["version"] = 9
        file.attrs["provenance"] = "not JSON"
    triggers = read_triggers(tmp_path / "a.h5")
    assert triggers.cause.tolist() == ["grb", "saa", ""]
    assert triggers.label.tolist() == [1, 0, -1]
    assert triggers.sequence.tolist() == [7, 7, 9]
    assert triggers.columns["window_s"].tolist() == [1, 2, 3]


def _foreign_fits(path, hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def test_foreign_fits_found_by_name_in_any_order(tmp_path):
    subimage = one()
    other = fits.ImageHDU(np.zeros((56, 56), "f4"), name="FLUX")
    mask = fits.ImageHDU(subimage.mask.astype("f8"), name="mask")
    snr = fits.ImageHDU(subimage.snr.astype("f8"), name="Snr")
    again = read_fits(_foreign_fits(tmp_path / "a.fits", [other, mask, snr]))
    np.testing.assert_array_equal(again.snr, subimage.snr)
    np.testing.assert_array_equal(again.mask, subimage.mask)


def test_foreign_fits_without_names_takes_the_first_two_of_the_size(tmp_path):
    subimage = one()
    hdus = [fits.ImageHDU(np.zeros((80, 80))), fits.ImageHDU(subimage.snr), fits.ImageHDU(subimage.mask.astype("i2"))]
    np.testing.assert_array_equal(read_fits(_foreign_fits(tmp_path / "a.fits", hdus)).mask, subimage.mask)


def test_foreign_fits_scaled_with_blank(tmp_path):
    subimage = plain_set(2)[1]
    blank = -32768
    scaled = np.where(np.isnan(subimage.snr), blank, np.rint(np.nan_to_num(subimage.snr) * 1000)).astype("i2")
    snr = fits.ImageHDU(scaled, name="SNR")
    snr.header["BSCALE"], snr.header["BLANK"] = 0.001, blank
    # astropy would rescale an array it is given with BSCALE; written raw, the numbers stay as they are.
    snr._bscale, snr._orig_bscale = 1, 1
    path = _foreign_fits(tmp_path / "a.fits", [snr, fits.ImageHDU(subimage.mask, name="MASK")])
    with fits.open(path) as file:
        expected = file["SNR"].data
    again = read_fits(path)
    np.testing.assert_array_equal(again.snr, expected.astype("f4"))
    np.testing.assert_allclose(again.snr, subimage.snr, atol=0.0006)  # half a step of 0.001, and float32


def test_foreign_fits_compressed_and_zipped(tmp_path):
    subimage = one()
    hdus = [fits.CompImageHDU(subimage.snr, name="SNR", compression_type="GZIP_1", quantize_level=0.0),
            fits.CompImageHDU(subimage.mask, name="MASK")]  # fmt: skip
    path = _foreign_fits(tmp_path / "a.fits", hdus)
    np.testing.assert_array_equal(read_fits(path).snr, subimage.snr)
    zipped = tmp_path / "a.dat"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_triggers(zipped).mask[0], subimage.mask)


def test_content_decides_not_the_suffix(tmp_path):
    write_triggers_hdf5(tmp_path / "set.fits", plain_set())
    write_fits(tmp_path / "one.h5", one(), simulated=False)
    assert len(read_triggers(tmp_path / "set.fits")) == 3
    assert len(read_triggers(tmp_path / "one.h5")) == 1


def test_folder_round_trip_and_replacement(tmp_path):
    triggers = plain_set(5)
    write_triggers(tmp_path / "set", triggers)
    assert_same(triggers, read_triggers(tmp_path / "set"))
    write_folder(tmp_path / "set", plain_set(2))
    assert len(read_folder(tmp_path / "set")) == 2
    assert sorted(os.listdir(tmp_path)) == ["set"]


@pytest.mark.parametrize(
    ("words", "labels"), [(["true", "False", " unclear "], [1, 0, -1]), (["1", "0", "-1"], [1, 0, -1])]
)
def test_labels_csv_in_both_spellings(tmp_path, words, labels):
    for i in range(3):
        write_fits(tmp_path / f"{i}.fits", one(i), simulated=i == 1)
    rows = "".join(f"{i}.fits,{word},\r\n" for i, word in enumerate(words))
    (tmp_path / "labels.csv").write_text("\ufefffile,label,cause\r\n" + rows)
    triggers = read_folder(tmp_path)
    assert triggers.label.tolist() == labels
    assert triggers.simulated
    assert triggers.cause.tolist() == ["grb"] * 3  # what the files say where the table is silent


def test_a_folder_of_unlabelled_alerts_is_ready_to_be_labelled(tmp_path):
    triggers = TriggerSet(*plain_arrays(2))
    write_folder(tmp_path / "set", triggers)
    assert (tmp_path / "set" / "labels.csv").read_text().splitlines()[1] == "alert-000000.fits,unclear,"
    assert read_folder(tmp_path / "set").label.tolist() == [-1, -1]


def test_alerts_without_a_sequence_become_events_of_their_own(tmp_path):
    for i, sequence in enumerate((4, None, 4, None)):
        meta = {} if sequence is None else {"sequence": sequence}
        write_triggers(tmp_path / f"{i}.fits", TriggerSet.of([type(one())(*_planes(i), -1, meta)], simulated=True))
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{i}.fits,1\n" for i in range(4)))
    found = read_folder(tmp_path).sequence.tolist()
    assert found[0] == found[2] == 4
    assert len(set(found)) == 3


def _planes(seed):
    subimage = one(seed)
    return subimage.snr, subimage.mask


def _write_and_fail(path):
    path.write_text("half")
    raise KeyError


def test_atomic_output_replaces_only_when_all_went_well(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(KeyError), atomic_output(path) as beside:
        _write_and_fail(beside)
    assert path.read_text() == "before"
    with atomic_output(path) as beside:
        assert beside.suffix == ".txt"
        beside.write_text("after")
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_folder_replaces_only_its_own(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="not empty"), atomic_folder(path, marker="manifest.json"):
        pytest.fail("the block must not run")
    (path / "manifest.json").write_text("{}")
    with pytest.raises(BadInput, match=r"holds 'thesis\.txt'"), atomic_folder(path, marker="manifest.json"):
        pytest.fail("the block must not run")
    (path / "thesis.txt").rename(path / "c")
    (path / "deep").mkdir()
    (path / "deep" / "c").symlink_to(tmp_path)
    ours = {"c", "deep/c"}
    with pytest.raises(BadInput, match="holds 'deep/c'"), atomic_folder(path, marker="manifest.json", ours="c".__eq__):
        pytest.fail("the block must not run")
    with pytest.raises(KeyError), atomic_folder(path, marker="manifest.json", ours=ours.__contains__) as beside:
        _write_and_fail(beside / "half")
    assert (path / "c").exists()
    with atomic_folder(path, marker="manifest.json", ours=ours.__contains__) as beside:
        (beside / "new").write_text("")
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["out"]
    with pytest.raises(BadInput, match="root of all folders"), atomic_folder("/"):
        pytest.fail("the block must not run")


def test_a_folder_of_alerts_with_other_peoples_files_is_not_replaced(tmp_path):
    write_folder(tmp_path / "set", plain_set(2))
    write_fits(tmp_path / "set" / "mine.fits", one(), simulated=False)
    with pytest.raises(BadInput, match=r"holds 'mine\.fits'"):
        write_folder(tmp_path / "set", plain_set(1))
    assert len(os.listdir(tmp_path / "set")) == 5


def test_a_package_is_replaced_unless_it_holds_more_than_its_manifest_lists(tmp_path):
    model = open_model("default")
    package = write_package(model, tmp_path / "flight", run={})
    write_package(model, package, run={})
    (package / "golden" / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"holds 'golden/notes\.txt'"):
        write_package(model, package, run={})
    foreign = tmp_path / "extension"
    foreign.mkdir()
    (foreign / "manifest.json").write_text('{"files": {"page.js": {}}}')
    (foreign / "page.js").write_text("theirs")
    for left in (2, 1):
        with pytest.raises(BadInput, match="not empty"):
            write_package(model, foreign, run={})
        assert len(os.listdir(foreign)) == left
        (foreign / "page.js").unlink(missing_ok=True)


@pytest.mark.parametrize("stated", [None, True, False])
def test_only_files_that_say_so_are_real(tmp_path, stated):
    snr, mask = plain_arrays(1)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["snr"], file["mask"] = snr, mask
        if stated is not None:
            file.attrs["simulated"] = stated
    write_fits(tmp_path / "a.fits", one(), simulated=bool(stated))
    if stated is None:
        with fits.open(tmp_path / "a.fits", mode="update") as file:
            del file[0].header["SIMULATD"]
    for name in ("a.h5", "a.fits"):
        assert read_triggers(tmp_path / name).simulated is (stated is not False)
    assert TriggerSet(snr, mask).simulated


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_provenance_holds_only_numbers_that_json_has(tmp_path, number):
    write_triggers(tmp_path / "a.h5", plain_set(1))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["provenance"] = f'{{"days": {number}}}'
    with pytest.raises(BadInput, match="provenance is not valid JSON"):
        read_triggers(tmp_path / "a.h5")


def test_describe_counts_what_is_there(tmp_path):
    snr, mask = plain_arrays(6)
    mask[5, 28, 28] = 1
    triggers = TriggerSet(snr, mask, plain_set(6).columns, simulated=True)
    found = describe(triggers)
    assert found["n"] == 6
    assert found["labels"] == {"true": 2, "false": 2, "unclear": 2}
    assert found["rejected"] == {"n": 1, "reasons": {"no_trigger_pixel": 1}}
    assert found["windows_s"] == {"20.48": 6}
    assert found["sequences"] == {"known": True, "n": 3, "longest": 2}
    assert found["partial"]["n"] == 3  # of the five that are not rejected, those with i % 4 != 0
    assert found["contradictions"] == 2  # alert 1, a false unknown_source, and alert 5, a true residual
    alone = describe(triggers[1])
    assert alone["peak"] == {"row": 28, "column": 28, "snr": 9.0}
    assert alone["known_sources"] == [[40, 10]]
    assert alone["meta"]["cause"] == "unknown_source"
    assert describe(triggers.select(np.zeros(0, dtype=int)))["snr"] is None
