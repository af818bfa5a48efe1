"""The fast style's functions: one output row of one layer each, straight-line where the weights are literal."""

from __future__ import annotations

from collections.abc import Sequence

from slewguard.embedded.ctext import indent
from slewguard.embedded.fast_plan import DEPTHWISE, FIRST, POINTWISE, Stage
from slewguard.embedded.lanes import Channel, word

PREFIX = "slewguard_row_"


def packed(stage: Stage, word: int) -> int:
    """Where word ``word`` of the SNR lies in a packed row: each output column has ``stride`` of them and an index."""
    stride = stage.layer.stride
    return word // stride * (stride + 1) + word % stride


def pack(stage: Stage, words: int, level: int) -> list[str]:
    """Statements that pack one row of the planes: words of SNR, and for each window an index of the binary planes.

    An index has two bits for each column of the kernel, no data and known source, and counts words of the table of
    sums; it is made for both lanes at once.
    """
    layer, side = stage.layer, stage.in_shape[2]
    left, stride, kernel, half = layer.pad[2], layer.stride, layer.weights.shape[3], stage.half
    far, entry = stride * half, (stage.out_shape[0] + 1) // 2
    lines = [
        f"const int8_t *const values = planes + row * {side};",
        f"const int8_t *const no_data = values + {side * side};",
        f"const int8_t *const known = no_data + {side * side};",
        "",
    ]
    unit = level & -level

    def pixel(plane: str, at: str, low: bool, high: bool) -> str:
        parts = [f"(uint32_t){plane}[{at}]"] if low else []
        parts += [f"((uint32_t){plane}[{at} + {far}] << 16)"] if high else []
        return " + ".join(parts) or "0"

    def both(at: str, low: bool, high: bool) -> str:
        marks = f"({pixel('no_data', at, low, high)})", f"({pixel('known', at, low, high)})"
        if level & (level - 1):
            marks = f"(({marks[0]} / {unit}u) & 0x10001u)", f"(({marks[1]} / {unit}u) & 0x10001u)"
        return f"{marks[0]} + 2u * {marks[1]}"

    def columns(x: str, offsets: Sequence[tuple[int, bool, bool]], target: int, *, carried: bool = False) -> list[str]:
        """One output column whose first input column is ``x``; its bits may have been made for the column before."""
        text, terms = [], []
        for j, (offset, low, high) in enumerate(offsets):
            at = f"{x} + {offset}" if offset > 0 else f"{x} - {-offset}" if offset else x
            if j < stride:
                text.append(f"into[{target + j}] = {pixel('values', at, low, high)};")
            if low or high:
                if j or not carried:
                    text.append(f"const uint32_t bits{j} = {both(at, low, high)};")
                terms.append(f"{4**j}u * bits{j}" if j else "bits0")
        mask = (4**kernel - 1) * 0x10001
        index = f"({' + '.join(terms)}){'' if level & (level - 1) else f' / {unit}u'}"
        text.append(f"into[{target + stride}] = (({index}) & 0x{mask:x}u) * {entry}u;")
        return text

    def inside(x: int) -> list[tuple[int, bool, bool]]:
        return [(j - left, 0 <= x + j - left < side, 0 <= x + j - left + far < side) for j in range(kernel)]

    # Windows that lie inside the plane with both lanes are a loop, the others stand alone.
    plain = [x for x in range(half) if all(low and high for _, low, high in inside(stride * x))]
    carries = kernel == stride + 1
    for x in range(half):
        if x == plain[0]:
            body = [
                f"uint32_t *const into = output + {stride + 1} * x;",
                f"const int32_t at = {stride} * x;",
                *columns("at", inside(stride * x), 0, carried=carries),
            ]
            if carries:
                lines.append(f"uint32_t bits0 = {both(str(stride * x - left), True, True)};")
                body.append(f"bits0 = bits{stride};")
            lines += [f"for (int32_t x = {x}; x < {plain[-1] + 1}; x++) {{", *indent(body), "}"]
        elif x not in plain:
            follows = carries and x == plain[-1] + 1
            text = columns(str(stride * x), inside(stride * x), (stride + 1) * x, carried=follows)
            lines += ["{", *indent(["uint32_t *const into = output;", *text]), "}"]
    for word_number in range(stride * half, words):
        low, high = (0 <= word_number - left + far_ < side for far_ in (0, far))
        value = pixel("values", str(word_number - left), low, high)
        lines.append(f"output[{packed(stage, word_number)}] = {value};")
    return lines


