//! [`super::projection`] with weights of four bits: eight are added at once.

use super::projection::Layer;
use super::{Kernel, OpKind, Run};
use crate::arch::int4::Lanes;
use crate::pack::Int4Order;
use crate::plan::{DType, Fault, Operator};

/// The operator, with int8 output.
pub struct ProjectionInt4;

impl Kernel for ProjectionInt4 {
    const KIND: OpKind = OpKind::ProjectionInt4;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let layer = Layer::check::<i8>(operator, DType::I8, |width| Int4Order::WORDS.row_bytes(width))?;
        let rows = layer.slots * operator.input(0)?.inner();
        if layer.weights.cast::<u32>().is_empty() {
            // They do not begin at a word.
            return Err(Fault::Constants);
        }
        if rows > Lanes::MOST { Err(Fault::Shapes) } else { Ok(()) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(layer) = Layer::read(run.operator(), &output) else { return };
        let (x, y) = (run.read::<u16>(&input), run.write::<i8>(&output));
        let [_, _, words, hashes] = input.dims_with(run.rows());
        let (x, width) = (x.window(0, words * hashes), output.inner());
        let (weights, row_words) = (layer.weights.cast::<u32>(), Int4Order::WORDS.row_bytes(width) / 4);
        for word in 0..words {
            for first in (0..width).step_by(Lanes::COUNT) {
                let (mut lanes, mut rows) = (Lanes::default(), 0);
                layer.each_row((x, hashes), word, |row| {
                    lanes.add(weights.get(row * row_words + first / Lanes::COUNT));
                    rows += 1;
                });
                let channels = first..width.min(first + Lanes::COUNT);
                for (channel, sum) in channels.zip(lanes.sums(rows)) {
                    y.set(word * width + channel, layer.channels.finish(channel, sum, layer.clamp));
                }
            }
        }
    }
}
