"""Multipliers from files, and into them: every file that is none is refused in one line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from frugalnas.core import InputError
from frugalnas.multipliers import Multiplier, library
from frugalnas.multipliers.synthesis import synthesised, synthesised_power_mw


def binary(path, name, dtype):
    library.find(name).table.astype(dtype).tofile(path)
    return path


@pytest.mark.parametrize(("name", "dtype"), [("8u-2-0-5", "<u2"), ("8s-2-0-5", "<i2"), ("8x4u-1-0-2", "<u2")])
@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_tables_are_read_as_they_are(tmp_path, name, dtype, suffix):
    known = library.find(name)
    path = tmp_path / f"table{suffix}"
    if suffix == ".bin":
        binary(path, name, dtype)
    else:
        np.save(path, known.table.astype(np.int64))
    found = Multiplier.load(path, signed=known.signed[0], power_mw=0.2, bits=known.bits)
    assert np.array_equal(found.table, known.table)
    assert found.signed == known.signed
    assert (found.name, found.power_mw, found.power_source, found.source) == (
        "table",
        0.2,
        "given",
        f"file table{suffix}",
    )
    assert found.sha256 == known.sha256
    assert found.rank == known.rank
    if known.bits == 8:
        turned = Multiplier.load(path, signed=known.signed[0], power_mw=0.2, swapped=True)
        assert np.array_equal(turned.table, known.table.T)
        assert (turned.name, turned.swapped) == ("table+swap", True)


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as refused:
        Multiplier.load(path, **{"power_mw": 0.2} | options)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_a_file_of_another_size_is_refused(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(65536))
    assert "65,536 bytes; expected 131,072" in refusal(path)
    assert "expected 8,192" in refusal(path, bits=4)
    path.write_bytes(bytes(5 << 20))
    assert "no table of products" in refusal(path)


def test_what_is_no_file_is_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "a.bin")
    folder = tmp_path / "folder.npy"
    folder.mkdir()
    assert "no such file" in refusal(folder)
    assert "expected a table of products as .bin or .npy" in refusal(tmp_path / "a.txt")
    assert "no such file" in refusal(tmp_path / ("a" * 300 + ".bin"))


def test_the_wrong_signedness_is_noticed(tmp_path):
    signed, unsigned = binary(tmp_path / "s.bin", "8s-1-0-4", "<i2"), binary(tmp_path / "u.bin", "8u-1-0-4", "<u2")
    assert "pass signed (--signed)" in refusal(signed, signed=False)
    assert "leave out signed" in refusal(unsigned, signed=True)
    np.save(tmp_path / "s.npy", library.find("8s-1-0-4").table)
    assert "pass signed (--signed)?" in refusal(tmp_path / "s.npy", signed=False)


def test_big_endian_numbers_are_noticed(tmp_path):
    assert "big-endian" in refusal(binary(tmp_path / "a.bin", "8u-0-0-0", ">u2"))
    assert "big-endian" in refusal(binary(tmp_path / "a.bin", "8s-0-0-0", ">i2"), signed=True)


@pytest.mark.parametrize("name", ["8s-6-6-0", "8s-7-7-0", "8s-0-0-12", "8s-8-0-0", "8u-6-0-0", "8u-7-7-0", "8u-8-8-0"])
def test_a_coarse_multiplier_is_not_taken_for_another_reading(tmp_path, name):
    known = library.find(name)
    path = binary(tmp_path / "a.bin", name, "<i2" if known.signed[0] else "<u2")
    assert Multiplier.load(path, signed=known.signed[0], power_mw=0).sha256 == known.sha256


def test_values_out_of_range_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, library.exact(False).table * 2)
    assert "products from 0 to 130,050; expected 0 to 65,535" in refusal(path)
    np.save(path, library.exact(False).table.astype(np.float32))
    assert "float32 of shape (256, 256); expected whole numbers" in refusal(path)
    np.save(path, library.exact(False).table[:100])
    assert "shape (100, 256)" in refusal(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not a .npy file" in refusal(path)


@pytest.mark.parametrize("power", [float("nan"), float("inf"), -0.1])
def test_power_that_is_none_is_refused(tmp_path, power):
    path = binary(tmp_path / "a.bin", "8u-0-0-0", "<u2")
    assert "expected mW, a finite number from 0" in refusal(path, power_mw=power)


def test_a_table_needs_a_power(tmp_path):
    assert "says nothing of power: pass power_mw" in refusal(
        binary(tmp_path / "a.bin", "8u-0-0-0", "<u2"), power_mw=None
    )


def test_widths_out_of_range_are_refused(tmp_path):
    assert "bits = 9: expected 2 to 8" in refusal(binary(tmp_path / "a.bin", "8u-0-0-0", "<u2"), bits=9)


@pytest.mark.parametrize("name", ["8s-2-0-5", "8s-2-0-5+swap", "8u-0-0-3+sign", "8u-3-0-3+swap+sign", "8x3u-1-0-0"])
def test_a_saved_multiplier_is_the_same(tmp_path, name):
    known, path = library.find(name), tmp_path / "m.safetensors"
    known.save(path)
    found = library.find(str(path))
    for field in (
        "name",
        "signed",
        "power_mw",
        "power_source",
        "source",
        "area_um2",
        "delay_ns",
        "swapped",
        "design",
        "circuit",
    ):
        assert getattr(found, field) == getattr(known, field)
    assert np.array_equal(found.table, known.table)
    assert found.rank == known.rank
    if known.bits == 8:
        assert library.find(f"{path}+swap").sha256 == known.swap().sha256


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "m.safetensors"
    library.find("8s-2-0-5").save(path)
    assert library.find(str(path)) is library.find(str(path))
    library.find("8u-2-0-5+sign").save(path)
    assert library.find(str(path)).name == "8u-2-0-5+sign"


def test_a_saved_multiplier_says_itself_what_it_is(tmp_path):
    path = tmp_path / "m.safetensors"
    library.find("8s-1-0-0").save(path)
    assert "says itself" in refusal(path)
    with pytest.raises(InputError, match="ends in .safetensors"):
        library.find("8s-1-0-0").save(tmp_path / "m.bin")


def changed(path, table=None, **facts):
    """The saved file with some of its facts, or its table, replaced."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    known = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["frugalnas.multiplier"])
    values = np.frombuffer(content[8 + length :], dtype=np.int32).reshape(256, -1)
    tensors = {"table": values if table is None else table}
    path.write_bytes(save(tensors, metadata={"frugalnas.multiplier": json.dumps(known | facts)}))