def products(value: str, weights: Sequence[int], accumulators: Sequence[str]) -> list[str]:
    """Statements that add the products of one word to several sums, each magnitude multiplied once."""
    users: dict[int, list[tuple[str, str]]] = {}
    for weight, accumulator in zip(weights, accumulators, strict=True):
        if weight:
            users.setdefault(abs(weight), []).append((accumulator, "+" if weight > 0 else "-"))
    lines = []
    for size, sums in sorted(users.items()):
        term = value if size == 1 else f"{value} * {size}u"
        if size > 1 and len(sums) > 1:
            term = f"{value}_{size}"
            lines.append(f"const uint32_t {term} = {value} * {size}u;")
        lines += [f"{accumulator} {sign}= {term};" for accumulator, sign in sums]
    return lines


def _store(channel: Channel, number: int, target: str, names: dict[int, str]) -> list[str]:
    """Statements that take both lanes of a sum, clamp them and store them as a word."""
    acc, shift = f"acc{number}", channel.shift
    if not channel.whole:
        low, high = f"({acc} & 65535u)", f"({acc} >> 16)"
        if len(channel.ends) > 1:
            low, high = f"low{number} + {low}", f"high{number} + {high}"
        lanes = f"({low} + {channel.rest}u) >> {shift}", f"({high} + {channel.rest}u) >> {shift}"
    else:
        high = f"{acc} >> {16 + shift}" if shift < 16 else f"({acc} >> 16) >> {shift}"
        lanes = f"({acc} & 65535u) >> {shift}", high
    if channel.table:
        low, high = (f"{names[channel.offset]}[{lane}]" for lane in lanes)
    else:
        low, high = (f"clamp({lane}, {channel.offset})" for lane in lanes)
    return [f"{target} = (uint32_t){low} | ((uint32_t){high} << 16);"]


def _split(channel: Channel, number: int, chunk: int) -> list[str]:
    """Statements between two chunks of a sum."""
    acc, first = f"acc{number}", chunk == 0
    head = ("uint32_t ", "uint32_t ", "=") if first else ("", "", "+=")
    return [
        f"{head[0]}low{number} {head[2]} {acc} & 65535u;",
        f"{head[1]}high{number} {head[2]} {acc} >> 16;",
        f"{acc} = {word(channel.starts[chunk + 1])}u;",
    ]


def _tables(channels: Sequence[Channel], zeros: int) -> tuple[list[str], dict[int, str]]:
    """Addresses in the clamping table, one for each offset."""
    offsets = sorted({channel.offset for channel in channels if channel.table})
    names = {offset: f"clamp{i}" for i, offset in enumerate(offsets)}
    return [f"const uint8_t *const {names[o]} = weights->clamp + {zeros - o};" for o in offsets], names


def _block(
    stage: Stage, numbers: Sequence[int], taps: Sequence[tuple[str, int]], starts: list[str], target: str, zeros: int
) -> list[str]:
    """Sums of some output channels over all taps, and their stores.

    ``taps`` are (expression of a word, index of the weight within the channel).
    """
    weights = stage.halved.weights.reshape(stage.out_shape[0], -1)
    accumulators = [f"acc{n}" for n in numbers]
    names = _tables(stage.channels, zeros)[1]
    lines = list(starts)
    chunk = dict.fromkeys(numbers, 0)
    for i, (expression, column) in enumerate(taps):
        for n in numbers:
            if i == stage.channels[n].ends[chunk[n]]:
                lines += _split(stage.channels[n], n, chunk[n])
                chunk[n] += 1
        own = [int(weights[n, column]) for n in numbers]
        if any(own):
            lines += [f"const uint32_t x{i} = {expression};", *products(f"x{i}", own, accumulators)]
    for n in numbers:
        lines += _store(stage.channels[n], n, f"{target}[{n * stage.half}]", names)
    return lines


