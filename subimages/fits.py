"""One sub-image in FITS: an empty primary HDU with the metadata, then the images ``SNR`` and ``MASK``.

Keywords follow the FITS standard, the products of the French Science Centre and batcelldetect where these have
one; no product card for sub-images has been published. A *keyword that is not there is not known*:

==========  ==============================================================================
TELESCOP    ``SVOM``
INSTRUME    ``ECLAIRs``
ORIGIN      ``slewguard``
CREATOR     slewguard and its version
SIMULATD    T if a simulator made the sub-image; so it is taken to be unless this is F
PROVID      identifier of the provenance record
CATNUM      onboard catalogue number of a source at the trigger (as in batcelldetect), -1 for none
ONTIME      length of the window in seconds; EXPOSURE is the same until dead time is known
E_MIN       lower edge of the band in keV
E_MAX       upper edge of the band in keV
TRIGTYPE    ``CRT`` or ``IMT``
PEAKSNR     SNR of the peak in sigma
PEAKSNR2    SNR of the second peak in sigma
SKY_Y       sky-map position along y in pixels
SKY_Z       sky-map position along z in pixels
RA_PEAK     right ascension of the peak in degrees, ICRS
DEC_PEAK    declination of the peak in degrees, ICRS
R90         radius of the 90 % error circle in arcmin, without the systematic part
MAPSTD      standard deviation of the SNR map in sigma
SLEWREQ     1 where a slew is asked for, else 0
SEQUENCE    number of the event
LABEL       1 true, 0 false, -1 unclear
CAUSE       why the alert arose
==========  ==============================================================================

A world coordinate system needs the attitude of the satellite, which a sub-image does not carry; so none is
written.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.columns import as_column
from slewguard.subimages.contract import COLUMNS, SHAPE, SubImage
from slewguard.subimages.errors import BadInput
from slewguard.subimages.hdf5 import to_codes, to_float32
from slewguard.subimages.paths import read_bytes, reason

KEYWORDS: Mapping[str, tuple[str, str]] = {
    "catalogue_id": ("CATNUM", "onboard catalogue number, -1 for none"),
    "window_s": ("ONTIME", "[s] length of the window"),
    "band_lo_kev": ("E_MIN", "[keV] lower edge of the band"),
    "band_hi_kev": ("E_MAX", "[keV] upper edge of the band"),
    "trigger": ("TRIGTYPE", "CRT count rate or IMT image trigger"),
    "peak_snr": ("PEAKSNR", "[sigma] SNR of the peak"),
    "second_peak": ("PEAKSNR2", "[sigma] SNR of the second peak"),
    "sky_y": ("SKY_Y", "[pix] sky-map position along y"),
    "sky_z": ("SKY_Z", "[pix] sky-map position along z"),
    "ra_deg": ("RA_PEAK", "[deg] right ascension of the peak, ICRS"),
    "dec_deg": ("DEC_PEAK", "[deg] declination of the peak, ICRS"),
    "r90_arcmin": ("R90", "[arcmin] radius of the 90 % error circle"),
    "map_std": ("MAPSTD", "[sigma] standard deviation of the SNR map"),
    "slew": ("SLEWREQ", "1 where a slew is asked for, else 0"),
    "sequence": ("SEQUENCE", "number of the event"),
    "label": ("LABEL", "1 true, 0 false, -1 unclear"),
    "cause": ("CAUSE", "why the alert arose"),
}
"""Keyword and comment of each column that is kept; mission time means nothing outside its time line."""

GZIP_MAGIC = b"\x1f\x8b"
FITS_MAGIC = b"SIMPLE  ="

_LIMIT = 64 * 2**20
_BLOCK = 2880  # FITS files are made of blocks of this many bytes
_MAX_HDUS = 64
_MAX_HEADERS = 360 * _BLOCK  # astropy takes half a second for so many cards
_MAX_SIZE = 2**31 - 1
_AXIS = re.compile(r"Z?NAXIS[0-9]+|ZTILE[0-9]+")


@dataclass(frozen=True, eq=False)
class Planes:
    """What a FITS file holds, before the contract is asked.

    Parameters
    ----------
    snr : float32 array [56, 56]
    mask : uint8 array [56, 56]
        Codes; 255 for what is none.
    columns : mapping
        Scalars under the names of :data:`~slewguard.subimages.COLUMNS`.
    simulated : bool
    provenance_id : str
        Empty where not known.
    """

    snr: NDArray[np.float32]
    mask: NDArray[np.uint8]
    columns: Mapping[str, Any]
    simulated: bool
    provenance_id: str


def read_fits(path: str | Path) -> SubImage:
    """Read one sub-image.

    The images are found by their names ``SNR`` and ``MASK``, in any order and case; in files that name neither,
    the first 56x56 image is the SNR (in sigma) and the second the mask. Every BITPIX, scaling and tile
    compression that astropy knows is read, and gzipped files.

    Raises
    ------
    BadInput
        If the file cannot be used (not FITS, truncated, of another shape, a wrong checksum, no mask).
    RejectedSubImage
        If the sub-image breaks the contract.
    """
    planes = read_planes(path)
    try:
        catalogue_id = int(planes.columns.get("catalogue_id", -1))
        return SubImage(planes.snr, planes.mask, catalogue_id, planes.columns)
    except BadInput as error:
        raise error.within(path) from None


def read_planes(path: str | Path) -> Planes:
    """Read the images and keywords of one file without asking whether they keep the contract.

    Raises
    ------
    BadInput
        If the file cannot be used.
    """
    content = _unpacked(read_bytes(path, _LIMIT), path)
    if not content.startswith(FITS_MAGIC):
        raise BadInput("not a FITS file", path)
    try:
        # Warnings are for those who write FITS files; the two that tell of damage are faults here.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            planes = _parse(content)
        for warning in caught:
            said = str(warning.message)
            if "verification failed" in said:
                raise BadInput(f"wrong checksum, the file is damaged ({' '.join(said.split())})")
            if "truncated" in said:
                raise BadInput("FITS file is truncated")
    except BadInput as error:
        raise error.within(path) from error.__cause__
    except Exception as error:
        # astropy meets damaged headers with many kinds of error; each means the same to a person.
        raise BadInput(f"FITS file is {_damage(content, error)}", path) from error
    return planes


def write_fits(path: str | Path, subimage: SubImage, *, simulated: bool, provenance_id: str | None = None) -> None:
    """Write one sub-image with CHECKSUM and DATASUM; the same sub-image gives the same bytes.

    Parameters
    ----------
    path : path-like
        Where to write, whatever the suffix.
    subimage : SubImage
        Numbers of its ``meta`` that are not finite are left out, since no keyword can hold them.
    simulated : bool
        Whether a simulator made it (``SIMULATD``).
    provenance_id : str, optional
        Identifier of the provenance record (``PROVID``), printable ASCII.

    Raises
    ------
    BadInput
        If a value has no place in its keyword, or the file cannot be written.
    """
    from astropy.io import fits

    header = fits.Header()
    header["TELESCOP"] = ("SVOM", "mission")
    header["INSTRUME"] = ("ECLAIRs", "instrument")
    header["ORIGIN"] = ("slewguard", "who made this file")
    header["CREATOR"] = (f"slewguard {metadata.version('slewguard')}", "software")
    header["SIMULATD"] = (bool(simulated), "T: made by a simulator, not mission data")
    if provenance_id is not None:
        if len(provenance_id) > 64 or not (provenance_id.isascii() and provenance_id.isprintable()):
            raise BadInput(f"provenance_id {provenance_id[:40]!r} is not short printable ASCII", path)
        header["PROVID"] = (provenance_id, "provenance record")
    try:
        for name, value in _scalars({**subimage.meta, "catalogue_id": subimage.catalogue_id}).items():
            keyword, comment = KEYWORDS[name]
            header[keyword] = (value, comment)
            if name == "window_s":
                header["EXPOSURE"] = (value, "[s] as ONTIME, no dead time known")
    except BadInput as error:
        raise error.within(path) from None
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(header=header),
            fits.ImageHDU(np.array(subimage.snr), name="SNR"),
            fits.ImageHDU(np.array(subimage.mask), name="MASK"),
        ]
    )
    hdus[1].header["BUNIT"] = ("sigma", "signal-to-noise ratio")
    hdus[2].header["COMMENT"] = "0 no data, 1 background, 2 known source, 3 the pixel that triggered"
    hdus.update_extend()  # or else writing would add EXTEND after the checksum
    for hdu in hdus:
        hdu.add_checksum(when="of this HDU")  # in place of the time of writing
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    with atomic_output(path) as beside:
        beside.write_bytes(buffer.getvalue())


def _scalars(meta: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return the known columns as values of keywords."""
    found: dict[str, bool | int | float | str] = {}
    for name, kind in COLUMNS.items():
        if name not in meta or name not in KEYWORDS:
            continue
        value = as_column(name, np.asarray(meta[name]).reshape(1))[0]
        if kind.kind == "S":
            if value:
                found[name] = value.decode("ascii")
        elif kind.kind == "i":
            found[name] = int(value)
        elif np.isfinite(value):
            found[name] = float(str(value))  # the shortest number that gives the same float32
    return found


