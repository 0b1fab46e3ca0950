//! Rewrites of the graph, one a file, in the order that [`run`] applies them.

use super::Graph;

/// Applies all rewrites.
pub fn run(graph: &mut Graph) {
    graph.remove_dead();
}