def first(stage: Stage, zeros: int) -> list[str]:
    """Body of the first layer: SNR by multiplication, the binary planes by table."""
    count, half = stage.out_shape[0], stage.half
    _, _, kernel_h, kernel_w = stage.layer.weights.shape
    stride = stage.layer.stride
    lines, _ = _tables(stage.channels, zeros)
    pairs = (count + 1) // 2
    body = []
    record = stride + 1
    body += [f"const uint32_t *const row{y} = input{y} + {record} * x;" for y in range(kernel_h)]
    for y in range(kernel_h):
        body += [
            f"const uint32_t *const low_masks{y} = masks + (row{y}[{stride}] & 65535u);",
            f"const uint32_t *const high_masks{y} = masks + (row{y}[{stride}] >> 16);",
        ]
    entries = 4**kernel_w * pairs
    lines.append(f"const uint32_t *const masks = &weights->masks_{stage.layer.name}[0][0][0];")
    starts = []
    for pair in range(pairs):
        for side in ("low", "high"):
            terms = " + ".join(f"{side}_masks{y}[{y * entries + pair}]" for y in range(kernel_h))
            starts.append(f"const uint32_t {side}_{pair} = {terms};")
        starts.append(f"uint32_t acc{2 * pair} = (low_{pair} & 65535u) | (high_{pair} << 16);")
        if 2 * pair + 1 < count:
            starts.append(f"uint32_t acc{2 * pair + 1} = (low_{pair} >> 16) | (high_{pair} & 0xffff0000u);")
    taps = []
    for y in range(kernel_h):
        for x in range(kernel_w):
            taps.append((f"row{y}[{packed(stage, x)}]", y * kernel_w + x))
    body += _block(stage, range(count), taps, starts, "into", zeros)
    body.insert(0, "uint32_t *const into = output + x;")
    return [*lines, f"for (int32_t x = 0; x < {half}; x++) {{", *indent(body), "}"]


def pointwise(stage: Stage, zeros: int, block: int) -> list[str]:
    """Body of a pointwise layer: every weight a literal, ``block`` output channels at a time."""
    count, inner, half = stage.out_shape[0], stage.in_shape[0], stage.half
    lines, names = _tables(stage.channels, zeros)
    if not names:
        lines = ["(void)weights; /* no channel clamps by the table */"]
    body = []
    blocks = [range(start, min(start + block, count)) for start in range(0, count, block)]
    for numbers in blocks:
        starts = [f"uint32_t acc{n} = {word(stage.channels[n].starts[0])}u;" for n in numbers]
        taps = [(f"from[{i * half}]", i) for i in range(inner)]
        text = _block(stage, numbers, taps, starts, "into", zeros)
        body += ["{", *indent(text), "}"] if len(blocks) > 1 else text
    if stage.halved.weights.any():
        body.insert(0, "const uint32_t *const from = input0 + x;")
    else:
        lines.append("(void)input0; /* every weight is 0 */")
    body.insert(0, "uint32_t *const into = output + x;")
    return [*lines, f"for (int32_t x = 0; x < {half}; x++) {{", *indent(body), "}"]


def gathered(stage: Stage, row: str, column: int, in_half: int) -> str:
    """Word of the input pixels ``column`` and ``column + stride * half`` of a row, 0 for those outside."""
    width = stage.in_shape[2]

    def source(x: int) -> tuple[int, bool] | None:
        return (x % in_half, x >= in_half) if 0 <= x < width else None

    low, high = source(column), source(column + stage.layer.stride * stage.half)
    if low and high and low[0] == high[0] and not low[1] and high[1]:
        return f"{row}[{low[0]}]"
    parts = []
    if low:
        parts.append(f"({row}[{low[0]}] >> 16)" if low[1] else f"({row}[{low[0]}] & 65535u)")
    if high:
        parts.append(f"({row}[{high[0]}] & 0xffff0000u)" if high[1] else f"({row}[{high[0]}] << 16)")
    text = " | ".join(parts) or "0"
    return text[1:-1] if len(parts) == 1 else text


