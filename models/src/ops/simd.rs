//! Products of small matrices and sums, in the widest vectors of the machine.
//!
//! A network of 32 channels has matrices that fit the first-level cache: what a library for large ones spends on packing, and
//! a pass over memory for every operation, would be most of a training step. Everything here is inlined into the caller, which
//! runs through [`vectorized`].

use pulp::{Arch, Simd, WithSimd};

/// Runs `op` compiled for the widest vectors of the machine.
pub(super) fn vectorized<T: WithSimd>(op: T) -> T::Output {
    Arch::new().dispatch(op)
}

/// A left factor `[m, k]`.
pub(super) trait Left: Copy {
    /// Some of its rows.
    type Strip<'a, const R: usize>: Strip
    where
        Self: 'a;

    /// `R` rows from `row` on.
    fn strip<const R: usize>(&self, row: usize, k: usize) -> Self::Strip<'_, R>;
}

/// Rows of a left factor.
pub(super) trait Strip {
    /// What all values at one depth share.
    type Slice<'a>: Slice
    where
        Self: 'a;

    /// The values at `depth`.
    fn slice(&self, depth: usize) -> Self::Slice<'_>;
}

/// Values of a left factor at one depth.
pub(super) trait Slice {
    /// That of row `index` of the strip.
    fn at(&self, index: usize) -> f32;
}

/// Rows one behind the other, the second value apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a>(pub &'a [f32], pub usize);

/// The transpose of what [`Rows`] is.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a>(pub &'a [f32], pub usize);

impl<'f> Left for Rows<'f> {
    type Strip<'a, const R: usize>
        = [&'f [f32]; R]
    where
        Self: 'a;

    #[inline(always)]
    fn strip<const R: usize>(&self, row: usize, k: usize) -> [&'f [f32]; R] {
        let mut rows = [&self.0[..0]; R];
        for (index, out) in rows.iter_mut().enumerate() {
            *out = &self.0[(row + index) * self.1..][..k];
        }
        rows
    }
}

impl<'f, const R: usize> Strip for [&'f [f32]; R] {
    type Slice<'a>
        = (&'a [&'f [f32]; R], usize)
    where
        Self: 'a;

    #[inline(always)]
    fn slice(&self, depth: usize) -> Self::Slice<'_> {
        (self, depth)
    }
}

impl<const R: usize> Slice for (&[&[f32]; R], usize) {
    #[inline(always)]
    fn at(&self, index: usize) -> f32 {
        self.0[index][self.1]
    }
}

impl<'f> Left for Columns<'f> {
    type Strip<'a, const R: usize>
        = ColumnStrip<'f, R>
    where
        Self: 'a;

    #[inline(always)]
    fn strip<const R: usize>(&self, row: usize, _k: usize) -> ColumnStrip<'f, R> {
        ColumnStrip(&self.0[row..], self.1)
    }
}

/// Rows of [`Columns`].
pub(super) struct ColumnStrip<'f, const R: usize>(&'f [f32], usize);

impl<'f, const R: usize> Strip for ColumnStrip<'f, R> {
    type Slice<'a>
        = &'f [f32]
    where
        Self: 'a;

    #[inline(always)]
    fn slice(&self, depth: usize) -> &'f [f32] {
        &self.0[depth * self.1..][..R]
    }
}

impl Slice for &[f32] {
    #[inline(always)]
    fn at(&self, index: usize) -> f32 {
        self[index]
    }
}

/// `out += left right`, `[m, n] += [m, k] [k, n]`; the second values of `right` and `out` are the distances of their rows.
#[inline(always)]
pub(super) fn product<S: Simd, L: Left>(
    simd: S,
    [m, n, k]: [usize; 3],
    left: L,
    right: (&[f32], usize),
    out: (&mut [f32], usize),
) {
    simd.vectorize(Product { size: [m, n, k], left, right, out });
}

struct Product<'a, L> {
    size: [usize; 3],
    left: L,
    right: (&'a [f32], usize),
    out: (&'a mut [f32], usize),
}

impl<L: Left> WithSimd for Product<'_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { size: [m, n, k], left, right, out: (out, stride) } = self;
        let mut row = 0;
        while row < m {
            let out = &mut out[row * stride..];
            let place = (row, k);
            row += match m - row {
                8.. => strip::<S, L, 8>(simd, place, n, left, right, (out, stride)),
                4.. => strip::<S, L, 4>(simd, place, n, left, right, (out, stride)),
                _ => strip::<S, L, 1>(simd, place, n, left, right, (out, stride)),
            };
        }
    }
}

/// `R` rows of a product; gives `R`.
#[inline(always)]
fn strip<S: Simd, L: Left, const R: usize>(
    simd: S,
    (row, k): (usize, usize),
    n: usize,
    left: L,
    right: (&[f32], usize),
    (out, stride): (&mut [f32], usize),
) -> usize {
    let lanes = S::F32_LANES;
    let mut column = 0;
    while column < n {
        let place = (row, column, k);
        column += match n - column {
            left_over if left_over >= 2 * lanes => {
                tile::<S, L, R, 2>(simd, place, left, right, (out, stride));
                2 * lanes
            }
            left_over if left_over >= lanes => {
                tile::<S, L, R, 1>(simd, place, left, right, (out, stride));
                lanes
            }
            left_over => {
                for column in column..n {
                    for index in 0..R {
                        let terms = 0..k;
                        let rows = left.strip::<R>(row, k);
                        let sum: f32 = terms
                            .map(|depth| rows.slice(depth).at(index) * right.0[depth * right.1 + column])
                            .sum();
                        out[index * stride + column] += sum;
                    }
                }
                left_over
            }
        };
    }
    R
}

