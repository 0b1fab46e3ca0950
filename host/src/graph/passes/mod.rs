//! Rewrites of the graph, one a file, in the order that [`run`] applies them.