def depthwise(stage: Stage, in_half: int) -> list[str]:
    """Body of a depthwise layer: a loop over channels with the weights in registers, columns unrolled."""
    name, half = stage.layer.name, stage.half
    _, _, kernel_h, kernel_w = stage.layer.weights.shape
    left, stride = stage.layer.pad[2], stage.layer.stride
    body = [f"const uint32_t *const row{y} = input{y} + channel * {in_half};" for y in range(kernel_h)]
    body.append(f"uint32_t *const into = output + channel * {half};")
    body += [f"uint32_t acc{column} = 0;" for column in range(half)]
    if not stage.whole:
        body += [f"uint32_t {side}{column} = 0;" for column in range(half) for side in ("low", "high")]
    words = (half - 1) * stride + kernel_w
    for y in range(kernel_h):
        if y == 0 or not stage.whole:
            # Kernels that miss the bound are summed row by row.
            at = "" if stage.whole else f"[{y}]"
            body.append(f"const uint32_t start{y} = weights->start_{name}[channel]{at};")
        for x in range(kernel_w):
            body.append(f"const uint32_t w{y}{x} = (uint32_t)weights->weights_{name}[channel][{y * kernel_w + x}];")
        for i in range(words):
            body.append(f"const uint32_t x{y}_{i} = {gathered(stage, f'row{y}', i - left, in_half)};")
            for column in range(half):
                tap = i - column * stride
                if 0 <= tap < kernel_w:
                    begins = tap == 0 and (y == 0 or not stage.whole)
                    sign = f"= start{y} +" if begins else "+="
                    body.append(f"acc{column} {sign} x{y}_{i} * w{y}{tap};")
        if not stage.whole:
            for column in range(half):
                body += [f"low{column} += acc{column} & 65535u;", f"high{column} += acc{column} >> 16;"]
    body.append(f"const uint32_t shift = weights->shift_{name}[channel];")
    short = stage.whole and max(channel.shift for channel in stage.channels) < 16
    if short:
        body.append("const uint32_t high_shift = shift + 16u;")
    if stage.tabled:
        body.append(f"const uint8_t *const table = weights->clamp + weights->place_{name}[channel];")
    else:
        body.append(f"const int32_t offset = weights->place_{name}[channel];")
    for column in range(half):
        if stage.whole:
            high = f"acc{column} >> high_shift" if short else f"(acc{column} >> 16) >> shift"
            lanes = f"(acc{column} & 65535u) >> shift", high
        else:
            rest = f"(uint32_t)weights->rest_{name}[channel]"
            lanes = f"(low{column} + {rest}) >> shift", f"(high{column} + {rest}) >> shift"
        low, high = (f"table[{lane}]" if stage.tabled else f"clamp({lane}, offset)" for lane in lanes)
        body.append(f"into[{column}] = (uint32_t){low} | ((uint32_t){high} << 16);")
    return [f"for (int32_t channel = 0; channel < {stage.out_shape[0]}; channel++) {{", *indent(body), "}"]


def pool(stage: Stage, in_half: int) -> list[str]:
    """Body of the pooling layer: one row added to the sums of all channels."""
    name, columns = stage.layer.name, stage.in_shape[2]
    body = [
        f"const int8_t *const filter = weights->weights_{name}[channel][row];",
        f"const uint32_t *const from = input0 + channel * {in_half};",
        "uint32_t sum = before[channel];",
        "",
    ]
    for x in range(columns):
        pixel = f"(from[{x}] & 255u)" if x < in_half else f"(from[{x - in_half}] >> 16)"
        body += [f"const uint32_t w{x} = (uint32_t)filter[{x}];", f"sum += w{x} * {pixel};"]
    body.append("sums[channel] = sum;")
    return [f"for (int32_t channel = 0; channel < {stage.in_shape[0]}; channel++) {{", *indent(body), "}"]


def dense(stage: Stage) -> list[str]:
    """Body of a dense layer on single pixels."""
    name, inner = stage.layer.name, stage.in_shape[0]
    kind = stage.layer.dtype.name
    body = [
        f"int32_t acc = weights->bias_{name}[out];",
        "",
        f"for (int32_t i = 0; i < {inner}; i++) {{",
        f"    acc += (int32_t)weights->weights_{name}[out][i] * (int32_t)input0[i];",
        "}",
        f"output[out] = (uint32_t)requantise_{kind}(acc, weights->shift_{name}[out]);",
    ]
    return [f"for (int32_t out = 0; out < {stage.out_shape[0]}; out++) {{", *indent(body), "}"]


def parameters(stage: Stage) -> list[str]:
    """Parameters of the row function of a layer that is computed row by row."""
    kernel_h = stage.layer.weights.shape[2]
    given = ["const slewguard_weights_t *weights"]
    if stage.kind in (FIRST, DEPTHWISE):
        given += [f"const uint32_t input{y}[]" for y in range(kernel_h)]
    elif stage.kind == POINTWISE:
        given.append("const uint32_t input0[]")
    return [*given, "uint32_t output[]"]
