//! [`super::Kind::FeedForward`].

use pulp::Simd;

use super::{Function, Gained, WeightSlopes, Weights};
use crate::ops::functions::normal as distribution;
use crate::ops::simd::{Columns, Rows, add_rows, product, transpose};

/// Tokens a group: their hidden values and the weights stay in the first-level cache.
const TOKENS: usize = 64;

pub(super) struct FeedForward {
    second: Gained,
    first_turned: Vec<f32>,
    second_turned: Vec<f32>,
    hidden: Vec<f32>,
    slope: Vec<f32>,
}

impl FeedForward {
    pub(super) fn new(weights: Weights<'_>) -> Self {
        let (width, inner) = (weights.gain.len(), weights.first_bias.len());
        let second = Gained::new(weights);
        let [mut first_turned, mut second_turned] = [width * inner; 2].map(|len| vec![0.0; len]);
        transpose(weights.first, inner, inner, 1.0, &mut first_turned);
        transpose(&second.weights, width, width, 1.0, &mut second_turned);
        let [hidden, slope] = [TOKENS * inner; 2].map(|len| vec![0.0; len]);
        Self { second, first_turned, second_turned, hidden, slope }
    }

    /// The hidden values before their function.
    #[inline(always)]
    fn up<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32]) -> usize {
        let (width, inner) = (weights.gain.len(), weights.first_bias.len());
        let tokens = normal.len() / width;
        for row in self.hidden.chunks_exact_mut(inner) {
            row.copy_from_slice(weights.first_bias);
        }
        let size = [tokens, inner, width];
        product(simd, size, Rows(normal, width), (weights.first, inner), (&mut self.hidden, inner));
        tokens
    }
}

impl Function for FeedForward {
    fn tokens(&self) -> usize {
        TOKENS
    }

    #[inline(always)]
    fn forward<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32], out: &mut [f32]) {
        let (width, inner) = (weights.gain.len(), weights.first_bias.len());
        let tokens = self.up(simd, weights, normal);
        for value in &mut self.hidden[..tokens * inner] {
            *value *= distribution(*value).0;
        }
        for row in out.chunks_exact_mut(width) {
            for (out, bias) in row.iter_mut().zip(&self.second.bias) {
                *out += bias;
            }
        }
        let size = [tokens, width, inner];
        product(simd, size, Rows(&self.hidden, inner), (&self.second.weights, width), (out, width));
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
        let (width, inner) = (weights.gain.len(), weights.first_bias.len());
        let tokens = self.up(simd, weights, normal);
        let (hidden, slope) = (&mut self.hidden[..tokens * inner], &mut self.slope[..tokens * inner]);
        slope.fill(0.0);
        let size = [tokens, inner, width];
        product(simd, size, Rows(grad, width), (&self.second_turned, inner), (slope, inner));
        for (value, slope) in hidden.iter_mut().zip(&mut *slope) {
            let (cumulative, density) = distribution(*value);
            *slope *= cumulative + *value * density;
            *value *= cumulative;
        }
        let (hidden, slope) = (&*hidden, &*slope);
        let size = [inner, width, tokens];
        product(simd, size, Columns(hidden, inner), (grad, width), (&mut slopes.second, width));
        add_rows(grad, &mut slopes.second_bias);
        let size = [width, inner, tokens];
        product(simd, size, Columns(normal, width), (slope, inner), (&mut slopes.first, inner));
        add_rows(slope, &mut slopes.first_bias);
        let size = [tokens, width, inner];
        product(simd, size, Rows(slope, inner), (&self.first_turned, width), (normal_out, width));
    }

    fn finish(&self, weights: Weights<'_>, slopes: &mut WeightSlopes) {
        Gained::separate(weights, slopes);
    }
}
