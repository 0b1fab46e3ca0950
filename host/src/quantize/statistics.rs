//! What calibration saw of every value: ranges, means and powers by channel, and histograms when they are asked for.

use super::range::{Histogram, Range};
use crate::graph::{Graph, Origin, ValueId};

/// One value's observations. A channel is an index of the last axis; where that axis cannot be told in the float model,
/// or varies at run time, there is one channel for all.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// By channel.
    pub channels: Vec<Channel>,
    /// Of all elements, scaled as the value is.
    pub histogram: Option<Histogram>,
}

/// Observations of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Sum.
    pub sum: f64,
    /// Sum of squares.
    pub squares: f64,
    /// Number of values.
    pub count: u64,
}

impl Default for Channel {
    fn default() -> Self {
        Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0.0, squares: 0.0, count: 0 }
    }
}

impl Channel {
    fn add(&mut self, value: f32) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value as f64;
        self.squares += (value as f64).powi(2);
        self.count += 1;
    }

    /// With every value multiplied by `factor` (positive).
    pub fn scaled(self, factor: f32) -> Self {
        let (min, max) = (self.min * factor, self.max * factor);
        let (sum, squares) = (self.sum * factor as f64, self.squares * (factor as f64).powi(2));
        Self { min, max, sum, squares, count: self.count }
    }

    /// Largest absolute value; 0 when nothing was seen.
    pub fn magnitude(&self) -> f32 {
        if self.count == 0 { 0.0 } else { self.max.max(-self.min) }
    }

    /// Mean; 0 when nothing was seen.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

impl Observed {
    /// Range over all channels.
    pub fn range(&self) -> Range {
        let seen = self.channels.iter().filter(|channel| channel.count > 0);
        seen.fold(Range::ZERO, |range, channel| range.hull(Range::new(channel.min, channel.max)))
    }

    /// Mean square over all channels.
    pub fn power(&self) -> f64 {
        let squares: f64 = self.channels.iter().map(|channel| channel.squares).sum();
        squares / self.channels.iter().map(|channel| channel.count).sum::<u64>().max(1) as f64
    }

    /// Counts one observation of the float model's tensor: `data` in `dims`, of which the value is the view `origin`.
    /// `channels` is the value's last dimension.
    pub fn add(&mut self, data: &[f32], dims: &[usize], origin: &Origin, channels: usize) {
        let view = ChannelView::new(dims, origin, channels);
        self.channels.resize(view.channels, Channel::default());
        for (channel, values) in view.runs(data) {
            let (scale, mut seen) = (view.scale(origin, channel), self.channels[channel]);
            for value in values {
                seen.add(value * scale);
            }
            self.channels[channel] = seen;
        }
    }

    /// Counts one observation into the histogram, whose range is that of all observations.
    pub fn add_to_histogram(&mut self, data: &[f32], dims: &[usize], origin: &Origin, channels: usize) {
        let view = ChannelView::new(dims, origin, channels);
        let range = self.range();
        let histogram = self.histogram.get_or_insert_with(|| Histogram::new(range));
        for (channel, values) in view.runs(data) {
            let scale = view.scale(origin, channel);
            for value in values {
                histogram.count(value * scale);
            }
        }
    }
}

/// Which channel of a value an element of its float tensor belongs to.
struct ChannelView {
    channels: usize,
    stride: usize,
}

impl ChannelView {
    fn new(dims: &[usize], origin: &Origin, channels: usize) -> Self {
        let axis = origin.perm.last().copied().or_else(|| dims.len().checked_sub(1));
        match axis.filter(|&axis| dims.get(axis) == Some(&channels)) {
            Some(axis) => Self { channels, stride: dims[axis + 1..].iter().product() },
            None => Self { channels: 1, stride: 1 },
        }
    }

    /// Neighbouring elements of one channel, with the channel.
    fn runs<'d>(&self, data: &'d [f32]) -> impl Iterator<Item = (usize, &'d [f32])> {
        let channels = self.channels;
        data.chunks(self.stride.max(1)).enumerate().map(move |(run, values)| (run % channels, values))
    }

    fn scale(&self, origin: &Origin, channel: usize) -> f32 {
        if origin.channel_scale.len() == self.channels { origin.channel_scale[channel] } else { 1.0 }
    }
}

/// Observations of a graph's values.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// By [`ValueId`]; none for constants and for values that the float model does not have.
    pub values: Vec<Option<Observed>>,
}

impl Statistics {
    /// None yet, for the values of `graph`.
    pub fn new(graph: &Graph) -> Self {
        Self { values: vec![None; graph.values.len()] }
    }

    /// Observations of `id`.
    pub fn get(&self, id: ValueId) -> Option<&Observed> {
        self.values.get(id.0)?.as_ref()
    }

    /// The first value that was NaN or infinite at some time.
    pub fn first_not_finite(&self) -> Option<ValueId> {
        let finite = |channel: &Channel| channel.sum.is_finite() && channel.squares.is_finite();
        let broken =
            |seen: &Option<Observed>| seen.as_ref().is_some_and(|seen| !seen.channels.iter().all(finite));
        self.values.iter().position(broken).map(ValueId)
    }

    /// Observations of `id`, to add to.
    pub fn entry(&mut self, id: ValueId) -> &mut Observed {
        if self.values.len() <= id.0 {
            self.values.resize(id.0 + 1, None);
        }
        self.values[id.0].get_or_insert_with(Observed::default)
    }
}