def _unpacked(content: bytes, path: str | Path) -> bytes:
    if not content.startswith(GZIP_MAGIC):
        return content
    unzip = zlib.decompressobj(wbits=31)
    try:
        content = unzip.decompress(content, _LIMIT)
    except zlib.error as error:
        raise BadInput(f"gzipped file is damaged ({reason(error)})", path) from None
    if not unzip.eof:
        raise BadInput("gzipped file is truncated, or unpacks to more than a sub-image needs", path)
    return content


def _check_structure(content: bytes) -> None:
    """Refuse headers whose counts would lead astropy (seen with 7.2.3) round in a circle, or on for hours.

    It counts up to whatever NAXIS or TFIELDS says, follows a negative size back to the same HDU, and takes its time
    for every card, of which a small gzipped file can hold millions. The FITS standard (version 4.0, sections 4.4.1
    and 7.3.1) has NAXIS and TFIELDS within 0..999, and no size negative.
    """
    from astropy.io.fits import Header

    at, room = 0, _MAX_HEADERS
    for _ in range(_MAX_HDUS):
        if at >= len(content):
            return
        source = io.BytesIO(content[at : at + room])
        try:
            header = Header.fromfile(source)
        except (EOFError, OSError, ValueError) as error:
            if at + room < len(content):
                raise BadInput(f"headers are longer than {_MAX_HEADERS // 80} cards") from error
            return  # padding, or damage: astropy stops here too, and tells which
        for keyword in dict.fromkeys(header):
            if keyword in ("NAXIS", "TFIELDS", "ZNAXIS"):
                most = 999
            elif keyword in ("PCOUNT", "GCOUNT", "THEAP") or _AXIS.fullmatch(keyword):
                most = _MAX_SIZE
            else:
                continue
            value = header[keyword]
            if type(value) is not int or not 0 <= value <= most:
                raise BadInput(f"keyword {keyword} is {value!r:.40}, no count from 0 to {most}")
        room -= source.tell()
        at += source.tell() + header.data_size_padded
    if at < len(content):
        raise BadInput(f"holds more than {_MAX_HDUS} HDUs")


