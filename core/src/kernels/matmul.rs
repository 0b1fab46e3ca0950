//! Product of two activations: `a [b, h, m, k]` times `b [b, h, k, n]` (or `[b, h, n, k]`, transposed) gives
//! `y [b, h, m, n]`. Dimensions 0 and 1 of the second operand may be 1 and are then repeated.
//!
//! Each of m, k and n may vary at run time: `k` then sums over the rows present only. Zero points are those of the tensors.

use super::requant::{Channel, Channels, Clamp, Quantized, Scale};
use super::wide::narrow_and_wide;
use super::{OpKind, Run};
use crate::arch::matrix::{Lane, Rounding};
use crate::arch::product::{LANES, Matrices, combine, dot, dots};
use crate::arch::view::{In, Out};
use crate::pack::Layout;
use crate::plan::cursor::Cursor;
use crate::plan::{DType, Fault, Operator, Rows, Tensor, write};

/// The operator, int8 to int8.
pub struct MatMul;

/// The operator with 16-bit inputs (both) or output.
pub struct MatMul16;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct MatMulParams {
    /// Whether the second operand is `[b, h, n, k]`.
    pub transposed: bool,
    /// Scale of the first times that of the second operand by that of the output.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl MatMulParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.scale.encode(write::Params::new().u8(self.transposed as u8)).range(self.min, self.max)
    }
}

/// A product as parameters have it.
pub(super) struct Product {
    /// Whether the second operand is `[b, h, n, k]`.
    transposed: bool,
    scale: Scale,
    clamp: Clamp,
}

impl Product {
    /// Reads what [`MatMulParams::encode`] writes, for results with zero point `zero_point`.
    #[inline(never)]
    pub(super) fn read(cursor: &mut Cursor<'_>, zero_point: i32) -> Option<Self> {
        let transposed = match cursor.u8() {
            0 => false,
            1 => true,
            _ => return None,
        };
        let scale = Scale::read(cursor);
        let clamp = Clamp::read(cursor, zero_point);
        scale.valid().then_some(Self { transposed, scale, clamp })
    }

    /// That of a product, which has no other parameters.
    fn of(operator: &Operator<'_>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let product = Self::read(&mut cursor, output.zero_point)?;
        cursor.finished().then_some(product)
    }

    /// The axes of k and n in the second operand.
    pub(super) fn axes(&self) -> (usize, usize) {
        if self.transposed { (3, 2) } else { (2, 3) }
    }

    /// Whether `a` times `b` gives `y`.
    pub(super) fn check<Y: Quantized>(&self, a: &Tensor, b: &Tensor, y: &Tensor) -> Result<(), Fault> {
        if a.dtype != b.dtype {
            return Err(Fault::Types);
        }
        let (k, n) = self.axes();
        let same = |(left, i): (&Tensor, usize), (right, j): (&Tensor, usize)| {
            left.dims[i] == right.dims[j] && left.dynamic >> i & 1 == right.dynamic >> j & 1
        };
        let ([a0, a1, ..], [b0, b1, ..], [y0, y1, ..]) = (a.dims, b.dims, y.dims);
        let batches = a0 == y0 && a1 == y1 && (b0 == 1 || b0 == a0) && (b1 == 1 || b1 == a1);
        if (a.dynamic | b.dynamic | y.dynamic) & 0b0011 != 0 {
            return Err(Fault::Dynamic);
        }
        if !batches || !same((a, 2), (y, 2)) || !same((a, 3), (b, k)) || !same((b, n), (y, 3)) {
            return Err(Fault::Shapes);
        }
        if self.clamp.valid::<Y>() { Ok(()) } else { Err(Fault::Params) }
    }

    /// Whether the loops of the layout for Arm DSP take all rows, when there are `rows` of `depth` values or more.
    pub(super) fn in_tiles(&self, operator: &Operator<'_>, [rows, depth]: [usize; 2]) -> bool {
        let shift = [self.scale.shift];
        let channels = Channels { bias: In::new(&[]), multiplier: In::new(&[]), shift: In::new(&shift) };
        let tiles = operator.plan().layout() == Layout::ArmDsp && rows >= 3 && depth >= 4;
        tiles && Rounding::new(&channels, self.clamp).simple
    }

