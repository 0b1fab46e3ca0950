//! Product of two activations: `a [b, h, m, k]` times `b [b, h, k, n]` (or `[b, h, n, k]`, transposed) gives
//! `y [b, h, m, n]`. Dimensions 0 and 1 of the second operand may be 1 and are then repeated.
//!
//! Each of m, k and n may vary at run time: `k` then sums over the rows present only. Zero points are those of the tensors.

use super::Run;
use super::requant::{Channel, Clamp, Quantized, Scale};
use super::wide::narrow_and_wide;
use crate::arch::matrix::Lane;
use crate::arch::product::{LANES, Matrices, combine, dot, dots};
use crate::arch::view::Out;
use crate::plan::write;
use crate::plan::{DType, Fault, Operator, Tensor};

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

struct Product {
    transposed: bool,
    scale: Scale,
    clamp: Clamp,
}

impl Product {
    fn read(operator: &Operator<'_>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let transposed = match cursor.u8() {
            0 => false,
            1 => true,
            _ => return None,
        };
        let scale = Scale::read(&mut cursor);
        let clamp = Clamp::read(&mut cursor, output.zero_point);
        (cursor.finished() && scale.valid()).then_some(Self { transposed, scale, clamp })
    }

    /// The axes of k and n in the second operand.
    fn axes(&self) -> (usize, usize) {
        if self.transposed { (3, 2) } else { (2, 3) }
    }
}

fn check<Y: Quantized>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (a, b, y) = operator.binary()?;
    if a.dtype != b.dtype {
        return Err(Fault::Types);
    }
    let product = Product::read(operator, &y).ok_or(Fault::Params)?;
    let (k, n) = product.axes();
    let same = |(left, i): (&Tensor, usize), (right, j): (&Tensor, usize)| {
        left.dims[i] == right.dims[j] && left.dynamic >> i & 1 == right.dynamic >> j & 1
    };
    let ([a0, a1, ..], [b0, b1, ..], [y0, y1, ..]) = (a.dims, b.dims, y.dims);
    let batches = a0 == y0 && a1 == y1 && (b0 == 1 || b0 == a0) && (b1 == 1 || b1 == a1);
    if (a.dynamic | b.dynamic | y.dynamic) & 0b0011 != 0 {
        return Err(Fault::Dynamic);
    }
    if !batches || !same((&a, 2), (&y, 2)) || !same((&a, 3), (&b, k)) || !same((&b, n), (&y, 3)) {
        return Err(Fault::Shapes);
    }
    if product.clamp.valid::<Y>() { Ok(()) } else { Err(Fault::Params) }
}

/// All of an operand is needed for every output: no sharing.
fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
    None
}

fn macs(operator: &Operator<'_>) -> u64 {
    operator.binary().map_or(0, |(a, _, y)| y.elements() as u64 * a.inner() as u64)
}

