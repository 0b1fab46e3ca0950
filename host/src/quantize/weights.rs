//! Weights: int8 or int4, symmetric, one scale for every output channel; bias correction for the error that this makes.

use super::WeightForm;
use super::statistics::Observed;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Constant, Integers, Node, Op};

/// Integer weights in the order of the graph's constant: `real = scales[output channel] * integer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Integers, -127 to 127 or -8 to 7 when chosen here; the model's own otherwise.
    pub data: Vec<i8>,
    /// One for every output channel.
    pub scales: Vec<f32>,
    /// How they are to be stored.
    pub form: WeightForm,
}

/// Whether `integers` fit in four bits.
pub fn fits_int4(integers: &[i8]) -> bool {
    integers.iter().all(|integer| (-8..=7).contains(integer))
}

/// The axis of output channels in the weights of `op`; none when it has no weights.
pub fn output_axis(op: &Op) -> Option<usize> {
    match op {
        Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Linear { .. } => Some(0),
        Op::Projection => Some(2),
        _ => None,
    }
}

/// Output channel of every element of a constant in `dims` with output channels on `axis`.
fn channel_of(dims: &[usize], axis: usize) -> impl Fn(usize) -> usize {
    let (stride, count): (usize, usize) = (dims[axis + 1..].iter().product(), dims[axis]);
    move |index| index / stride.max(1) % count.max(1)
}

/// The nearest of 16 integers.
fn four_bits(weight: f64, scale: f64) -> f64 {
    (weight / scale).round().clamp(-8.0, 7.0)
}

/// The scale of one output channel with the least squared error in four bits; `ordinary` for one of zeros.
fn least_error_scale(row: &[f64], ordinary: f64) -> f64 {
    let largest = row.iter().fold(0f64, |max, weight| max.max(weight.abs()));
    if largest < ordinary * 1e-6 {
        return ordinary;
    }
    let error = |scale: f64| -> f64 {
        row.iter().map(|&weight| (weight - scale * four_bits(weight, scale)).powi(2)).sum()
    };
    let mut best = (f64::INFINITY, ordinary);
    for step in 0..=64 {
        let scale = largest / 7.0 * (1.0 - step as f64 / 96.0);
        let (products, squares) = row.iter().fold((0.0, 0.0), |(products, squares), &weight| {
            let integer = four_bits(weight, scale);
            (products + weight * integer, squares + integer * integer)
        });
        for scale in [scale, products / squares] {
            if scale > 0.0 && error(scale) < best.0 {
                best = (error(scale), scale);
            }
        }
    }
    best.1
}

impl Weights {
    /// The weights of `node`, to be stored in `form`: as the model gives them, or rounded to the nearest of 255 steps, of 16 for
    /// [`WeightForm::Int4`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the model's own quantization of them is not symmetric by output channel.
    pub fn new(
        node: &Node,
        constant: &Constant,
        dims: &[usize],
        axis: usize,
        form: WeightForm,
    ) -> Result<Self> {
        let mut weights = match (&constant.integers, form) {
            (Some(integers), _) if integers.bits <= 8 => Self::given(node, integers, dims[axis], axis)?,
            (_, WeightForm::Int4) => Self::least_error(&constant.data, dims, axis),
            _ => Self::nearest(&constant.data, dims, axis),
        };
        weights.form = form;
        Ok(weights)
    }

    fn given(node: &Node, integers: &Integers, outputs: usize, axis: usize) -> Result<Self> {
        let refuse = |message: &str| {
            Err(Error::new(ErrorKind::Unsupported, &node.name, message)
                .hint("export with symmetric int8 weights, per tensor or per output channel"))
        };
        let zeros = &integers.zero_points;
        let single = integers.scales.len() == 1;
        if !single && (integers.axis != axis || integers.scales.len() != outputs) {
            return refuse("its weights are quantized along another axis than that of the output channels");
        }
        if zeros.iter().any(|zero| *zero != zeros[0]) {
            return refuse("its weights have different zero points");
        }
        let zero = zeros.first().copied().unwrap_or(0);
        let data: Option<Vec<i8>> = integers.data.iter().map(|&q| i8::try_from(q - zero).ok()).collect();
        let Some(data) = data else {
            return refuse("its weights have a zero point that does not leave them in eight bits");
        };
        let scales = if single { vec![integers.scales[0]; outputs] } else { integers.scales.clone() };
        Ok(Self { data, scales, form: WeightForm::Int8 })
    }

    fn nearest(data: &[f32], dims: &[usize], axis: usize) -> Self {
        let channel = channel_of(dims, axis);
        let mut largest = vec![0f32; dims[axis]];
        for (index, weight) in data.iter().enumerate() {
            let largest = &mut largest[channel(index)];
            *largest = largest.max(weight.abs());
        }
        // A channel of zeros keeps an ordinary scale, so that its bias stays an ordinary integer.
        let common = largest.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE * 256.0);
        let scales: Vec<f32> =
            largest.iter().map(|&w| if w > common * 1e-6 { w / 127.0 } else { common / 127.0 }).collect();
        let integer = |(index, &weight): (usize, &f32)| {
            let steps = weight as f64 / scales[channel(index)] as f64;
            steps.round().clamp(-127.0, 127.0) as i8
        };
        Self { data: data.iter().enumerate().map(integer).collect(), scales, form: WeightForm::Int8 }
    }

    /// Integers from -8 to 7. With so few, the largest weight is worth less than the many small ones: of the scales from that
    /// which reaches it down to a third, each followed by the best one for the integers that it gives, every output channel
    /// gets the one with the least squared error.
    fn least_error(data: &[f32], dims: &[usize], axis: usize) -> Self {
        let channel = channel_of(dims, axis);
        let mut rows = vec![Vec::new(); dims[axis]];
        for (index, &weight) in data.iter().enumerate() {
            rows[channel(index)].push(f64::from(weight));
        }
        let largest =
            data.iter().fold(f64::from(f32::MIN_POSITIVE) * 256.0, |max, w| max.max(f64::from(w.abs())));
        let scales: Vec<f32> = rows.iter().map(|row| least_error_scale(row, largest / 7.0) as f32).collect();
        let integer =
            |(index, &weight): (usize, &f32)| four_bits(weight as f64, scales[channel(index)] as f64) as i8;
        Self { data: data.iter().enumerate().map(integer).collect(), scales, form: WeightForm::Int4 }
    }

    /// How much the mean of every output channel is off because `weights` were rounded, given the means of the inputs:
    /// `sum over inputs of (rounded - weight) * mean(input)` (Nagel et al. 2019). `groups` as in a convolution; output
    /// channels on axis 0 and input channels on the last.
    pub fn mean_error(&self, weights: &[f32], dims: &[usize], groups: usize, input: &Observed) -> Vec<f64> {
        let outputs = dims[0];
        let row: usize = dims[1..].iter().product();
        let inner = dims.last().copied().unwrap_or(1);
        let all = input.channels.iter().fold((0.0, 0u64), |(s, n), c| (s + c.sum, n + c.count));
        let mean_of_all = all.0 / all.1.max(1) as f64;
        let by_channel = input.channels.len() == inner * groups;
        let mean = |channel: usize| if by_channel { input.channels[channel].mean() } else { mean_of_all };
        let mut errors = vec![0.0; outputs];
        for (output, error) in errors.iter_mut().enumerate() {
            let first = output / (outputs / groups).max(1) * inner;
            for index in 0..row {
                let at = output * row + index;
                let rounded = self.data[at] as f64 * self.scales[output] as f64;
                *error += (rounded - weights[at] as f64) * mean(first + index % inner.max(1));
            }
        }
        errors
    }
}
