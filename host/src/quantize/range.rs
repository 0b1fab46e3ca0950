//! From observed real values to a scale and a zero point.

use mixel_core::plan::DType;

use crate::graph::Quantization;

/// A closed interval of real numbers that holds zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower end, at most 0.
    pub min: f32,
    /// Upper end, at least 0.
    pub max: f32,
}

impl Range {
    /// Only zero.
    pub const ZERO: Self = Self { min: 0.0, max: 0.0 };

    /// The smallest range that holds `min`, `max` and zero.
    pub fn new(min: f32, max: f32) -> Self {
        Self { min: min.min(0.0), max: max.max(0.0) }
    }

    /// The range of `data`.
    pub fn of(data: &[f32]) -> Self {
        data.iter().fold(Self::ZERO, |range, &x| range.hull(Self::new(x, x)))
    }

    /// The smallest range that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Largest absolute value.
    pub fn magnitude(self) -> f32 {
        self.max.max(-self.min)
    }

    /// The quantization that covers this range with all steps of `dtype`: int8 asymmetric, int16 symmetric.
    pub fn quantization(self, dtype: DType) -> Quantization {
        if dtype == DType::I16 {
            let scale = positive(self.magnitude() / i16::MAX as f32);
            return Quantization { scale, zero_point: 0, dtype };
        }
        let scale = positive((self.max - self.min) / 255.0);
        let zero_point = (-128.0 - self.min as f64 / scale as f64).round();
        Quantization { scale, zero_point: (zero_point as i32).clamp(-128, 127), dtype: DType::I8 }
    }

    /// The real values that `quantization` can represent.
    pub fn representable(quantization: &Quantization) -> Self {
        let (low, high) = quantization.dtype.range();
        let real = |integer: i32| quantization.scale * (integer - quantization.zero_point) as f32;
        Self::new(real(low), real(high))
    }
}

/// Scales are never zero: a tensor of zeros gets steps of 1/128.
fn positive(scale: f32) -> f32 {
    if scale > f32::MIN_POSITIVE { scale } else { 1.0 / 128.0 }
}

/// The integer nearest to `real`, halves up as on the device, saturated.
pub fn quantize_value(real: f64, quantization: &Quantization) -> i32 {
    let (low, high) = quantization.dtype.range();
    let steps = (real / quantization.scale as f64 + 0.5).floor() + quantization.zero_point as f64;
    steps.clamp(low as f64, high as f64) as i32
}

/// The real value of `integer`.
pub fn dequantize_value(integer: i32, quantization: &Quantization) -> f64 {
    quantization.scale as f64 * (integer - quantization.zero_point) as f64
}

/// Counts of observed values in equal intervals of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// What the bins cover.
    pub range: Range,
    /// Counts.
    pub bins: Vec<u64>,
}

impl Histogram {
    /// Number of bins: eight for each step of int8.
    const BINS: usize = 2048;

    /// An empty histogram over `range`.
    pub fn new(range: Range) -> Self {
        Self { range, bins: vec![0; Self::BINS] }
    }

    /// Counts one value.
    pub fn count(&mut self, value: f32) {
        let width = (self.range.max - self.range.min).max(f32::MIN_POSITIVE);
        let bin = ((value - self.range.min) / width * Self::BINS as f32) as usize;
        self.bins[bin.min(Self::BINS - 1)] += 1;
    }

    fn center(&self, bin: usize) -> f32 {
        let width = (self.range.max - self.range.min) / Self::BINS as f32;
        self.range.min + (bin as f32 + 0.5) * width
    }

    /// The range that leaves out the share `1 - kept` of the values, half of it at each end.
    pub fn percentile(&self, kept: f32) -> Range {
        let total: u64 = self.bins.iter().sum();
        let tail = (total as f64 * (1.0 - kept as f64) / 2.0) as u64;
        let reached = |seen: &mut u64, bin: usize| {
            *seen += self.bins[bin];
            Some((bin, *seen > tail))
        };
        let first = |(_, reached): &(usize, bool)| *reached;
        let low = (0..Self::BINS).scan(0, reached).find(first).map_or(0.0, |(bin, _)| self.center(bin));
        let high =
            (0..Self::BINS).rev().scan(0, reached).find(first).map_or(0.0, |(bin, _)| self.center(bin));
        // A range never ends between zero and the data: relu outputs stay at exactly zero.
        Range::new(if low < 0.0 { low } else { 0.0 }, if high > 0.0 { high } else { 0.0 })
    }

    /// The range, shrunk from both ends alike, with the least mean squared error of int8 rounding and clipping.
    pub fn least_error(&self) -> Range {
        let candidates = (20..=100).map(|percent| {
            let part = percent as f32 / 100.0;
            Range { min: self.range.min * part, max: self.range.max * part }
        });
        let error = |range: &Range| self.mean_squared_error(&range.quantization(DType::I8));
        candidates.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(self.range)
    }

    /// Mean squared error of `quantization` on the counted values.
    pub fn mean_squared_error(&self, quantization: &Quantization) -> f64 {
        let limits = Range::representable(quantization);
        // Within a step the error is uniform; outside it is the distance to the end.
        let rounding = (quantization.scale as f64).powi(2) / 12.0;
        let (mut sum, mut total) = (0.0, 0u64);
        for (bin, &count) in self.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let value = self.center(bin);
            let beyond = (value - value.clamp(limits.min, limits.max)) as f64;
            sum += count as f64 * if beyond == 0.0 { rounding } else { beyond * beyond };
            total += count;
        }
        sum / total.max(1) as f64
    }
}
