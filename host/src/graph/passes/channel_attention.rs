//! Attention between channels (Restormer's MDTA): queries and keys of unit length over positions, their products by a
//! temperature, a softmax, and the product with the values, found in whatever axes an exporter put them.
//!
//! What it becomes works on images as they lie in memory: [`Op::ChannelAttention`] from queries and keys, and a matrix
//! product of every pixel.

use super::edit;
use crate::graph::{Arithmetic, Clip, Constant, Function, Graph, Node, Op, Shape, Value, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| found(graph, index).is_some_and(|found| found.replace(graph, index)))
}

/// What the softmax at a node is part of.
struct Found {
    images: [ValueId; 3],
    temperatures: Vec<f32>,
    /// The value that has the result, an image.
    result: ValueId,
    channels: usize,
}

impl Found {
    fn replace(self, graph: &mut Graph, softmax: usize) -> bool {
        let Found { images: [queries, keys, values], temperatures, result, channels } = self;
        let name = graph.nodes[softmax].name.clone();
        let heads = Shape::fixed(&[temperatures.len()]);
        let constant = Constant { data: temperatures, integers: None };
        let temperatures = edit::add_constant(graph, &format!("{name}/temperature"), constant, heads);
        let shape = Shape::fixed(&[1, 1, channels, channels]);
        let matrix = edit::fresh(graph, &format!("{name}/channels"));
        let matrix = graph.add(Value { name: matrix, shape, ..Value::default() });
        let Some(product) = graph.producer(result) else { return false };
        let op = Op::MatMul { transpose_b: true, scale: 1.0 };
        graph.nodes[product] = Node { name: name.clone(), op, inputs: vec![values, matrix], output: result };
        let inputs = vec![queries, keys, temperatures];
        graph.nodes[softmax] = Node { name, op: Op::ChannelAttention, inputs, output: matrix };
        true
    }
}

/// An image `[1, h, w, c]` seen with other axes: for every element of the view, which one of the image it is.
struct View {
    image: ValueId,
    elements: Vec<usize>,
}

fn found(graph: &Graph, index: usize) -> Option<Found> {
    let Op::Softmax { axis } = graph.nodes[index].op else { return None };
    let (logits, attention) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    let &[.., heads, width, keys] = &graph.value(logits).shape.dims[..] else { return None };
    if keys != width || axis + 1 != graph.value(logits).shape.rank() {
        return None;
    }
    let (cosines, temperatures) = temperatures(graph, logits, heads)?;
    let product = edit::private_producer(graph, cosines)?;
    let Op::MatMul { transpose_b, scale } = graph.nodes[product].op else { return None };
    let [a, b] = graph.nodes[product].inputs[..] else { return None };
    let mix = edit::only_reader(graph, attention)?;
    let (Op::MatMul { transpose_b: values_transposed, scale: 1.0 }, [left, v]) =
        (&graph.nodes[mix].op, &graph.nodes[mix].inputs[..])
    else {
        return None;
    };
    if *left != attention {
        return None;
    }
    let (queries, keys, values) = (unit_length(graph, a)?, unit_length(graph, b)?, view(graph, *v));
    let [1, height, columns, channels] = graph.value(queries.image).shape.dims[..] else { return None };
    let positions = height * columns;
    if channels != heads * width
        || [&keys, &values].iter().any(|view| shape(graph, view) != shape(graph, &queries))
    {
        return None;
    }
    // Whether element (head, channel, position) of a view is that of the image, whichever of the last two axes comes first.
    let place = |head: usize, channel: usize, position: usize| position * channels + head * width + channel;
    let lies = |view: &View, positions_last: bool| {
        let each = (0..heads * width * positions).map(|at| {
            let (head, rest) = (at / (width * positions), at % (width * positions));
            match positions_last {
                true => place(head, rest / positions, rest % positions),
                false => place(head, rest % width, rest / width),
            }
        });
        view.elements.iter().copied().eq(each)
    };
    let result = image_of(graph, mix, &shape(graph, &queries), place, [heads, width, positions])?;
    let fits = lies(&queries, true) && lies(&keys, transpose_b) && lies(&values, !values_transposed);
    let temperatures = temperatures.iter().map(|temperature| temperature * scale).collect();
    let images = [queries.image, keys.image, values.image];
    fits.then_some(Found { images, temperatures, result, channels })
}

fn shape(graph: &Graph, view: &View) -> Vec<usize> {
    graph.value(view.image).shape.dims.clone()
}

