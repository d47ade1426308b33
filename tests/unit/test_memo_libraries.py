"""Values of other packages count by what is in them, and nothing is imported for their sake."""

import os
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from fanflow.memo.errors import MemoKeyError
from fanflow.memo.ids import id_for_memo

Different = Callable[[types.ModuleType], list[object]]


def numpy_values(np: types.ModuleType) -> list[object]:
    counted = np.arange(6)
    structured = np.zeros(2, [("a", "i1"), ("b", "f8")])
    return [
        counted, counted.astype("i4"), counted.astype(">i8"), counted.reshape(2, 3), counted.reshape(3, 2),
        counted[::-1], counted.reshape(2, 3).T, counted[:0], np.zeros((0, 3)), np.array(1), np.array([1]),
        np.int64(1), np.int32(1), np.float64(1), np.str_("1"), np.bytes_(b"1"), np.bool_(True), np.array(["a",
        "bc"]), np.array(["a", None], dtype=object), np.array([["a"], ["b"]], dtype=object), np.array([[1, 2],
        "x"], dtype=object), np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-01"], "M8[s]"),
        np.datetime64("2020-01-01"), np.datetime64("NaT", "s"), np.timedelta64(1, "s"), structured,
        structured[["a"]], structured[0], np.array([0.0]), np.array([-0.0]), np.array([np.nan]),
        np.longdouble(1), np.array([1], np.longdouble), np.array([1 + 2j]), np.ma.masked_array([1, 2], [0,
        1]), np.ma.masked_array([1, 2], [1, 0]), np.dtype("f4"), np.dtype("f8"), np.float32, np.float64,
        np.sin, np.cos, np.mean, np.sum, np.arange(1000), np.arange(1, 1001),
    ]  # fmt: skip


def pandas_values(pd: types.ModuleType) -> list[object]:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    times = pd.date_range("2020-01-01", periods=2, tz="UTC")
    return [
        frame, frame.rename(columns={"a": "c"}), frame.set_index("a"), frame[["b", "a"]], frame.astype({"a":
        "f8"}), frame.iloc[::-1], frame[:0], frame["a"], frame["b"], frame["a"].rename("z"),
        frame["a"].astype("Int64"), frame["a"].astype("category"), frame["b"].astype("category"), frame.index,
        frame.columns, pd.Index([0, 1]), pd.Index([0, 1], name="i"), pd.MultiIndex.from_tuples([(1, "a"), (2,
        "b")]), pd.MultiIndex.from_tuples([(1, "a"), (2, "c")]), times, times.tz_convert("Europe/Paris"),
        pd.Series(times), times[0], times[0].tz_convert(None), pd.Timedelta(1, "s"), pd.NaT, pd.NA,
        pd.Period("2020-01", "M"), pd.Interval(0, 1), pd.Interval(0, 1, closed="left"), pd.Categorical(["a",
        "b"]), pd.Categorical(["a", "b"], ordered=True), pd.Categorical(["a", "b"], ["b", "a"]), pd.array([1,
        None]), pd.Series([1.0, None]), pd.Series([[1], [2]]), pd.Series([[1], [3]]),
        pd.CategoricalDtype(["a"]), pd.Int64Dtype(),
    ]  # fmt: skip


def arrow_values(pa: types.ModuleType) -> list[object]:
    table = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]})
    return [
        table, table.rename_columns(["c", "b"]), table.slice(1), table.select(["b"]), table.to_batches()[0],
        table["a"], pa.array([1, 2]), pa.array([1, 2], pa.int8()), pa.array([1, None]), pa.array([[1], [2]]),
        pa.array(["a"]), pa.scalar(1), pa.scalar(2), pa.scalar("a"), pa.int8(), pa.int16(), table.schema,
        table.schema.field("a"), pa.py_buffer(b"a"), pa.array(["a", "b"]).dictionary_encode(),
        table.replace_schema_metadata({"k": "v"}),
    ]  # fmt: skip