    /// Results `y`, rows `y_row` elements apart, of rows `a`, `a_row` elements apart and with zero point `zero_a`, and the matrix of
    /// `b` for the first operand's at batch and head `at`; of m, k and n as many as `sizes` says, of k and n `most` at the bound.
    ///
    /// By the layout's own way, if it has one, which takes [`scratch_bytes`] from the beginning of the scratch memory; without `COMMON`
    /// there must be one.
    #[inline(never)]
    pub(super) fn multiply<X: Quantized, Y: Quantized, const COMMON: bool>(
        &self,
        run: &Run<'_>,
        (a, a_row, zero_a): (In<'_, X>, usize, i32),
        (b, at): (&Tensor, [usize; 2]),
        (sizes, most): ([usize; 3], [usize; 2]),
        (y, y_row): (Out<'_, Y>, usize),
    ) {
        let [batches, heads, rows, row] = b.dims.map(|dim| dim as usize);
        let [batch, head] = [at[0].min(batches - 1), at[1].min(heads - 1)];
        let values = run.read::<X>(b).window((batch * heads + head) * rows * row, rows * row);
        let steps = if self.transposed { [1, row] } else { [row, 1] };
        let (scale, clamp) = (self.scale, self.clamp);
        let matrices =
            Matrices { a: (a, a_row), zero_a, b: (values, steps), zero_b: b.zero_point, sizes, scale, clamp };
        if !by_layout(run, &matrices.bytes(), most, (y.cast(), y_row)) && COMMON {
            one_by_one(&matrices, (y, y_row));
        }
    }
}

fn check<Y: Quantized>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (a, b, y) = operator.binary()?;
    Product::of(operator, &y).ok_or(Fault::Params)?.check::<Y>(&a, &b, &y)
}

/// All of an operand is needed for every output: no sharing.
fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
    None
}

fn macs(operator: &Operator<'_>) -> u64 {
    operator.binary().map_or(0, |(a, _, y)| y.elements() as u64 * a.inner() as u64)
}

/// Matrices of the first operand, by its first and second dimension, and their rows. With one second operand for all
/// (`seconds` are all of them), their rows are those of one matrix.
pub(super) fn matrices(a: &Tensor, seconds: &[&Tensor], rows: Rows) -> [usize; 3] {
    let [batches, heads, m, _] = a.dims_with(rows);
    let one = seconds.iter().all(|b| b.dims[..2] == [1, 1]) && m == a.dims[2] as usize;
    if one { [1, 1, batches * heads * m] } else { [batches, heads, m] }
}

fn run<X: Lane, Y: Quantized>(run: &Run<'_>) {
    let Ok((a, b, y)) = run.operator().binary() else { return };
    let Some(product) = Product::of(run.operator(), &y) else { return };
    let [batches, heads, m] = matrices(&a, &[&b], run.rows());
    let sizes = [m, a.dims_with(run.rows())[3], y.dims_with(run.rows())[3]];
    let most = [a.inner(), y.inner()];
    let (values, out) = (run.read::<X>(&a), run.write::<Y>(&y));
    let [a_matrix, y_matrix] = [&a, &y].map(|tensor| tensor.elements() / (batches * heads).max(1));
    for at in (0..batches).flat_map(|batch| (0..heads).map(move |head| [batch, head])) {
        let index = at[0] * heads + at[1];
        let rows = (values.window(index * a_matrix, a_matrix), a.inner(), a.zero_point);
        let to = (out.window(index * y_matrix, y_matrix), y.inner());
        product.multiply::<X, Y, true>(run, rows, (&b, at), (sizes, most), to);
    }
}

/// Results by the loops that all machines have.
fn one_by_one<X: Quantized, Y: Quantized>(matrices: &Matrices<'_, X>, (y, stride): (Out<'_, Y>, usize)) {
    let Matrices { a: (a, a_row), zero_a, b: (b, [down, across]), zero_b, sizes: [m, k, n], .. } = *matrices;
    let (zeros, finish) = ((zero_a, zero_b), Channel { bias: 0, scale: matrices.scale });
    for row in 0..m {
        let a = a.window(row * a_row, k);
        let y = y.window(row * stride, n);
        let mut column = 0;
        while column < n {
            let b = b.window(column * across, b.len());
            if down == 1 && column + 2 <= n {
                let sums = dots::<X, 2>(a, b, across, zeros);
                for (lane, sum) in sums.into_iter().enumerate() {
                    y.set(column + lane, finish.apply(sum, matrices.clamp));
                }
                column += 2;
            } else if down == 1 {
                y.set(column, finish.apply(dot(a, b.window(0, k), zeros), matrices.clamp));
                column += 1;
            } else if column + LANES <= n {
                let sums = combine::<X, LANES>(a, b, down, zeros);
                for (lane, sum) in sums.into_iter().enumerate() {
                    y.set(column + lane, finish.apply(sum, matrices.clamp));
                }
                column += LANES;
            } else {
                let [sum] = combine::<X, 1>(a, b, down, zeros);
                y.set(column, finish.apply(sum, matrices.clamp));
                column += 1;
            }
        }
    }
}

