"""Which ONNX operators the parser of which TensorRT release imports.

Read from `docs/operators.md` of github.com/onnx/onnx-tensorrt, in its states for TensorRT 8.5, 9.2, 10.6 and 10.15; for
what came in between from `docs/Changelog.md` there, for 11.0 and 11.2 from NVIDIA's release notes. No list of operators
was read for the other releases, so between two states the answer may be that we do not know.
"""

from __future__ import annotations

from enum import Enum

Release = tuple[int, int]
"""Major and minor."""

NEWEST_LIST: Release = (10, 15)
"""The last release whose whole list was read."""


class Support(Enum):
    """What is known of an operator in a release."""

    YES = "yes"
    NO = "no"
    NOT_LISTED = "not in our table"
    NO_LONGER_KNOWN = "not supported in the newest list that was read"


_SINCE_8_5 = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip Concat
    Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu
    Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GridSample HardSigmoid HardSwish Identity If ImageScaler InstanceNormalization
    IsNaN LRN LSTM LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad ParametricSoftplus Pow
    QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    ReverseSequence RoiAlign Round ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
    Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Upsample Where Xor
"""

_ADDED: dict[Release, str] = {
    (8, 6): "GroupNormalization IsInf LayerNormalization",
    (9, 2): "Hardmax",
    (10, 1): "DeformConv",
    (10, 4): "BlackmanWindow HammingWindow HannWindow",
    (10, 5): "STFT",
    (10, 14): "Attention",
    (10, 15): "RMSNormalization RotaryEmbedding TensorScatter",
    (11, 0): "Swish",
    (11, 2): "DFT",
}
"""Release → operators that its changelog says were added, so that it is known that earlier ones lack them."""

_SEEN_LATER: dict[str, tuple[Release, Release]] = {
    "CastLike": ((8, 5), (9, 2)),
    "Gelu": ((9, 2), (10, 6)),
    "Mish": ((9, 2), (10, 6)),
}
"""Operator → the last list without it and the first one with it; in between, nobody looked."""

_NEVER = """
    AffineGrid Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im Compress
    ConcatFromSequence ConvInteger Det DynamicQuantizeLinear ImageDecoder MatMulInteger MaxRoiPool MaxUnpool
    MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional OptionalGetElement OptionalHasElement QLinearConv
    QLinearMatMul RegexFullMatch SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
    SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit TfIdfVectorizer Unique
"""
"""Operators that no list up to `NEWEST_LIST` has as supported."""

_FIRST: dict[str, Release] = {
    **dict.fromkeys(_SINCE_8_5.split(), (8, 5)),
    **{name: has for name, (_, has) in _SEEN_LATER.items()},
    **{name: release for release, names in _ADDED.items() for name in names.split()},
}
"""Operator → the first release known to import it."""


def supported_since(operator: str) -> Release | None:
    """The first release known to import a standard ONNX operator."""
    return _FIRST.get(operator)


def support(operator: str, release: Release) -> Support:
    """What is known of a standard ONNX operator in a release."""
    first = _FIRST.get(operator)
    if first is None:
        if operator not in _NEVER.split():
            return Support.NOT_LISTED
        return Support.NO if release <= NEWEST_LIST else Support.NO_LONGER_KNOWN
    if release >= first:
        return Support.YES
    between = operator in _SEEN_LATER and release > _SEEN_LATER[operator][0]
    return Support.NOT_LISTED if between else Support.NO


_DLA = """
    Abs Add AveragePool BatchNormalization Clip Concat Constant Conv ConvTranspose Div Equal Gemm Greater LRN LeakyRelu
    Less MatMul Max MaxPool Min Mul PRelu Pow Relu Reshape Resize Sigmoid Slice Softmax Split Sub Sum Tanh Transpose
    Upsample
"""

DLA_OPERATORS = frozenset(_DLA.split())
"""ONNX operators that TensorRT can place on the DLA of an Orin, if their settings allow it: those that are native in
`operators/README.md` of github.com/NVIDIA/Deep-Learning-Accelerator-SW (state of TensorRT 8.6), and the element-wise
ones that NVIDIA's page "DLA Supported Layers and Restrictions" names in addition."""
