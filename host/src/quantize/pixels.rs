//! Ranges of pictures, which are known without looking: what pixels can be.

use super::range::Range;
use super::scheme::moves_integers;
use crate::graph::{Graph, ValueId};
use mixel_core::plan::ImageHead;

/// The values that are pictures of `graph`, with their range: its input, so that each of the 256 pixels has an integer of its own,
/// and an output that is a picture, so that its integers are pixels and no second rounding is needed. Where operators that only move
/// integers give that output, what they move is one too, as long as nothing else reads it.
pub(super) fn pictures(graph: &Graph) -> Option<(Range, Vec<ValueId>)> {
    let image = graph.front_end.image?;
    let mut pictures = graph.inputs.clone();
    if image.head == ImageHead::Image {
        let mut at = graph.outputs[0];
        pictures.push(at);
        while let Some(mover) = graph.nodes.iter().find(|node| node.output == at && moves_integers(&node.op))
        {
            at = mover.inputs[0];
            if graph.consumers(at).len() > 1 || graph.outputs.contains(&at) {
                break;
            }
            pictures.push(at);
        }
    }
    Some((Range::new(image.low, image.high), pictures))
}
