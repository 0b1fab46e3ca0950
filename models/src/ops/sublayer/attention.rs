//! [`super::Kind::Attention`].

use pulp::Simd;

use super::{Function, Gained, WeightSlopes, Weights};
use crate::ops::functions::exp_negative;
use crate::ops::simd::{Columns, Rows, add_rows, dot, product, sum, transpose};

pub(super) struct Attention {
    tokens: usize,
    heads: usize,
    second: Gained,
    first_turned: Vec<f32>,
    second_turned: Vec<f32>,
    /// Queries, keys and values of a group, `[N, 3C]`, and their gradients.
    rows: Vec<f32>,
    rows_slope: Vec<f32>,
    /// Keys or values of a head, `[width of a head, N]`.
    turned: Vec<f32>,
    /// How much each token takes of each, `[N, N]`, of every head; and the gradients of one.
    shares: Vec<f32>,
    shares_slope: Vec<f32>,
    /// Sums of values, `[N, C]`, and their gradients.
    sums: Vec<f32>,
    sums_slope: Vec<f32>,
}

impl Attention {
    pub(super) fn new(weights: Weights<'_>, tokens: usize, heads: usize) -> Self {
        let width = weights.gain.len();
        assert_eq!(weights.first_bias.len(), 3 * width, "queries, keys and values");
        assert_eq!(width % heads, 0, "heads divide the width");
        let second = Gained::new(weights);
        let (mut first_turned, mut second_turned) = (vec![0.0; 3 * width * width], vec![0.0; width * width]);
        transpose(weights.first, 3 * width, 3 * width, 1.0, &mut first_turned);
        transpose(&second.weights, width, width, 1.0, &mut second_turned);
        let [rows, rows_slope] = [tokens * 3 * width; 2].map(|len| vec![0.0; len]);
        let [sums, sums_slope] = [tokens * width; 2].map(|len| vec![0.0; len]);
        Self {
            tokens,
            heads,
            second,
            first_turned,
            second_turned,
            rows,
            rows_slope,
            turned: vec![0.0; tokens * width / heads],
            shares: vec![0.0; heads * tokens * tokens],
            shares_slope: vec![0.0; tokens * tokens],
            sums,
            sums_slope,
        }
    }

    /// Factor of the scores.
    fn scale(&self, width: usize) -> f32 {
        1.0 / ((width / self.heads) as f32).sqrt()
    }

    /// The sums of values of a group.
    #[inline(always)]
    fn attend<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32]) {
        let (tokens, width) = (self.tokens, weights.gain.len());
        let (size, stride, scale) = (width / self.heads, 3 * width, self.scale(width));
        for row in self.rows.chunks_exact_mut(stride) {
            row.copy_from_slice(weights.first_bias);
        }
        let shape = [tokens, stride, width];
        product(simd, shape, Rows(normal, width), (weights.first, stride), (&mut self.rows, stride));
        self.shares.fill(0.0);
        self.sums.fill(0.0);
        for (head, shares) in self.shares.chunks_exact_mut(tokens * tokens).enumerate() {
            let column = head * size;
            transpose(&self.rows[width + column..], stride, size, scale, &mut self.turned);
            let queries = Rows(&self.rows[column..], stride);
            product(simd, [tokens, tokens, size], queries, (&self.turned, tokens), (shares, tokens));
            for row in shares.chunks_exact_mut(tokens) {
                softmax(simd, row);
            }
            let values = (&self.rows[2 * width + column..], stride);
            let sums = (&mut self.sums[column..], width);
            product(simd, [tokens, size, tokens], Rows(shares, tokens), values, sums);
        }
    }
}

/// `e^x / sum of e^x` over a row.
#[inline(always)]
fn softmax<S: Simd>(simd: S, row: &mut [f32]) {
    let mut peak = f32::NEG_INFINITY;
    for &value in &*row {
        peak = if value > peak { value } else { peak };
    }
    for value in &mut *row {
        *value = exp_negative(*value - peak);
    }
    let factor = 1.0 / sum(simd, row);
    for value in row {
        *value *= factor;
    }
}

impl Function for Attention {
    fn tokens(&self) -> usize {
        self.tokens
    }

    #[inline(always)]
    fn forward<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32], out: &mut [f32]) {
        let (tokens, width) = (self.tokens, weights.gain.len());
        self.attend(simd, weights, normal);
        for row in out.chunks_exact_mut(width) {
            for (out, bias) in row.iter_mut().zip(&self.second.bias) {
                *out += bias;
            }
        }
        let sums = Rows(&self.sums, width);
        product(simd, [tokens, width, width], sums, (&self.second.weights, width), (out, width));
    }

    #[inline(always)]
    fn backward<S: Simd>(
        &mut self,
        simd: S,
        weights: Weights<'_>,
        normal: &[f32],
        grad: &[f32],
        normal_out: &mut [f32],
        slopes: &mut WeightSlopes,
    ) {
        let (tokens, width) = (self.tokens, weights.gain.len());
        let (size, stride, scale) = (width / self.heads, 3 * width, self.scale(width));
        self.attend(simd, weights, normal);
        let shape = [width, width, tokens];
        product(simd, shape, Columns(&self.sums, width), (grad, width), (&mut slopes.second, width));
        add_rows(grad, &mut slopes.second_bias);
        self.sums_slope.fill(0.0);
        let shape = [tokens, width, width];
        let turned = (&self.second_turned[..], width);
        product(simd, shape, Rows(grad, width), turned, (&mut self.sums_slope, width));
        self.rows_slope.fill(0.0);
        for (head, shares) in self.shares.chunks_exact(tokens * tokens).enumerate() {
            let column = head * size;
            let (queries, keys, values) = (column, width + column, 2 * width + column);
            let slope = (&self.sums_slope[column..], width);
            let out = (&mut self.rows_slope[values..], stride);
            product(simd, [tokens, size, tokens], Columns(shares, tokens), slope, out);
            transpose(&self.rows[values..], stride, size, 1.0, &mut self.turned);
            self.shares_slope.fill(0.0);
            let out = (&mut self.shares_slope[..], tokens);
            let slope = Rows(slope.0, width);
            product(simd, [tokens, tokens, size], slope, (&self.turned, tokens), out);
            for (slope, shares) in self.shares_slope.chunks_exact_mut(tokens).zip(shares.chunks_exact(tokens))
            {
                let mean = dot(simd, slope, shares);
                for (slope, share) in slope.iter_mut().zip(shares) {
                    *slope = (*slope - mean) * share * scale;
                }
            }
            let slope = &self.shares_slope[..];
            let out = (&mut self.rows_slope[queries..], stride);
            product(simd, [tokens, size, tokens], Rows(slope, tokens), (&self.rows[keys..], stride), out);
            let out = (&mut self.rows_slope[keys..], stride);
            product(
                simd,
                [tokens, size, tokens],
                Columns(slope, tokens),
                (&self.rows[queries..], stride),
                out,
            );
        }
        let slope = &self.rows_slope[..];
        let shape = [width, stride, tokens];
        product(simd, shape, Columns(normal, width), (slope, stride), (&mut slopes.first, stride));
        add_rows(slope, &mut slopes.first_bias);
        let shape = [tokens, width, stride];
        product(simd, shape, Rows(slope, stride), (&self.first_turned, width), (normal_out, width));
    }

    fn finish(&self, weights: Weights<'_>, slopes: &mut WeightSlopes) {
        Gained::separate(weights, slopes);
    }
}
