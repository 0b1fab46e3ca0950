//! The float model on recordings, for comparison.

use std::path::Path;

use mixel_core::events::Event;

use super::windows;
use crate::arrays::Array;
use crate::graph::{EventSpec, Graph};
use crate::import::{self, ImportOptions};
use crate::reference::{Reference, States};
use crate::{Error, ErrorKind, Result};

/// A float model with an event front end, run by tract on the same windows as its plan.
pub struct FloatModel {
    graph: Graph,
    spec: EventSpec,
    reference: Reference,
}

impl FloatModel {
    /// The model at `path`.
    ///
    /// # Errors
    /// Those of [`import::load`] and [`Reference::load`]; [`ErrorKind::Input`] when it takes no events.
    pub fn load(path: &Path) -> Result<Self> {
        let options = ImportOptions::default();
        let graph = import::load(path, &options)?;
        let spec = graph.front_end.events.ok_or_else(|| {
            Error::new(ErrorKind::Input, path.display().to_string(), "this model takes no events")
                .hint("give a model whose metadata has `mixel.front_end` = `events`")
        })?;
        Ok(Self { graph, spec, reference: Reference::load(path, &options)? })
    }

    /// What it answers to the windows of a recording: for each of them the outputs that are no states.
    ///
    /// # Errors
    /// [`ErrorKind::Reference`] if tract fails.
    pub fn answers(&self, events: &[Event]) -> Result<Vec<Vec<Array>>> {
        let mut states = States::new(&self.graph)?;
        let kept = states.outputs();
        let names = self.graph.outputs.iter().map(|&output| self.graph.value(output).name.clone());
        let given: Vec<String> = names.filter(|name| !kept.contains(name)).collect();
        let tensors = [&given[..], &kept[..]].concat();
        let mut all = Vec::new();
        for window in windows(&self.spec, events)? {
            let inputs = states.inputs(&window.arrays(&self.spec)?);
            let mut outputs = Vec::with_capacity(given.len());
            let mut take = |name: &str, array: &Array| {
                states.keep(name, array);
                if outputs.len() < given.len() {
                    outputs.push(array.clone());
                }
            };
            self.reference.observe(&inputs, &tensors, &mut take)?;
            all.push(outputs);
        }
        Ok(all)
    }
}