/// `R` rows and `V` vectors of a product, held in registers.
#[inline(always)]
fn tile<S: Simd, L: Left, const R: usize, const V: usize>(
    simd: S,
    (row, column, k): (usize, usize, usize),
    left: L,
    (right, right_stride): (&[f32], usize),
    (out, stride): (&mut [f32], usize),
) {
    let width = V * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let rows = left.strip::<R>(row, k);
    for depth in 0..k {
        let values = S::as_simd_f32s(&right[depth * right_stride + column..][..width]).0;
        let slice = rows.slice(depth);
        for (index, sums) in sums.iter_mut().enumerate() {
            let factor = simd.splat_f32s(slice.at(index));
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = simd.mul_add_f32s(factor, values[vector], *sum);
            }
        }
    }
    for (index, sums) in sums.iter().enumerate() {
        let out = S::as_mut_simd_f32s(&mut out[index * stride + column..][..width]).0;
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = simd.add_f32s(*out, sum);
        }
    }
}

/// Sum of products.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut sums = simd.splat_f32s(0.0);
    for (&a, &b) in a.iter().zip(b) {
        sums = simd.mul_add_f32s(a, b, sums);
    }
    let mut sum = simd.reduce_sum_f32s(sums);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// Sum of values.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let mut sums = simd.splat_f32s(0.0);
    for &vector in vectors {
        sums = simd.add_f32s(sums, vector);
    }
    let mut sum = simd.reduce_sum_f32s(sums);
    for value in rest {
        sum += value;
    }
    sum
}

/// Adds the rows of a matrix to `out`.
#[inline(always)]
pub(super) fn add_rows(rows: &[f32], out: &mut [f32]) {
    for row in rows.chunks_exact(out.len()) {
        for (out, value) in out.iter_mut().zip(row) {
            *out += value;
        }
    }
}

/// Writes the transpose of `values`, rows of `width`, `stride` apart, times `scale`: `[width, rows]`.
#[inline(always)]
pub(super) fn transpose(values: &[f32], stride: usize, width: usize, scale: f32, out: &mut [f32]) {
    const BLOCK: usize = 16;
    let rows = out.len() / width;
    let whole = rows / BLOCK * BLOCK;
    for row in (0..whole).step_by(BLOCK) {
        let mut block = [&values[..0]; BLOCK];
        for (index, line) in block.iter_mut().enumerate() {
            *line = &values[(row + index) * stride..][..width];
        }
        for column in 0..width {
            let out = &mut out[column * rows + row..][..BLOCK];
            for (out, line) in out.iter_mut().zip(&block) {
                *out = line[column] * scale;
            }
        }
    }
    for row in whole..rows {
        for (column, value) in values[row * stride..][..width].iter().enumerate() {
            out[column * rows + row] = value * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Check(usize, usize, usize);

    impl WithSimd for Check {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let Self(m, n, k) = self;
            let values = |count: usize, phase: f32| -> Vec<f32> {
                (0..count).map(|index| (index as f32 * 0.7 + phase).sin()).collect()
            };
            let (a, b, start) = (values(m * k, 0.0), values(k * n, 1.0), values(m * n, 2.0));
            let mut turned = vec![0.0; m * k];
            transpose(&a, k, k, 1.0, &mut turned);
            let (mut rows, mut columns) = (start.clone(), start.clone());
            product(simd, [m, n, k], Rows(&a, k), (&b, n), (&mut rows, n));
            product(simd, [m, n, k], Columns(&turned, m), (&b, n), (&mut columns, n));
            for row in 0..m {
                for column in 0..n {
                    let sum: f64 = (0..k)
                        .map(|depth| f64::from(a[row * k + depth]) * f64::from(b[depth * n + column]))
                        .sum::<f64>()
                        + f64::from(start[row * n + column]);
                    for out in [&rows, &columns] {
                        let error = (f64::from(out[row * n + column]) - sum).abs();
                        assert!(error < 1e-5, "{m} {n} {k} at {row} {column}: {error}");
                    }
                }
            }
            let expected: f32 = a.iter().map(|value| value * value).sum();
            assert!((dot(simd, &a, &a) - expected).abs() < 1e-3);
            assert!((sum(simd, &a) - a.iter().sum::<f32>()).abs() < 1e-3);
        }
    }

    #[test]
    fn products_of_all_sizes() {
        for (m, n, k) in [(1, 1, 1), (8, 32, 5), (9, 33, 7), (13, 16, 64), (4, 47, 3), (23, 95, 31)] {
            vectorized(Check(m, n, k));
        }
    }
}
