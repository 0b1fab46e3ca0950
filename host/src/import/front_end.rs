//! The front end that a model carries in its metadata: text hashing or windows of events, and class names.

use mixel_core::events::Geometry;
use mixel_core::events::histogram::HistogramConfig;
use mixel_core::events::patch::Grid;
use mixel_core::plan::TextHead;
use mixel_core::text::TextFrontEnd;
use serde::Deserialize;

use super::model::Model;
use crate::graph::{Arithmetic, EventSpec, FrontEndSpec, Graph, Op, Shape, TextSpec};
use crate::{Error, ErrorKind, Result};

/// Key of the metadata entry.
const KEY: &str = "mixel.frontend";

#[derive(Deserialize)]
struct Entry {
    kind: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(flatten)]
    text: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Text {
    hash: String,
    units: String,
    n: u16,
    m: u16,
    window: u16,
    length: u16,
    head: String,
}

/// The front end of `model`, if it has one.
pub fn read(model: &Model) -> Result<FrontEndSpec> {
    match model.metadata(KIND) {
        Some(super::picture::KIND) => {
            return Ok(FrontEndSpec { labels: labels(model)?, ..FrontEndSpec::default() });
        }
        Some(kind) => return events(model, kind),
        None => {}
    }
    let Some(json) = model.metadata(KEY) else { return Ok(FrontEndSpec::default()) };
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        let hint = "export the model again; docs/pipeline.md describes the entry";
        Error::new(ErrorKind::Format, KEY, "this metadata entry is not understood")
            .hint(hint)
            .caused_by(error)
    };
    let entry: Entry = serde_json::from_str(json).map_err(|error| broken(error.into()))?;
    let text = match entry.kind.as_str() {
        "none" => None,
        "text" => {
            let text = serde_json::Value::Object(entry.text);
            let text: Text = serde_json::from_value(text).map_err(|error| broken(error.into()))?;
            if text.hash != "fnv1a-fmix" || text.units != "byte3" {
                let message = format!("hash `{}` over units `{}` is not handled", text.hash, text.units);
                let hint = "use hash fnv1a-fmix and units byte3";
                return Err(Error::new(ErrorKind::Unsupported, KEY, message).hint(hint));
            }
            let head = match text.head.as_str() {
                "sequence" => TextHead::Sequence,
                "tokens" => TextHead::Tokens,
                other => return Err(broken(format!("head `{other}` is neither sequence nor tokens").into())),
            };
            let text = TextFrontEnd::new(text.n, text.m, text.window, text.length)
                .map_err(|error| broken(error.into()))?;
            Some(TextSpec { text, head })
        }
        other => return Err(broken(format!("kind `{other}` is neither text nor none").into())),
    };
    Ok(FrontEndSpec { text, labels: entry.labels, ..FrontEndSpec::default() })
}

/// Key of the metadata entry that names the kind of a front end whose fields are entries of their own.
pub(super) const KIND: &str = "mixel.front_end";

/// The entry `mixel.labels`: class names as a JSON list; none without it.
fn labels(model: &Model) -> Result<Vec<String>> {
    const LABELS: &str = "mixel.labels";
    let Some(json) = model.metadata(LABELS) else { return Ok(Vec::new()) };
    serde_json::from_str(json).map_err(|error| {
        Error::new(ErrorKind::Format, LABELS, "is no JSON list of class names")
            .hint("export the model again; docs/pipeline.md describes the entries")
            .caused_by(error)
    })
}

/// The front end of a model over events: entries `mixel.events.*` and `mixel.labels`.
fn events(model: &Model, kind: &str) -> Result<FrontEndSpec> {
    let broken = |key: &str, message: String| {
        Error::new(ErrorKind::Format, key, message)
            .hint("export the model again; docs/pipeline.md describes the entries")
    };
    if kind != "events" {
        return Err(broken(KIND, format!("front end `{kind}` is not known")));
    }
    let entry = |key: &str| {
        let key = format!("mixel.events.{key}");
        model.metadata(&key).ok_or_else(|| broken(&key, "this metadata entry is missing".into()))
    };
    let numbers = |key: &str, separator: char, count: usize| -> Result<Vec<i64>> {
        let text = entry(key)?;
        let numbers: Option<Vec<i64>> = text.split(separator).map(|part| part.trim().parse().ok()).collect();
        let message = || format!("`{text}` is not {count} whole numbers separated by `{separator}`");
        numbers.filter(|all| all.len() == count).ok_or_else(|| broken(key, message()))
    };
    let range = |key: &str| broken(key, "a number is out of its range".into());
    let short = |key: &str, value: i64| u16::try_from(value).map_err(|_| range(key));
    let byte = |key: &str, value: i64| u8::try_from(value).map_err(|_| range(key));
    let edge = |value: i64| i16::try_from(value).map_err(|_| range("grid"));
    let one = |key: &str| numbers(key, ',', 1).map(|list| list[0]);
    if entry("representation")? != "histogram" {
        return Err(broken("representation", "only `histogram` is handled".into()));
    }
    let sensor = numbers("sensor", 'x', 2)?;
    let grid = numbers("grid", ',', 6)?;
    let histogram = HistogramConfig {
        geometry: Geometry { width: short("sensor", sensor[0])?, height: short("sensor", sensor[1])? },
        grid: Grid {
            left: edge(grid[0])?,
            top: edge(grid[1])?,
            shift: byte("grid", grid[2])?,
            patch: byte("grid", grid[3])?,
            columns: byte("grid", grid[4])?,
            rows: byte("grid", grid[5])?,
        },
        bins: byte("bins", one("bins")?)?,
        least_pixels: short("least_pixels", one("least_pixels")?)?,
        max_tokens: short("max_tokens", one("max_tokens")?)?,
    };
    histogram.check().map_err(|error| broken("grid", error.to_string()))?;
    let window_us = u32::try_from(one("window_us")?).map_err(|_| range("window_us"))?;
    let events = Some(EventSpec { histogram, window_us });
    Ok(FrontEndSpec { events, labels: labels(model)?, ..FrontEndSpec::default() })
}

