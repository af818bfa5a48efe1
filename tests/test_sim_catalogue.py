"""The catalogue: the file that ships against known places, the reader against bad files, fields and fluxes."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slewguard.sim.catalogue import (
    COLUMNS,
    KINDS,
    FieldSources,
    SourceTable,
    atom_fluxes,
    catalogue,
    draw_fluxes,
    read_catalogue,
    sources_in_field,
)
from slewguard.sim.config import Instrument
from slewguard.sim.pointing import pointing_slot, to_world
from slewguard.sim.settings_orbit import Catalogue, Orbit, Plan
from slewguard.subimages import BadInput

DEFAULT = catalogue(Catalogue())
GOOD = {
    "number": "7",
    "name": "Test X-1",
    "ra_deg": "10.5",
    "dec_deg": "-20.25",
    "soft_crab": "0.5",
    "hard_crab": "0.1",
    "variability_dex": "0.2",
    "outburst_share": "0.1",
    "outburst_crab": "2",
    "kind": "lmxb",
    "marks": "prr-",
}
# J2000 places from the SIMBAD database, as printed in the literature.
PLACES = {
    "Sco X-1": "16 19 55.07 -15 38 24.8",
    "Cyg X-1": "19 58 21.68 +35 12 05.8",
    "Vela X-1": "09 02 06.86 -40 33 16.9",
    "Crab": "05 34 31.94 +22 00 52.2",
    "GRS 1915+105": "19 15 11.55 +10 56 44.8",
    "Her X-1": "16 57 49.83 +35 20 32.6",
}


def write(path: Path, *rows: dict[str, str], header: str = ",".join(COLUMNS)) -> Path:
    path.write_text("# a comment\n" + "\n".join([header, *(",".join(row.values()) for row in rows)]) + "\n")
    return path


def test_shipped_catalogue_holds_what_it_should() -> None:
    assert 80 <= len(DEFAULT) <= 130
    assert len(set(DEFAULT.number.tolist())) == len(set(DEFAULT.name)) == len(DEFAULT)
    assert DEFAULT.name[DEFAULT.number.tolist().index(81)] == "GX 340-00"
    assert set(DEFAULT.kind) <= set(KINDS)
    for name, place in PLACES.items():
        k = DEFAULT.name.index(name)
        listed = SkyCoord(DEFAULT.ra_deg[k], DEFAULT.dec_deg[k], unit="deg")
        assert listed.separation(SkyCoord(place, unit=("hourangle", "deg"))).arcmin < 1.0


def test_number_81_lies_where_the_notices_saw_it() -> None:
    k = DEFAULT.number.tolist().index(81)
    here = SkyCoord(DEFAULT.ra_deg[k], DEFAULT.dec_deg[k], unit="deg")
    seen = SkyCoord([256.5632, 256.5645], [-43.0365, -43.0392], unit="deg")
    assert (here.separation(seen).deg < [0.0778, 0.0613]).all()


def test_binaries_lie_in_the_galaxy_and_no_two_sources_coincide() -> None:
    where = SkyCoord(DEFAULT.ra_deg, DEFAULT.dec_deg, unit="deg")
    binary = np.isin(DEFAULT.kind, ["lmxb", "hmxb"])
    near_plane = np.abs(where.galactic.b.deg) < 15
    assert near_plane[binary].mean() > 0.85
    _, nearest, _ = where.match_to_catalog_sky(where, nthneighbor=2)
    # The closest listed pair are the Galactic-centre sources.
    assert nearest.arcmin.min() > 20.0


def test_brightest_steady_sources_come_in_the_known_order() -> None:
    steady = DEFAULT.flux_crab[:, 0] * (DEFAULT.outburst_share == 0)
    order = [DEFAULT.name[k] for k in np.argsort(-steady)]
    assert order[:3] == ["Sco X-1", "GX 5-1", "Crab"]
    hard = [DEFAULT.name[k] for k in np.argsort(-DEFAULT.flux_crab[:, 1])]
    assert hard[:3] == ["Sco X-1", "Crab", "Cyg X-1"]
    assert DEFAULT.flux_crab[DEFAULT.name.index("Crab")].tolist() == [1.0, 1.0]


def test_good_row_is_read_as_written(tmp_path: Path) -> None:
    table = read_catalogue(write(tmp_path / "c.csv", GOOD, {**GOOD, "number": "3", "name": "B"}))
    assert table.number.tolist() == [7, 3]
    assert table.name == ("Test X-1", "B")
    assert table.flux_crab[0].tolist() == [0.5, 0.1]
    assert table.direction.shape == (2, 3)
    assert not table.flux_crab.flags.writeable


def test_configured_path_is_read(tmp_path: Path) -> None:
    assert len(catalogue(Catalogue(path=str(write(tmp_path / "mine.csv", GOOD))))) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"number": "0"}, "number must be"),
        ({"number": "1.5"}, "number must be"),
        ({"ra_deg": "361"}, "ra_deg must lie between 0 and 360"),
        ({"dec_deg": "-90.1"}, "dec_deg must lie"),
        ({"dec_deg": "nan"}, "dec_deg must lie"),
        ({"soft_crab": "-0.1"}, "soft_crab must lie"),
        ({"hard_crab": "inf"}, "hard_crab must lie"),
        ({"hard_crab": "bright"}, "hard_crab must be a number"),
        ({"outburst_share": "1.2"}, "outburst_share must lie"),
        ({"outburst_crab": "0.1"}, "needs 0 < soft_crab <= outburst_crab"),
        ({"kind": "pulsar"}, "kind must be one of"),
        ({"marks": "ppp"}, "marks must be four"),
        ({"name": ""}, "name must have"),
        ({"name": "a,b"}, "12 fields where 11 are needed"),
        ({"name": '"a'}, "line 4"),
    ],
)
def test_bad_row_is_named_with_file_and_line(tmp_path: Path, changes: dict[str, str], fault: str) -> None:
    path = write(tmp_path / "bad.csv", {**GOOD, "number": "1"}, {**GOOD, **changes})
    with pytest.raises(BadInput, match=fault) as error:
        read_catalogue(path)
    assert "bad.csv" in str(error.value)
    assert "line 4" in str(error.value)
    assert "\n" not in str(error.value)


def test_number_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 4: number 7 was given before"):
        read_catalogue(write(tmp_path / "c.csv", GOOD, {**GOOD, "number": "07"}))


@pytest.mark.parametrize("header", [",".join((*COLUMNS, "redshift")), ",".join(COLUMNS[:-1]), "hello"])
def test_unknown_columns_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(BadInput, match="line 2: the columns must be"):
        read_catalogue(write(tmp_path / "c.csv", GOOD, header=header))


def test_missing_empty_binary_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_catalogue(tmp_path / "absent.csv")
    with pytest.raises(BadInput, match="cannot be read"):
        read_catalogue(tmp_path)
    with pytest.raises(BadInput, match="holds no source"):
        read_catalogue(write(tmp_path / "empty.csv"))
    (tmp_path / "binary.csv").write_bytes(b"#\n\xff\xfe")
    with pytest.raises(BadInput, match="line 2: is not ASCII"):
        read_catalogue(tmp_path / "binary.csv")
    (tmp_path / "huge.csv").write_bytes(b"#" * 5_000_000)
    with pytest.raises(BadInput, match="is larger than"):
        read_catalogue(tmp_path / "huge.csv")


LINES = st.lists(
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=60),
        st.lists(st.sampled_from([*GOOD.values(), "-1", "nan", "1e999", '"', "", "0x1"]), max_size=13).map(",".join),
        st.fixed_dictionaries({column: st.just(value) for column, value in GOOD.items()}).map(
            lambda row: ",".join(row.values())
        ),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.booleans())
def test_any_text_is_a_catalogue_or_bad_input(tmp_path: Path, lines: list[str], header: bool) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes("\n".join([",".join(COLUMNS)] * header + lines).encode())
    fault: BadInput | None = None
    try:
        table = read_catalogue(path)
    except BadInput as error:
        fault = error
    if fault is not None:
        assert fault.path == path
        assert "\n" not in str(fault)
        return
    assert len(table) > 0
    assert np.isfinite(table.flux_crab).all()
    assert (table.flux_crab >= 0).all()
    assert np.linalg.norm(table.direction, axis=1) == pytest.approx(1.0)


def field_of(slot: int, margin_px: float = 0.0) -> tuple[FieldSources, np.ndarray]:
    pointing = pointing_slot(Orbit(), Plan(), 1, slot)
    return sources_in_field(DEFAULT, pointing, Instrument(), margin_px), pointing.attitude


@pytest.mark.parametrize("slot", range(6))
def test_field_holds_the_sources_that_astropy_projects_there(slot: int) -> None:
    found, attitude = field_of(slot)
    axis = SkyCoord(*(float(v) for v in to_world(attitude, 99.0, 99.0, Instrument())), unit="deg")
    apart = SkyCoord(DEFAULT.ra_deg, DEFAULT.dec_deg, unit="deg").separation(axis).deg
    inside = set(found.row.tolist())
    # Half sides 44.2 degrees, corners 53.9: surely in below the one, surely out above the other.
    assert set(np.flatnonzero(apart < 44.0).tolist()) <= inside
    assert not inside & set(np.flatnonzero(apart > 54.2).tolist())
    back = SkyCoord(*to_world(attitude, found.y, found.z, Instrument()), unit="deg")
    listed = SkyCoord(DEFAULT.ra_deg[found.row], DEFAULT.dec_deg[found.row], unit="deg")
    assert (back.separation(listed).arcsec < 0.01).all()
    assert (found.number == DEFAULT.number[found.row]).all()


def test_margin_adds_sources_outside_the_edge_only() -> None:
    inner, _ = field_of(0)
    wide, _ = field_of(0, 60.0)
    assert set(inner.row.tolist()) < set(wide.row.tolist())
    added = ~np.isin(wide.row, inner.row)
    assert (np.maximum(np.abs(wide.y - 99), np.abs(wide.z - 99))[added] >= 99.5).all()


def one_source(**changes: float) -> SourceTable:
    values = {"variability_dex": 0.0, "outburst_share": 0.0, "outburst_crab": 0.0, **changes}
    n = 20_000
    return SourceTable(
        np.arange(n),
        ("x",) * n,
        np.zeros(n),
        np.zeros(n),
        np.tile([0.1, 0.02], (n, 1)),
        *(np.full(n, values[name]) for name in ("variability_dex", "outburst_share", "outburst_crab")),
        ("lmxb",) * n,
        np.zeros((n, 3)),
    )


def test_fluxes_scatter_log_normally_about_the_catalogue() -> None:
    fluxes = draw_fluxes(np.random.default_rng(1), one_source(variability_dex=0.3), Catalogue())
    log = np.log10(fluxes[:, 0] / 0.1)
    # Standard errors at n = 20,000: 0.0021 and 0.0015.
    assert log.mean() == pytest.approx(0.0, abs=0.01)
    assert log.std() == pytest.approx(0.3, abs=0.007)
    assert fluxes[:, 1] / fluxes[:, 0] == pytest.approx(0.2)


def test_the_factor_switches_variability_off_and_keeps_the_random_numbers() -> None:
    after = []
    for chosen in (Catalogue(), Catalogue(variability=0.0)):
        rng = np.random.default_rng(5)
        fluxes = draw_fluxes(rng, DEFAULT, chosen)
        assert (fluxes == DEFAULT.flux_crab).all() == (chosen.variability == 0.0)
        after.append(rng.random())
    assert after[0] == after[1]


def test_atoms_take_the_soft_flux_below_20_kev_and_the_hard_one_above() -> None:
    atoms = atom_fluxes(np.array([[1.0, 0.2]]), (5.0, 8.0, 20.0, 50.0, 120.0))
    assert atoms.tolist() == [[1.0, 1.0, 0.2, 0.2]]
    assert atom_fluxes(np.array([[1.0, 0.0]]), (10.0, 40.0))[0, 0] == pytest.approx(0.5)
