//! Pooling over windows and over whole images.

use tract_onnx::pb::NodeProto;

use super::window;
use crate::Result;
use crate::graph::{Op, Pooling, Reduction, Window};
use crate::import::builder::Builder;
use crate::import::model::NodeExt;

/// MaxPool and AveragePool.
pub fn pool(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if b.is_read(node, 1) {
        return Err(node.unsupported("its second output (indices) is used", "only the maxima are computed"));
    }
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    let output = &b.output_fact(node, 0)?.shape.dims;
    let kernel = window::kernel(node)?;
    let window = window::of(node, kernel, &window::spatial(b, x), &output[2..])?;
    let counts_padding = node.int("count_include_pad").unwrap_or(0) != 0 && window.pad != [0; 4];
    let pooling = match node.op_type.as_str() {
        "MaxPool" => Pooling::Max,
        _ if counts_padding => Pooling::AverageWithPad,
        _ => Pooling::Average,
    };
    if pooling == Pooling::AverageWithPad && node.int("ceil_mode").unwrap_or(0) != 0 {
        // Padding counts, what lies beyond it does not: no window says that.
        let stated: i64 = node.ints("pads").unwrap_or_default().iter().sum();
        if stated != window.pad.iter().sum::<usize>() as i64 {
            let hint = "use count_include_pad=0, or a size that the stride divides";
            return Err(
                node.unsupported("count_include_pad with windows beyond the padding (ceil_mode)", hint)
            );
        }
    }
    b.finish_nhwc(node, Op::Pool { pooling, window }, &[x])
}

/// GlobalMaxPool and GlobalAveragePool.
pub fn global(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    let shape = b.shape(x);
    let max = node.op_type == "GlobalMaxPool";
    let op = if shape.dynamic == 0 {
        let kernel = window::spatial(b, x);
        let window = Window { kernel, stride: [1, 1], dilation: [1, 1], pad: [0; 4] };
        Op::Pool { pooling: if max { Pooling::Max } else { Pooling::Average }, window }
    } else {
        Op::Reduce { reduction: if max { Reduction::Max } else { Reduction::Mean }, axes: vec![1, 2] }
    };
    b.finish_nhwc(node, op, &[x])
}