def torch_values(torch: types.ModuleType) -> list[object]:
    counted = torch.arange(6)
    return [
        counted, counted.int(), counted.reshape(2, 3), counted.reshape(2, 3).T, torch.tensor(1),
        torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([1.0],
        requires_grad=True), torch.tensor([1 + 1j]), torch.tensor([1 + 1j]).conj(), torch.tensor([True]),
        torch.zeros(0), torch.nn.Parameter(torch.ones(1)), torch.float32, torch.float64, torch.device("cpu"),
        torch.Size([1]), torch.Size([2]),
    ]  # fmt: skip


def pydantic_values(pydantic: types.ModuleType) -> list[object]:
    one = pydantic.create_model("One", x=(object, ...), y=(int, 1))
    other = pydantic.create_model("Other", x=(object, ...), y=(int, 1))
    loose = pydantic.create_model("Loose", __config__={"extra": "allow"}, x=(object, ...))
    return [
        one(x=1), one(x=2), one(x=1, y=2), other(x=1), one(x=one(x=1)), loose(x=1), loose(x=1, z=1),
        loose(x=1, z=2), one
    ]  # fmt: skip


def attrs_values(attrs: types.ModuleType) -> list[object]:
    one, other = attrs.make_class("One", ["x"]), attrs.make_class("Other", ["x"])
    return [one(1), one(2), other(1), one([1])]


def msgspec_values(msgspec: types.ModuleType) -> list[object]:
    one, other = msgspec.defstruct("One", ["x"]), msgspec.defstruct("Other", ["x"])
    return [one(1), one(2), other(1), one([1])]


PACKAGES: dict[str, Different] = {
    "numpy": numpy_values,
    "pandas": pandas_values,
    "pyarrow": arrow_values,
    "torch": torch_values,
    "pydantic": pydantic_values,
    "attrs": attrs_values,
    "msgspec": msgspec_values,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_different_values_have_different_bytes_and_equal_ones_the_same(name: str) -> None:
    module = pytest.importorskip(name)
    values, again = PACKAGES[name](module), PACKAGES[name](module)

    encoded = [id_for_memo(value) for value in values]

    for place, one in enumerate(encoded):
        assert one not in encoded[:place], values[place]
    assert [id_for_memo(value) for value in again] == encoded


def test_where_an_array_lies_in_memory_does_not_count() -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(12).reshape(3, 4)

    same = [array.copy("F"), np.repeat(array, 2, axis=1)[:, ::2], np.vstack([array, array])[3:]]

    assert {id_for_memo(one) for one in same} == {id_for_memo(array)}


def test_what_lies_between_fields_of_a_structure_does_not_count() -> None:
    np = pytest.importorskip("numpy")
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    clean, dirty = np.zeros(1, kind), np.frombuffer(b"\0" + b"\1" * 7 + b"\0" * 8, kind)

    assert id_for_memo(clean) == id_for_memo(dirty)


def test_arrays_with_a_class_of_their_own_are_unknown() -> None:
    np = pytest.importorskip("numpy")
    unit = type("Unit", (np.ndarray,), {})

    with pytest.raises(MemoKeyError, match=r"^unknown type for memoization: .*Unit.* at obj\['m'\]"):
        id_for_memo({"m": np.zeros(1).view(unit)})


def test_an_unknown_object_in_an_array_is_named() -> None:
    np = pytest.importorskip("numpy")

    with pytest.raises(MemoKeyError, match=r"at obj\[1\]"):
        id_for_memo(np.array([1, object()], dtype=object))


def test_how_an_arrow_table_is_cut_does_not_count() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, 2, 3, 4]})

    cut = pa.concat_tables([table.slice(0, 1), table.slice(1)])

    assert id_for_memo(cut) == id_for_memo(table)


def test_no_package_is_imported() -> None:
    program = (
        "import sys\nfrom fanflow.memo.keys import memo_key\n"
        "from dataclasses import make_dataclass\n"
        "memo_key(len, 'app', ([make_dataclass('D', ['x'])(1)],), {})\n"
        "wanted = {'numpy', 'pandas', 'pyarrow', 'torch', 'pydantic', 'zmq', 'cloudpickle'}\n"
        "print(sorted(wanted & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout == "[]\n"