@pytest.mark.parametrize(
    "facts",
    [
        {"name": ""},
        {"name": "a\x1b[31m"},
        {"name": "a" * 1000},
        {"source": 3},
        {"signed": True},
        {"signed": [True]},
        {"power_mw": "0.2"},
        {"power_mw": float("nan")},
        {"power_mw": -1},
        {"power_source": "guessed"},
        {"design": [2, 0, 6]},
        {"design": [2, 0]},
        {"design": [2, 0, 600]},
        {"sha256": "0" * 64},
        {"format": 2},
        {"command": "rm"},
        {"table": np.zeros((256, 256), dtype=np.int32)},
        {"table": np.zeros((256, 256), dtype=np.int64)},
        {"table": np.zeros((256, 255), dtype=np.int32)},
        {"table": np.zeros(65536, dtype=np.int32)},
    ],
    ids=str,
)
def test_a_saved_multiplier_that_was_changed_is_refused(tmp_path, facts):
    path = tmp_path / "m.safetensors"
    library.find("8s-2-0-5").save(path)
    changed(path)
    assert library.find(str(path)).name == "8s-2-0-5"
    changed(path, **facts)
    with pytest.raises(InputError) as refused:
        library.find(str(path))
    assert "\n" not in str(refused.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_read_never_worse(tmp_path, data):
    path = tmp_path / f"m{data.draw(st.sampled_from(['.safetensors', '.npy', '.bin']))}"
    if path.suffix == ".safetensors":
        library.find("8x2u-0-0-0").save(path)
    elif path.suffix == ".npy":
        np.save(path, library.exact(False).table)
    else:
        binary(path, "8u-0-0-0", "<u2")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 100, 8, 0]))]
    path.write_bytes(content)
    try:
        found = Multiplier.load(path) if path.suffix == ".safetensors" else Multiplier.load(path, power_mw=0.1)
    except InputError as refused:
        assert "\n" not in str(refused)
    else:
        assert found.table.shape == (256, 1 << found.bits)


# --- Verilog, through Yosys

VERILOG = """
module cut (input [7:0] a, input [7:0] b, output [15:0] o);
  wire [7:0] c = {a[7:2], 2'b00};
  assign o = c * b;
endmodule
module exact_signed (input signed [7:0] a, input signed [3:0] b, output signed [11:0] o);
  assign o = a * b;
endmodule
module clocked (input [7:0] a, input [7:0] b, output reg [15:0] o);
  always @(posedge a[0]) o <= b;
endmodule
module three (input [7:0] a, input [7:0] b, input c, output [15:0] o);
  assign o = a * b + c;
endmodule
"""


@pytest.fixture
def verilog(tmp_path):
    pytest.importorskip("pyosys")
    path = tmp_path / "some circuits; exec ls.v"
    path.write_text(VERILOG)
    return path


def test_verilog_becomes_a_multiplier(verilog):
    found = Multiplier.from_verilog(verilog, "cut")
    known = library.find("8u-2-0-0")
    assert np.array_equal(found.table, known.table)
    assert found.power_mw == synthesised_power_mw(verilog, "cut")
    assert found.power_mw == pytest.approx(known.power_mw, rel=0.3)
    assert found.power_source == "model"
    narrow = Multiplier.from_verilog(verilog, "exact_signed", signed=True)
    assert np.array_equal(narrow.table, library.exact(True, 4).table)


@pytest.mark.parametrize(
    ("top", "said"),
    [("clocked", "without memory"), ("three", "inputs of"), ("missing", "Yosys says"), ("cut; exec ls", "plain name")],
)
def test_verilog_that_is_no_multiplier_is_refused(verilog, top, said):
    with pytest.raises(InputError, match=said):
        synthesised(verilog, top)


def test_a_verilog_file_must_be_one(verilog, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        synthesised(tmp_path, "cut")
    verilog.write_text("module cut (")
    with pytest.raises(InputError, match="Yosys says: .*syntax error"):
        synthesised(verilog, "cut")
    assert shutil.which("ls")