/// What `logits` are before a factor for each head, and the factors.
fn temperatures(graph: &Graph, logits: ValueId, heads: usize) -> Option<(ValueId, Vec<f32>)> {
    let step = edit::private_producer(graph, logits)?;
    let node = &graph.nodes[step];
    match &node.op {
        Op::MatMul { .. } => Some((logits, vec![1.0; heads])),
        Op::Unary(functions) => match functions[..] {
            [Function::Affine { scale, offset: 0.0 }] => Some((node.inputs[0], vec![scale; heads])),
            _ => None,
        },
        Op::Binary { op: Arithmetic::Mul, clip: Clip::NONE } => {
            let by = |x: ValueId, factor: ValueId| {
                let data = &edit::constant(graph, factor)?.data;
                let dims = &graph.value(factor).shape.dims;
                let by_head = data.len() == heads && dims.iter().rev().nth(2).copied() == Some(heads);
                match data[..] {
                    [factor] => Some((x, vec![factor; heads])),
                    _ => by_head.then(|| (x, data.clone())),
                }
            };
            by(node.inputs[0], node.inputs[1]).or_else(|| by(node.inputs[1], node.inputs[0]))
        }
        _ => None,
    }
}

/// Where the elements of `id` come from, through reshapes and transpositions.
fn view(graph: &Graph, id: ValueId) -> View {
    let mut steps = Vec::new();
    let mut image = id;
    while let Some(step) = graph.producer(image).filter(|&step| rearranges(&graph.nodes[step].op)) {
        steps.push(step);
        image = graph.nodes[step].inputs[0];
    }
    let elements = (0..graph.value(image).shape.elements()).collect();
    let elements = steps.iter().rev().fold(elements, |elements, &step| moved(graph, step, elements));
    View { image, elements }
}

fn rearranges(op: &Op) -> bool {
    matches!(op, Op::Reshape | Op::Transpose { .. })
}

/// `elements` of the input of node `step`, in the order of its output.
fn moved(graph: &Graph, step: usize, elements: Vec<usize>) -> Vec<usize> {
    let Op::Transpose { perm } = &graph.nodes[step].op else { return elements };
    let from = &graph.value(graph.nodes[step].inputs[0]).shape.dims;
    let mut strides = vec![1; from.len()];
    for axis in (0..from.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * from[axis + 1];
    }
    let to: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
    let place = |mut at: usize| {
        let axes = to.iter().zip(perm).rev();
        axes.fold(0, |place, (&count, &axis)| {
            let step = at % count;
            at /= count;
            place + step * strides[axis]
        })
    };
    (0..elements.len()).map(|at| elements[place(at)]).collect()
}

/// The view behind `id` when each channel of it was divided by its norm over all positions on the way.
fn unit_length(graph: &Graph, id: ValueId) -> Option<View> {
    let mut steps = Vec::new();
    let mut at = id;
    let (norm, axes) = loop {
        let step = edit::private_producer(graph, at)?;
        match &graph.nodes[step].op {
            Op::L2Norm { axes, .. } => break (step, axes),
            op if rearranges(op) => steps.push(step),
            _ => return None,
        }
        at = graph.nodes[step].inputs[0];
    };
    let View { image, elements } = view(graph, graph.nodes[norm].inputs[0]);
    let [1, height, columns, channels] = graph.value(image).shape.dims[..] else { return None };
    // Elements that share a norm: as many as positions, all of one channel.
    let dims = &graph.value(graph.nodes[norm].inputs[0]).shape.dims;
    let shared: usize = axes.iter().map(|&axis| dims[axis]).product();
    let inner: usize = dims[axes.iter().max()? + 1..].iter().product();
    let adjoining = axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let of_channel = |(at, &element): (usize, &usize)| {
        let first = elements[at / (shared * inner) * (shared * inner) + at % inner];
        element % channels == first % channels
    };
    let fits = adjoining && shared == height * columns && elements.iter().enumerate().all(of_channel);
    let elements = steps.iter().rev().fold(elements, |elements, &step| moved(graph, step, elements));
    fits.then_some(View { image, elements })
}

/// The image of shape `dims` that the product at node `mix`, `[.., head, channel, position]`, becomes.
fn image_of(
    graph: &Graph,
    mix: usize,
    dims: &[usize],
    place: impl Fn(usize, usize, usize) -> usize,
    [heads, width, positions]: [usize; 3],
) -> Option<ValueId> {
    let mut elements: Vec<usize> = (0..heads * width * positions)
        .map(|at| place(at / (width * positions), at / positions % width, at % positions))
        .collect();
    let mut result = graph.nodes[mix].output;
    loop {
        let arrived =
            graph.value(result).shape.dims == dims && elements.iter().copied().eq(0..elements.len());
        if arrived {
            return Some(result);
        }
        let step = edit::only_reader(graph, result).filter(|&step| rearranges(&graph.nodes[step].op))?;
        elements = moved(graph, step, elements);
        result = graph.nodes[step].output;
    }
}