fn run<X: Lane, Y: Quantized>(run: &Run<'_>) {
    let Ok((a, b, y)) = run.operator().binary() else { return };
    let Some(product) = Product::read(run.operator(), &y) else { return };
    let (rows, zeros) = (run.rows(), (a.zero_point, b.zero_point));
    let [batches, heads, m, k] = a.dims_with(rows);
    // With one second operand for all, their rows are those of one matrix.
    let one = b.dims[..2] == [1, 1] && m == a.dims[2] as usize;
    let [batches, heads, m] = if one { [1, 1, batches * heads * m] } else { [batches, heads, m] };
    let n = y.dims_with(rows)[3];
    let finish = Channel { bias: 0, scale: product.scale };
    let (a_values, b_values, out) = (run.read::<X>(&a), run.read::<X>(&b), run.write::<Y>(&y));
    let [a_row, b_row, y_row] = [&a, &b, &y].map(Tensor::inner);
    let b_matrix = b.dims[2] as usize * b_row;
    let [a_matrix, y_matrix] = [&a, &y].map(|tensor| tensor.elements() / (batches * heads).max(1));
    for batch in 0..batches {
        for head in 0..heads {
            let index = batch * heads + head;
            let b_index =
                batch.min(b.dims[0] as usize - 1) * b.dims[1] as usize + head.min(b.dims[1] as usize - 1);
            let b = b_values.window(b_index * b_matrix, b_matrix);
            let matrices = Matrices {
                a: (a_values.window(index * a_matrix, a_matrix).cast(), a_row),
                zero_a: zeros.0,
                b: (b.cast(), if product.transposed { [1, b_row] } else { [b_row, 1] }),
                zero_b: zeros.1,
                sizes: [m, k, n],
                scale: product.scale,
                clamp: product.clamp,
            };
            if by_layout(run, &matrices, (a_row, y_row), out.window(index * y_matrix, y_matrix).cast()) {
                continue;
            }
            for row in 0..m {
                let a = a_values.window(index * a_matrix + row * a_row, k);
                let y = out.window(index * y_matrix + row * y_row, n);
                let mut column = 0;
                while column < n {
                    if product.transposed && column + 2 <= n {
                        let sums = dots::<X, 2>(a, b.window(column * b_row, b_matrix), b_row, zeros);
                        for (lane, sum) in sums.into_iter().enumerate() {
                            y.set(column + lane, finish.apply(sum, product.clamp));
                        }
                        column += 2;
                    } else if product.transposed {
                        let sum = dot(a, b.window(column * b_row, k), zeros);
                        y.set(column, finish.apply(sum, product.clamp));
                        column += 1;
                    } else if column + LANES <= n {
                        let b = b.window(column, b_matrix);
                        let sums = combine::<X, LANES>(a, b, b_row, zeros);
                        for (lane, sum) in sums.into_iter().enumerate() {
                            y.set(column + lane, finish.apply(sum, product.clamp));
                        }
                        column += LANES;
                    } else {
                        let [sum] = combine::<X, 1>(a, b.window(column, b_matrix), b_row, zeros);
                        y.set(column, finish.apply(sum, product.clamp));
                        column += 1;
                    }
                }
            }
        }
    }
}

/// The product by the layout's own way, if it has one: of 8 bits, for all but the generic order.
#[inline]
fn by_layout(
    run: &Run<'_>,
    matrices: &Matrices<'_>,
    (depth, columns): (usize, usize),
    y: Out<'_, i8>,
) -> bool {
    let _ = (run, matrices, depth, columns, y);
    #[cfg(mixel_columns)]
    if by_columns(run.operator()) {
        use crate::arch::helium::matmul;
        let scratch = run.scratch(0, matmul::bytes(depth, columns) / size_of::<i32>());
        return matmul::multiply(matrices, scratch, (y, columns));
    }
    #[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
    if by_tiles(run.operator()) {
        use crate::arch::dsp_matmul;
        let scratch = run.scratch(0, dsp_matmul::bytes(depth, columns));
        return dsp_matmul::multiply(matrices, scratch, (y, columns));
    }
    #[cfg(not(target_os = "none"))]
    if by_panels(run.operator()) {
        use crate::arch::host_matmul;
        let scratch = run.scratch(0, host_matmul::pairs(depth, columns));
        return host_matmul::multiply(run.backend(), matrices, scratch, (y, columns));
    }
    false
}

/// The second operand in the layout's order of weights.
fn scratch(operator: &Operator<'_>) -> usize {
    let Ok((a, _, y)) = operator.binary() else { return 0 };
    #[cfg(mixel_columns)]
    if by_columns(operator) {
        return crate::arch::helium::matmul::bytes(a.inner(), y.inner());
    }
    #[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
    if by_tiles(operator) {
        return crate::arch::dsp_matmul::bytes(a.inner(), y.inner());
    }
    #[cfg(not(target_os = "none"))]
    if by_panels(operator) {
        return crate::arch::host_matmul::pairs(a.inner(), y.inner()).saturating_mul(size_of::<i32>());
    }
    let _ = (a, y);
    0
}

/// Whether it is a product of 8 bits in the order of Helium.
#[cfg(mixel_columns)]
fn by_columns(operator: &Operator<'_>) -> bool {
    let narrow = operator.kind == super::OpKind::MatMul;
    narrow && operator.plan().layout().matrix().by_columns
}

/// Whether it is a product of 8 bits in the order of Arm DSP.
#[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
fn by_tiles(operator: &Operator<'_>) -> bool {
    operator.kind == super::OpKind::MatMul && operator.plan().layout() == crate::pack::Layout::ArmDsp
}

/// Whether it is a product of 8 bits in the order of a host.
#[cfg(not(target_os = "none"))]
fn by_panels(operator: &Operator<'_>) -> bool {
    use crate::pack::Layout::{Aarch64, X86};
    operator.kind == super::OpKind::MatMul && matches!(operator.plan().layout(), X86 | Aarch64)
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
