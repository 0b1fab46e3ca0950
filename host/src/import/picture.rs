//! Models that take pictures: what pixels are, from the model's metadata or from the caller.

use mixel_core::plan::{ImageFrontEnd, ImageHead};

use super::model::Model;
use super::{ImportOptions, front_end};
use crate::graph::Graph;
use crate::image::Frame;
use crate::{Error, ErrorKind, Result};

/// Kind of the front end in the metadata.
pub(super) const KIND: &str = "image";
const RANGE: &str = "mixel.image.range";
const OUTPUT: &str = "mixel.image.output";

/// What is said of a model that takes pictures.
pub(super) struct Said {
    range: (f32, f32),
    head: Option<ImageHead>,
}

/// What the metadata of `model` and `options` say; none for a model that takes no pictures.
pub(super) fn read(model: &Model, options: &ImportOptions) -> Result<Option<Said>> {
    if model.metadata(front_end::KIND) != Some(KIND) {
        return Ok(options.pixels.map(|range| Said { range, head: None }));
    }
    let broken = |key: &str, message: String| {
        Error::new(ErrorKind::Format, key, message)
            .hint("export the model again; docs/pipeline.md describes the entries")
    };
    let range = match (options.pixels, model.metadata(RANGE)) {
        (Some(range), _) => range,
        (None, None) => (0.0, 1.0),
        (None, Some(text)) => range(text).ok_or_else(|| {
            broken(RANGE, format!("`{text}` is not two rising numbers separated by a comma"))
        })?,
    };
    let head = match model.metadata(OUTPUT) {
        None => None,
        Some("image") => Some(ImageHead::Image),
        Some("classes") => Some(ImageHead::Classes),
        Some(other) => return Err(broken(OUTPUT, format!("`{other}` is neither image nor classes"))),
    };
    Ok(Some(Said { range, head }))
}

/// Two finite, rising numbers separated by a comma.
pub(crate) fn range(text: &str) -> Option<(f32, f32)> {
    let (low, high) = text.split_once(',')?;
    let (low, high): (f32, f32) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    (low.is_finite() && high.is_finite() && low < high).then_some((low, high))
}

/// Gives `graph` the front end, if there is one and its ports are pictures. Without a word about the output it is a picture if
/// it has the shape of one with more than a pixel.
pub(super) fn attach(graph: &mut Graph, said: Option<Said>) -> Result<()> {
    let Some(Said { range: (low, high), head }) = said else { return Ok(()) };
    let frame = |id| {
        let value = graph.value(id);
        Frame::of_dims(&value.shape.dims).filter(|_| value.shape.dynamic == 0)
    };
    let refuse = |id, what: &str| {
        let value = graph.value(id);
        Error::new(
            ErrorKind::Shape,
            &value.name,
            format!("is no {what} of pictures: its shape is {}", value.shape),
        )
        .hint("a picture is 1x3xHxW or 1xHxWx3, float32 or quantized, of a fixed size, and the only input")
    };
    let [input] = graph.inputs[..] else {
        let message = format!("a model of pictures has one input, this one has {}", graph.inputs.len());
        return Err(Error::new(ErrorKind::Shape, "", message)
            .hint("leave --pixels out and give its inputs as arrays"));
    };
    if frame(input).is_none() {
        return Err(refuse(input, "input"));
    }
    let output = graph.outputs[0];
    let large = frame(output).filter(|frame| frame.width * frame.height > 1);
    let head = head.unwrap_or(if large.is_some() { ImageHead::Image } else { ImageHead::Classes });
    if head == ImageHead::Image && frame(output).is_none() {
        return Err(refuse(output, "output"));
    }
    graph.front_end.image = Some(ImageFrontEnd { low, high, head });
    Ok(())
}