def _parse(content: bytes) -> Planes:
    from astropy.io import fits

    _check_structure(content)
    # From memory: given a name, astropy would also fetch addresses and unpack archives without a limit.
    with fits.open(io.BytesIO(content), checksum=True, lazy_load_hdus=True) as file:
        images = list(_images(file))
        snr, mask = _choose(images)
        columns = {}
        headers = [file[0].header, snr.header]
        for name, (keyword, _) in KEYWORDS.items():
            value = _keyword(headers, keyword)
            if name == "window_s" and value is None:
                value = _keyword(headers, "EXPOSURE")
            if value is not None:
                columns[name] = _as_scalar(name, keyword, value)
        return Planes(
            to_float32(_numbers(snr)),
            to_codes(_numbers(mask)),
            columns,
            _keyword(headers, "SIMULATD") not in (False, "F"),
            str(_keyword(headers, "PROVID") or ""),
        )


def _damage(content: bytes, error: Exception) -> str:
    cut = len(content) % _BLOCK != 0 or "buffer is too small" in str(error)
    return "truncated" if cut else f"damaged ({reason(error)})"


def _images(file: Any) -> Iterator[Any]:
    for i in range(_MAX_HDUS):
        try:
            hdu = file[i]
        except IndexError:
            return
        if hdu.is_image and len(hdu.shape) > 0:
            yield hdu


def _choose(images: list[Any]) -> tuple[Any, Any]:
    """Return the HDUs of SNR and mask, of the right shape; pixels are not touched before that is known."""
    named = {hdu.name.strip().upper(): hdu for hdu in reversed(images)}
    snr, mask = named.get("SNR"), named.get("MASK")
    if snr is None and mask is None:
        fitting = [hdu for hdu in images if hdu.shape == SHAPE]
        if not fitting:
            shapes = ", ".join(str(hdu.shape) for hdu in images) or "none"
            raise BadInput(f"holds no image of {SHAPE[0]}x{SHAPE[1]} (images: {shapes:.80})")
        snr, mask = fitting[0], fitting[1] if len(fitting) > 1 else None
    if snr is None or mask is None:
        raise BadInput(f"holds no {'SNR' if snr is None else 'MASK'} image")
    for name, hdu in (("SNR", snr), ("MASK", mask)):
        if hdu.shape != SHAPE:
            raise BadInput(f"{name} image has shape {hdu.shape}, expected {SHAPE}")
    return snr, mask


def _numbers(hdu: Any) -> NDArray[Any]:
    data = np.asarray(hdu.data)
    if data.shape != SHAPE or data.dtype.kind not in "iuf":
        raise BadInput(f"image {hdu.name or '(without a name)'} holds no 56x56 numbers")
    return data


def _keyword(headers: list[Any], keyword: str) -> Any | None:
    """Return a keyword's value, None where it is not known; a blank one is not."""
    from astropy.io.fits.card import Undefined

    for header in headers:
        value = header.get(keyword)
        if value is not None and not isinstance(value, Undefined):
            return value
    return None


def _as_scalar(name: str, keyword: str, value: Any) -> Any:
    try:
        if isinstance(value, (bool, int, float, str)):
            return as_column(name, np.array([value]))[0]
    except (BadInput, OverflowError):
        pass
    raise BadInput(f"keyword {keyword} is {value!r:.40}, which is no {name}")
