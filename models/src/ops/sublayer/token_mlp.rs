//! [`super::Kind::TokenMlp`]. Tokens are mixed by products from the left, so nothing is transposed on the way forward.

use pulp::Simd;

use super::{Function, WeightSlopes, Weights};
use crate::ops::functions::normal as distribution;
use crate::ops::simd::{Columns, Rows, product, sum, transpose};

pub(super) struct TokenMlp {
    tokens: usize,
    /// Hidden values, `[hidden, C]`, and their gradients.
    hidden: Vec<f32>,
    slope: Vec<f32>,
    /// Gradients of a group, and of its hidden values, with the channels as rows.
    grad_turned: Vec<f32>,
    slope_turned: Vec<f32>,
}

impl TokenMlp {
    pub(super) fn new(weights: Weights<'_>) -> Self {
        let (width, tokens) = (weights.gain.len(), weights.second_bias.len());
        let [hidden, slope, slope_turned] = [width * weights.first_bias.len(); 3].map(|len| vec![0.0; len]);
        Self { tokens, hidden, slope, slope_turned, grad_turned: vec![0.0; width * tokens] }
    }

    /// The hidden values before their function.
    #[inline(always)]
    fn up<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32]) {
        let (width, inner, tokens) =
            (weights.gain.len(), weights.first_bias.len(), weights.second_bias.len());
        for (row, &bias) in self.hidden.chunks_exact_mut(width).zip(weights.first_bias) {
            row.fill(bias);
        }
        let first = Columns(weights.first, inner);
        product(simd, [inner, width, tokens], first, (normal, width), (&mut self.hidden, width));
    }
}

impl Function for TokenMlp {
    fn tokens(&self) -> usize {
        self.tokens
    }

    #[inline(always)]
    fn forward<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32], out: &mut [f32]) {
        let (width, inner, tokens) =
            (weights.gain.len(), weights.first_bias.len(), weights.second_bias.len());
        self.up(simd, weights, normal);
        for row in self.hidden.chunks_exact_mut(width) {
            for (value, gain) in row.iter_mut().zip(weights.gain) {
                *value *= distribution(*value).0 * gain;
            }
        }
        for (row, bias) in out.chunks_exact_mut(width).zip(weights.second_bias) {
            for (out, gain) in row.iter_mut().zip(weights.gain) {
                *out += bias * gain;
            }
        }
        let second = Columns(weights.second, tokens);
        product(simd, [tokens, width, inner], second, (&self.hidden, width), (out, width));
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
        let (width, inner, tokens) =
            (weights.gain.len(), weights.first_bias.len(), weights.second_bias.len());
        self.up(simd, weights, normal);
        self.slope.fill(0.0);
        let second = Rows(weights.second, tokens);
        product(simd, [inner, width, tokens], second, (grad, width), (&mut self.slope, width));
        for (values, slopes_row) in
            self.hidden.chunks_exact_mut(width).zip(self.slope.chunks_exact_mut(width))
        {
            for (((value, slope), gain), gain_out) in
                values.iter_mut().zip(slopes_row).zip(weights.gain).zip(&mut slopes.gain)
            {
                let (cumulative, density) = distribution(*value);
                let active = *value * cumulative;
                *gain_out += active * *slope;
                *slope *= gain * (cumulative + *value * density);
                *value = active * gain;
            }
        }
        for ((row, bias), bias_out) in
            grad.chunks_exact(width).zip(weights.second_bias).zip(&mut slopes.second_bias)
        {
            for ((grad, gain), gain_out) in row.iter().zip(weights.gain).zip(&mut slopes.gain) {
                *bias_out += grad * gain;
                *gain_out += grad * bias;
            }
        }
        transpose(grad, width, width, 1.0, &mut self.grad_turned);
        let turned = (&self.grad_turned[..], tokens);
        product(
            simd,
            [inner, tokens, width],
            Rows(&self.hidden, width),
            turned,
            (&mut slopes.second, tokens),
        );
        transpose(&self.slope, width, width, 1.0, &mut self.slope_turned);
        let turned = (&self.slope_turned[..], inner);
        product(simd, [tokens, inner, width], Rows(normal, width), turned, (&mut slopes.first, inner));
        for (row, bias_out) in self.slope.chunks_exact(width).zip(&mut slopes.first_bias) {
            *bias_out += sum(simd, row);
        }
        let first = Rows(weights.first, inner);
        product(simd, [tokens, width, inner], first, (&self.slope, width), (normal_out, width));
    }

    fn finish(&self, _weights: Weights<'_>, _slopes: &mut WeightSlopes) {}
}
