"""Names in pickles: what torch.save writes of networks, what training programs keep beside them
(settings, dates, paths, arrays), whole modules, and the rest, which is code.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

ELEMENT = {
    "torch DoubleStorage": 8,
    "torch FloatStorage": 4,
    "torch HalfStorage": 2,
    "torch BFloat16Storage": 2,
    "torch LongStorage": 8,
    "torch IntStorage": 4,
    "torch ShortStorage": 2,
    "torch CharStorage": 1,
    "torch ByteStorage": 1,
    "torch BoolStorage": 1,
    "torch ComplexDoubleStorage": 16,
    "torch ComplexFloatStorage": 8,
    "torch.storage UntypedStorage": 1,
}
DTYPES = frozenset(
    f"torch {name}"
    for name in "float64 double float32 float float16 half bfloat16 int64 long int32 int int16 int8"
    " uint8 uint16 uint32 uint64 bool complex64 complex128 float8_e4m3fn float8_e5m2".split()
)
REBUILDS = frozenset(f"torch._utils _rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
PARAMETERS = frozenset({"torch._utils _rebuild_parameter", "torch.nn.parameter Parameter"})
TABLES = frozenset({"collections OrderedDict", "collections Counter"})
# settings and numbers in training states: something harmless is put in their place (see `unpickle`)
SETTINGS = frozenset(
    f"{module} {name}"
    for module, kinds in {
        "numpy.core.multiarray": "scalar _reconstruct",
        "numpy._core.multiarray": "scalar _reconstruct",
        "numpy": "dtype ndarray",
        "numpy.dtypes": "Float64DType Float32DType Int64DType Int32DType BoolDType",
        "_codecs": "encode",
        "argparse": "Namespace",
        "types": "SimpleNamespace",
        "collections": "defaultdict deque",
        "copyreg": "_reconstructor",
        "builtins": "set frozenset slice complex range object dict list tuple int float str bool",
        "datetime": "datetime date time timedelta timezone",
        "pathlib": "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
        "pathlib._local": "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "uuid": "UUID",
        "typing": "Any Dict List Tuple Optional Union",
    }.items()
    for name in kinds.split()
)
SETS = frozenset({"builtins set", "builtins frozenset"})
OF_TORCH = ("torch.nn", "torch.optim", "torch._C._nn")  # what modules and optimisers are made of
OTHERS = frozenset({"torch Size", "torch device"})
HARMLESS = frozenset({*ELEMENT, *DTYPES, *REBUILDS, *PARAMETERS, *TABLES, *OTHERS, *SETTINGS})
# torch's own, which hold tensors that no model's weights are
TENSORS_OF_OTHER_KINDS = (
    "torch._utils _rebuild_",
    "torch._tensor _rebuild",
    "torch.serialization _get_layout",
    "torch Q",
)


def modern(name: str) -> str:
    """The name that Python 3 has for it."""
    module, _, rest = name.partition(" ")
    module, rest = NAME_MAPPING.get((module, rest), (IMPORT_MAPPING.get(module, module), rest))
    return f"{module} {rest}"


def of_a_program(name: str) -> bool:
    """Whether it is neither Python's nor PyTorch's nor NumPy's, but some program's own class or
    function; or what a PyTorch module consists of. Its objects are data, a call of it is none.
    """
    module, _, rest = name.partition(" ")
    root = module.partition(".")[0]
    if not root or not rest:
        return False
    known = root in sys.stdlib_module_names or root in ("torch", "numpy")
    return not known or module.startswith(OF_TORCH)