/// Turns the first Linear of a text model, over the features of a window, into a [`Op::Projection`] over bins.
pub fn project(graph: &mut Graph) -> Result<()> {
    let Some(spec) = graph.front_end.text else { return Ok(()) };
    let refuse = |path: &str, message: String| {
        let hint =
            "a text model takes `features` [1, length, (2*window+1)*m] straight into one MatMul (+ Add)";
        Error::new(ErrorKind::Unsupported, path, message).hint(hint)
    };
    let (slots, m) = (spec.text.slots(), spec.text.m());
    let [features] = graph.inputs[..] else {
        return Err(refuse(KEY, format!("a text model has one input, this one has {}", graph.inputs.len())));
    };
    let shape = graph.value(features).shape.clone();
    let [1, length, width] = shape.dims[..] else {
        return Err(refuse(&graph.value(features).name, format!("its shape is {shape}")));
    };
    if length != spec.text.length() || width != slots * m {
        let message =
            format!("its shape is {shape}, the front end makes 1x{}x{}", spec.text.length(), slots * m);
        return Err(refuse(&graph.value(features).name, message));
    }
    let readers = graph.consumers(features);
    let [linear] = readers[..] else {
        return Err(refuse(&graph.value(features).name, format!("{} operators read it", readers.len())));
    };
    let node = graph.nodes[linear].clone();
    if !matches!(node.op, Op::Linear { .. }) {
        return Err(refuse(&node.name, format!("is a {}", node.op.name())));
    }
    // Weights hidden, slots * m become slots, m, hidden.
    let weights = graph.value(node.inputs[1]).clone();
    let (Some(constant), [hidden, _]) = (&weights.constant, &weights.shape.dims[..]) else {
        return Err(refuse(&node.name, "its weights are no constant matrix".into()));
    };
    let hidden = *hidden;
    let constant = super::layout::transposed(constant, &weights.shape.dims, &[1, 0]);
    let constant = super::layout::reshaped(&constant, &[slots * m, hidden], &[slots, m, hidden]);
    let name = format!("{}:slots", weights.name);
    let weights = graph.add(super::layout::constant_value(name, constant, Shape::fixed(&[slots, m, hidden])));
    // An Add of a constant vector behind it is its bias.
    let (mut output, mut bias) = (node.output, node.inputs[2]);
    let mut absorbed = None;
    if let [add] = graph.consumers(node.output)[..]
        && !graph.outputs.contains(&node.output)
        && matches!(graph.nodes[add].op, Op::Binary { op: Arithmetic::Add, .. })
    {
        let operand = graph.nodes[add].inputs.iter().copied().find(|&id| id != node.output);
        let constant = operand.and_then(|id| graph.value(id).constant.clone());
        if let Some(addend) = constant.filter(|constant| constant.data.len() == hidden)
            && graph.value(bias).constant.as_ref().is_some_and(|bias| bias.data.iter().all(|&x| x == 0.0))
        {
            let shape = Shape::fixed(&[hidden]);
            bias = graph.add(super::layout::constant_value(format!("{}:bias", node.name), addend, shape));
            output = graph.nodes[add].output;
            absorbed = Some(add);
        }
    }
    let input = graph.value_mut(features);
    input.shape.dims[2] = spec.text.n();
    (input.origin, input.given) = (None, None);
    let projection = &mut graph.nodes[linear];
    (projection.op, projection.inputs, projection.output) =
        (Op::Projection, vec![features, weights, bias], output);
    if let Some(add) = absorbed {
        graph.nodes.remove(add);
    }
    Ok(())
}