/// The product by the layout's own way, if it has one: of 8 bits, for all but the generic order.
#[inline(always)]
fn by_layout(
    run: &Run<'_>,
    matrices: &Matrices<'_>,
    [depth, columns]: [usize; 2],
    y: (Out<'_, i8>, usize),
) -> bool {
    let _ = (run, matrices, depth, columns, y);
    #[cfg(mixel_columns)]
    if by_columns(run.operator()) {
        use crate::arch::helium::matmul;
        let scratch = run.scratch(0, matmul::bytes(depth, columns) / size_of::<i32>());
        return matmul::multiply(matrices, scratch, y);
    }
    #[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
    if by_tiles(run.operator()) {
        use crate::arch::dsp_matmul;
        let scratch = run.scratch(0, dsp_matmul::bytes(depth, columns));
        return dsp_matmul::multiply(matrices, scratch, y);
    }
    #[cfg(not(target_os = "none"))]
    if by_panels(run.operator()) {
        use crate::arch::host_matmul;
        let scratch = run.scratch(0, host_matmul::pairs(depth, columns));
        return host_matmul::multiply(run.backend(), matrices, scratch, y);
    }
    false
}

/// What brings the second operand into the layout's order of weights.
fn scratch(operator: &Operator<'_>) -> usize {
    operator.binary().map_or(0, |(a, _, y)| scratch_bytes(operator, [a.inner(), y.inner()]))
}

/// Bytes that [`Product::multiply`] takes for `depth` and `columns`.
pub(super) fn scratch_bytes(operator: &Operator<'_>, [depth, columns]: [usize; 2]) -> usize {
    #[cfg(mixel_columns)]
    if by_columns(operator) {
        return crate::arch::helium::matmul::bytes(depth, columns);
    }
    #[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
    if by_tiles(operator) {
        return crate::arch::dsp_matmul::bytes(depth, columns);
    }
    #[cfg(not(target_os = "none"))]
    if by_panels(operator) {
        return crate::arch::host_matmul::pairs(depth, columns).saturating_mul(size_of::<i32>());
    }
    let _ = (operator, depth, columns);
    0
}

/// Whether it is a product of 8 bits in the order of Helium.
#[cfg(mixel_columns)]
fn by_columns(operator: &Operator<'_>) -> bool {
    operator.kind != OpKind::MatMul16 && operator.plan().layout().matrix().by_columns
}

/// Whether it is a product of 8 bits in the order of Arm DSP.
#[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
fn by_tiles(operator: &Operator<'_>) -> bool {
    operator.kind != OpKind::MatMul16 && operator.plan().layout() == Layout::ArmDsp
}

/// Whether it is a product of 8 bits in the order of a host.
#[cfg(not(target_os = "none"))]
fn by_panels(operator: &Operator<'_>) -> bool {
    use crate::pack::Layout::{Aarch64, X86};
    operator.kind != OpKind::MatMul16 && matches!(operator.plan().layout(), X86 | Aarch64)
}

narrow_and_wide!(MatMul, MatMul16, scratch, |_| 0);

/// One matrix of the specification: `y[i][j] = clamp(zero + round(scale * sum_k (a[i][k] - zero_a) * (b[k][j] - zero_b)))`
/// for `[m, k, n] = sizes`, with `b` as `[k][n]`, or `[n][k]` when transposed.
pub fn reference<X: Quantized, Y: Quantized>(
    (a, zero_a): (&[X], i32),
    (b, zero_b): (&[X], i32),
    transposed: bool,
    (scale, clamp): (Scale, Clamp),
    [m, k, n]: [usize; 3],
    y: &mut [Y],
) {
    for (i, j) in (0..m * n).map(|index| (index / n, index % n)) {
        let sum = (0..k).fold(0i32, |sum, at| {
            let b = if transposed { b[j * k + at] } else { b[at * n + j] };
            sum.wrapping_add((a[i * k + at].wide() - zero_a).wrapping_mul(b.wide() - zero_b))
        });
        y[i * n + j] = clamp.apply(scale.apply(sum));
    }
}
